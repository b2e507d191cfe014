package install

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"

	"epochal/dataset/regular"
)

// unpackWheel writes members of a wheel to a folder, and nothing outside of it:
// those for which rename returns a name, which may have folders. It is an error if
// there is none.
func (i Installer) unpackWheel(wheel, folder string, rename func(member string) string) error {
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
		if err := i.unpackMember(member, root, name); err != nil {
			return fmt.Errorf("%.200q: %w", member.Name, err)
		}
	}
	if !found {
		return fs.ErrNotExist
	}
	return nil
}

// unpackMember writes a member of a wheel to a file below root. Libraries and
// NVIDIA's programs are executable.
func (i Installer) unpackMember(member *zip.File, root *os.Root, name string) error {
	content, err := member.Open()
	if err != nil {
		return err
	}
	defer content.Close()
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	file, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, content)
	// Synced, so that a crash after the final renaming leaves no half of a plugin.
	return errors.Join(err, regular.Sync(file, i.Warn), file.Close())
}
