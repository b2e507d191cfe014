package regular

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/google/renameio/v2"
)

// Write writes a whole file or leaves what is there. It replaces a regular file
// alone, and no link: an error begins with name, never with that of a temporary file.
func Write(name string, content []byte) error {
	if info, err := os.Lstat(name); err == nil {
		if info.Mode()&fs.ModeSymlink != 0 {
			return fmt.Errorf("%s: found a link, expected a file", name)
		}
		if err := Check(name, info); err != nil {
			return err
		}
	}
	err := renameio.WriteFile(name, content, 0o644)
	var path *fs.PathError
	if errors.As(err, &path) { // of the temporary file
		err = path.Err
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
