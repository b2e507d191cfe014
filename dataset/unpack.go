package dataset

import (
	"archive/zip"
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/ulikunitz/xz"
	"github.com/ulikunitz/xz/lzma"
)

// packing is how the bytes of a file are packed.
type packing int

const (
	plain packing = iota
	gzipped
	xzipped
)

// packedEndings are the endings of packed files, the one that is read first first.
var packedEndings = []string{".gz", ".xz", ".zip"}

// withoutPacking is a file's name without the ending of a packed one.
func withoutPacking(name string) string {
	for _, ending := range packedEndings {
		if short, found := strings.CutSuffix(name, ending); found {
			return short
		}
	}
	return name
}

// maxDictionary is the memory that unpacking an xz file may take: what `xz -9` asks for.
const maxDictionary = 64 << 20

var (
	gzipMagic = []byte{0x1f, 0x8b}
	xzMagic   = []byte{0xfd, '7', 'z', 'X', 'Z', 0}
)

// unpack returns what a file holds, if its first bytes say that it is packed.
func unpack(stored *bufio.Reader) (*bufio.Reader, packing, error) {
	// An error of Peek shows again at the first read.
	first, _ := stored.Peek(len(xzMagic))
	switch {
	case bytes.HasPrefix(first, gzipMagic):
		unpacked, err := gzip.NewReader(stored)
		if err != nil {
			return nil, gzipped, err
		}
		// The checksum of a second member would vouch for bytes that no header declares.
		unpacked.Multistream(false)
		return bufio.NewReader(unpacked), gzipped, nil
	case bytes.Equal(first, xzMagic):
		if err := checkDictionary(stored); err != nil {
			return nil, xzipped, err
		}
		unpacked, err := xz.ReaderConfig{SingleStream: true}.NewReader(stored)
		if err != nil {
			return nil, xzipped, err
		}
		return bufio.NewReader(unpacked), xzipped, nil
	default:
		return stored, plain, nil
	}
}

// checkDictionary reads ahead what the first block of an xz file says about the memory
// that it takes to unpack it, which the library allocates at once.
func checkDictionary(stored *bufio.Reader) error {
	const start = xz.HeaderLen // of the block's header: its size, flags, sizes of the data, filters
	header, err := stored.Peek(start + 2)
	if err != nil {
		return io.ErrUnexpectedEOF
	}
	at := start + 2
	for _, flag := range []byte{0x40, 0x80} { // the packed and the unpacked size: 7 bits in a byte, the last below 0x80
		for more := header[start+1]&flag != 0; more; at++ {
			if header, err = stored.Peek(at + 1); err != nil {
				return io.ErrUnexpectedEOF
			}
			more = header[at]&0x80 != 0 && at < start+32
		}
	}
	header, err = stored.Peek(at + 3)
	if err != nil {
		return io.ErrUnexpectedEOF
	}
	const lzma2 = 0x21
	if header[start] == 0 || header[at] != lzma2 {
		return nil // there is no block, or one that the library refuses
	}
	if size, err := lzma.DecodeDictCap(header[at+2]); err == nil && size > maxDictionary {
		return fmt.Errorf("found a dictionary of %d bytes, expected at most %d", size, maxDictionary)
	}
	return nil
}

// openZIP returns the one file that an archive holds.
func openZIP(file fs.File, name string) (io.ReadCloser, error) {
	members, err := zipMembers(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(members) != 1 {
		return nil, fmt.Errorf("%s: found an archive of %d files, expected one file in it", name, len(members))
	}
	reader, err := members[0].Open()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return reader, nil
}

// zipMembers are the files in an archive, without folders and what macOS adds.
func zipMembers(file fs.File) ([]*zip.File, error) {
	at, ok := file.(io.ReaderAt)
	if !ok {
		return nil, errors.New("cannot be read as an archive here")
	}
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	archive, err := readZIP(at, info.Size())
	if err != nil {
		return nil, err
	}
	var members []*zip.File
	for _, member := range archive.File {
		if !member.FileInfo().IsDir() && !strings.HasPrefix(path.Base(member.Name), ".") {
			members = append(members, member)
		}
	}
	return members, nil
}

// readZIP reads what an archive holds.
func readZIP(file io.ReaderAt, size int64) (*zip.Reader, error) {
	archive, err := zip.NewReader(file, size)
	if errors.Is(err, zip.ErrFormat) {
		err = errors.New("found no zip archive, or not all of it")
	}
	return archive, err
}

// archiveFS is the files of an archive as one folder, by the last part of their names.
type archiveFS map[string]*zip.File

// newArchiveFS opens an archive.
func newArchiveFS(file fs.File) (archiveFS, error) {
	members, err := zipMembers(file)
	fsys := archiveFS{}
	for _, member := range members {
		base := path.Base(member.Name)
		if other := fsys[base]; other != nil && isIDX(base) {
			return nil, fmt.Errorf("found %s and %s, expected one file of that name: unpack the archive, and give one of its folders",
				other.Name, member.Name)
		}
		fsys[base] = member
	}
	return fsys, err
}

// Open opens a file.
func (a archiveFS) Open(name string) (fs.File, error) {
	member := a[name]
	if member == nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	reader, err := member.Open()
	return archived{reader, member}, err
}

// ReadDir lists the folder, which is the only one.
func (a archiveFS) ReadDir(string) ([]fs.DirEntry, error) {
	var entries []fs.DirEntry
	for _, member := range a {
		entries = append(entries, fs.FileInfoToDirEntry(member.FileInfo()))
	}
	return entries, nil
}

// archived is a file in an archive.
type archived struct {
	io.ReadCloser
	member *zip.File
}

// Stat describes the file; the size is only what the archive claims.
func (a archived) Stat() (fs.FileInfo, error) { return a.member.FileInfo(), nil }
