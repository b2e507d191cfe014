package install

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"epochal/dataset/regular"
)

// recordedHash returns the SHA-256 of a file in hexadecimal digits. Plugins are
// hundreds of megabytes, so the hash of each is recorded in the user's cache
// folder, under a name that changes with the file's path, size and time. A record
// that cannot be read or written is no error: the hash is computed again.
func recordedHash(file string) (string, error) {
	info, err := os.Stat(file)
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return hashFile(file)
	}
	state := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d\x00%d", file, info.Size(), info.ModTime().UnixNano()))
	const digits = 2 * sha256.Size
	record := filepath.Join(cache, "epochal", "plugins", hex.EncodeToString(state[:]))
	if hash, err := regular.Read(record, digits); err == nil && len(hash) == digits {
		return string(hash), nil
	}
	hash, err := hashFile(file)
	if err == nil && os.MkdirAll(filepath.Dir(record), 0o755) == nil {
		_ = regular.Write(record, []byte(hash))
	}
	return hash, err
}

// hashFile returns the SHA-256 of a file in hexadecimal digits.
func hashFile(path string) (string, error) {
	file, err := regular.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	hash := sha256.New()
	_, err = io.Copy(hash, file)
	return hex.EncodeToString(hash.Sum(nil)), err
}
