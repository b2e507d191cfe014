package install

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
)

// unpackWheel writes files of a wheel to a folder, and nothing outside of it:
// those that rename gives a name to, which may have folders. It is an error if
// there is none.
func unpackWheel(wheel, folder string, rename func(member string) string) error {
	archive, err := zip.OpenReader(wheel)
	if err != nil {
		return err
	}
	defer archive.Close()
	root, err := os.OpenRoot(folder)
	if err != nil {
		return err
	}
	defer root.Close()
	found := false
	for _, member := range archive.File {
		name := rename(member.Name)
		if name == "" || !member.Mode().IsRegular() {
			continue
		}
		found = true
		content, err := member.Open()
		if err != nil {
			return fmt.Errorf("%.200q: %w", member.Name, err)
		}
		err = write(root, name, content)
		content.Close()
		if err != nil {
			return fmt.Errorf("%.200q: %w", member.Name, err)
		}
	}
	if !found {
		return fs.ErrNotExist
	}
	return nil
}

// maxRelease is how many bytes at most are unpacked from a release, for which no
// hash is known. A plugin has 200 to 300 MB.
const maxRelease = 1 << 30

// unpackRelease writes the plugin in an archive of go-xla's releases, .tar.gz, to
// a folder under that name. go-xla's installer unpacks as well, but follows links
// in the archive to wherever they lead.
func unpackRelease(archive, folder, name string) error {
	file, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer file.Close()
	unpacked, err := gzip.NewReader(file)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return err
	}
	defer root.Close()
	members := tar.NewReader(unpacked)
	for {
		member, err := members.Next()
		if err == io.EOF {
			return errors.New("no file pjrt_c_api_cpu_*_plugin.so in it")
		}
		if err != nil {
			return err
		}
		matches, _ := path.Match("pjrt_c_api_cpu_*_plugin.*", path.Base(member.Name))
		if matches && member.Typeflag == tar.TypeReg {
			return write(root, name, io.LimitReader(members, maxRelease))
		}
	}
}

// write writes a file below root. Libraries and NVIDIA's programs are executable.
func write(root *os.Root, name string, content io.Reader) error {
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	file, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, content)
	return errors.Join(err, file.Close())
}
