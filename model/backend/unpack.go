package backend

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// Limits on what is unpacked, whatever an archive says of itself. A pinned
// plugin has the size of its pin, and no other.
const (
	maxPlugin    = 2 << 30  // bytes of a plugin without a pin
	maxLibraries = 16 << 30 // bytes of all files of one of NVIDIA's wheels
	maxMembers   = 1 << 17  // files of a wheel
	maxDirectory = 32 << 20 // bytes of a wheel's list of files
	maxArchive   = 4 << 30  // bytes of an unpacked release, the other files included
)

// go-xla's installer unpacks as well, but as much as comes and to where links in
// the archive lead, so that is done here.

// wheelFile is an open wheel.
type wheelFile struct {
	*zip.Reader
	file *os.File
}

// openWheel opens a wheel and reads its list of files. Its memory is bounded by
// some ten times maxDirectory, and by a quarter of the file's size for a list
// that claims as many files as could be in it.
func openWheel(name string) (*wheelFile, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil {
		directory := &directoryReader{ReaderAt: file, left: maxDirectory}
		var archive *zip.Reader
		if archive, err = zip.NewReader(directory, info.Size()); err == nil {
			directory.read = true
			if len(archive.File) <= maxMembers {
				return &wheelFile{archive, file}, nil
			}
			err = fmt.Errorf("found %d files, expected at most %d", len(archive.File), maxMembers)
		}
	}
	file.Close()
	return nil, err
}

func (w *wheelFile) close() { w.file.Close() }

// directoryReader refuses to go on reading once the list of files is too long.
type directoryReader struct {
	io.ReaderAt
	left int
	read bool // the list was read, the rest is free
}

func (r *directoryReader) ReadAt(p []byte, at int64) (int, error) {
	if !r.read {
		if r.left -= len(p); r.left < 0 {
			return 0, fmt.Errorf("the list of files is longer than %d bytes", maxDirectory)
		}
	}
	return r.ReaderAt.ReadAt(p, at)
}

// unpackFile writes the first file of a wheel that wanted accepts to target, a
// new file. It has to have exactly size bytes, or with size 0 at most maxPlugin.
func unpackFile(ctx context.Context, wheel string, wanted func(name string) bool, target string, size int64) error {
	archive, err := openWheel(wheel)
	if err != nil {
		return err
	}
	defer archive.close()
	for _, member := range archive.File {
		if !wanted(member.Name) || !member.Mode().IsRegular() {
			continue
		}
		limit := int64(maxPlugin)
		if size > 0 {
			limit = size
			if member.UncompressedSize64 != uint64(size) {
				return fmt.Errorf("found %d bytes, expected %d", member.UncompressedSize64, size)
			}
		}
		_, err := unpackMember(ctx, member, target, limit)
		return err
	}
	return fs.ErrNotExist
}

// unpackFolder writes what is below a folder of a wheel to target, a folder that
// exists. Only files are written, only below it, and at most limit bytes in all.
func unpackFolder(ctx context.Context, wheel, folder, target string, limit int64) error {
	archive, err := openWheel(wheel)
	if err != nil {
		return err
	}
	defer archive.close()
	for _, member := range archive.File {
		name, below := strings.CutPrefix(member.Name, folder+"/")
		if !below || member.FileInfo().IsDir() {
			continue
		}
		if !filepath.IsLocal(name) || strings.Contains(name, `\`) || !member.Mode().IsRegular() {
			return fmt.Errorf("found %q in it, expected files below %s only", member.Name, folder)
		}
		final := filepath.Join(target, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(final), 0o755); err != nil {
			return err
		}
		written, err := unpackMember(ctx, member, final, limit)
		if err != nil {
			return fmt.Errorf("%s: %w", member.Name, err)
		}
		limit -= written
		if strings.Contains(name, "bin/") {
			if err := os.Chmod(final, 0o755); err != nil {
				return err
			}
		}
	}
	return nil
}

// unpackMember writes one file of a wheel and checks its checksum.
func unpackMember(ctx context.Context, member *zip.File, target string, limit int64) (written int64, err error) {
	content, err := member.Open()
	if err != nil {
		return 0, err
	}
	defer content.Close()
	return writeFile(ctx, target, content, limit)
}

// unpackRelease writes the plugin in an archive of go-xla's releases, .tar.gz, to
// target: at most limit bytes, of at most most that the archive inflates to. Nothing
// else that is in there is written, links and folders included.
func unpackRelease(ctx context.Context, archive, target string, limit, most int64) error {
	file, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer file.Close()
	unpacked, err := gzip.NewReader(file)
	if err != nil {
		return err
	}
	// Skipping a file inflates it as well.
	all := &io.LimitedReader{R: &patientReader{ctx, unpacked}, N: most}
	members := tar.NewReader(all)
	for {
		member, err := members.Next()
		if all.N == 0 {
			return fmt.Errorf("found more than %d bytes, expected at most that", most)
		}
		if err == io.EOF {
			return errNoPlugin
		}
		if err != nil {
			return err
		}
		if name, _ := pluginName(path.Base(member.Name)); member.Typeflag != tar.TypeReg || !strings.HasPrefix(name, "cpu") {
			continue
		}
		_, err = writeFile(ctx, target, members, limit)
		return err
	}
}

// errNoPlugin is the error of an archive without one.
var errNoPlugin = errors.New("no file pjrt_c_api_cpu_*_plugin.so in the archive")

// writeFile writes what r gives, at most limit bytes, to the file target.
func writeFile(ctx context.Context, target string, r io.Reader, limit int64) (written int64, err error) {
	file, err := os.OpenFile(target, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return 0, err
	}
	defer func() {
		if closeErr := file.Close(); err == nil {
			err = closeErr
		}
	}()
	written, err = io.Copy(file, io.LimitReader(&patientReader{ctx, r}, limit))
	if err != nil {
		return written, err
	}
	if n, err := io.ReadFull(r, make([]byte, 1)); n > 0 {
		return written, fmt.Errorf("found more than %d bytes, expected at most that", limit)
	} else if err != io.EOF {
		return written, err // of the checksum, for one
	}
	return written, nil
}

// patientReader reads until its context is done.
type patientReader struct {
	ctx context.Context
	io.Reader
}

func (r *patientReader) Read(p []byte) (int, error) {
	if err := context.Cause(r.ctx); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}
