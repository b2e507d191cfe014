package backend

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"path/filepath"

	"epochal/dataset/regular"

	"github.com/google/renameio/v2"
)

// hashRecord is the file that remembers the SHA-256 of plugins, because they
// have hundreds of megabytes. Empty: nothing is remembered. A record that
// cannot be read or written is no error, the hash is then computed again; nor is
// one of more than maxHashRecord bytes, which takes up to ten times as much memory.
type hashRecord string

// maxHashRecord is room for thousands of plugins.
const maxHashRecord = 1 << 20

// hashEntry is what the record holds for one absolute path.
type hashEntry struct {
	Size     int64  `json:"size"`        // bytes
	Modified int64  `json:"modified_ns"` // nanoseconds since 1970
	SHA256   string `json:"sha256"`
}

// known returns the remembered hash of the file, if it did not change since.
func (r hashRecord) known(path string) (sha string, ok bool) {
	info, err := os.Stat(path)
	if err != nil {
		return "", false
	}
	entry, found := r.read()[path]
	if !found || entry.Size != info.Size() || entry.Modified != info.ModTime().UnixNano() || !isSHA256(entry.SHA256) {
		return "", false
	}
	return entry.SHA256, true
}

// of returns the SHA-256 of the file, from the record where possible.
func (r hashRecord) of(ctx context.Context, path string) (string, error) {
	if sha, ok := r.known(path); ok {
		return sha, nil
	}
	before, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	sha, err := hashFile(ctx, path)
	if err != nil {
		return "", err
	}
	after, err := os.Stat(path)
	if err == nil && after.Size() == before.Size() && after.ModTime().Equal(before.ModTime()) {
		r.remember(path, sha)
	}
	return sha, nil
}

// remember records the hash of the file as it is now, and forgets files that are gone.
func (r hashRecord) remember(path, sha string) {
	info, err := os.Stat(path)
	if r == "" || err != nil {
		return
	}
	entries := r.read()
	for known := range entries {
		if _, err := os.Stat(known); err != nil {
			delete(entries, known)
		}
	}
	entries[path] = hashEntry{Size: info.Size(), Modified: info.ModTime().UnixNano(), SHA256: sha}
	content, err := json.MarshalIndent(entries, "", "  ")
	if err != nil || os.MkdirAll(filepath.Dir(string(r)), 0o755) != nil {
		return
	}
	_ = renameio.WriteFile(string(r), append(content, '\n'), 0o644)
}

func (r hashRecord) read() map[string]hashEntry {
	entries := map[string]hashEntry{}
	if content, err := regular.Read(string(r), maxHashRecord); err == nil && json.Unmarshal(content, &entries) == nil && entries != nil {
		return entries
	}
	return map[string]hashEntry{}
}

// isSHA256 tells whether text can be a SHA-256 as this package writes it.
func isSHA256(text string) bool {
	sum, err := hex.DecodeString(text)
	return err == nil && len(sum) == sha256.Size && text == hex.EncodeToString(sum)
}

// hashFile returns the SHA-256 of a file in hexadecimal digits.
func hashFile(ctx context.Context, path string) (string, error) {
	file, err := regular.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	hash := sha256.New()
	buffer := make([]byte, 1<<20)
	for {
		if err := context.Cause(ctx); err != nil {
			return "", err
		}
		n, err := file.Read(buffer)
		hash.Write(buffer[:n])
		if err == io.EOF {
			return hex.EncodeToString(hash.Sum(nil)), nil
		}
		if err != nil {
			return "", err
		}
	}
}
