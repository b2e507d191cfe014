package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
)

// canBeWritten reports a file that cannot be made or replaced, without touching it.
func canBeWritten(name string) error {
	if info, err := os.Lstat(name); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s: found something that is not a regular file", name)
	}
	probe, err := os.CreateTemp(filepath.Dir(name), ".epochal-")
	if err != nil {
		return fmt.Errorf("%s: %w", name, cause(err))
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

// cause is an error of a file system without the name of a temporary file.
func cause(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// writeFile writes a whole file or leaves what is there.
func writeFile(name string, write func(io.Writer) error) error {
	var content bytes.Buffer
	if err := write(&content); err != nil {
		return err
	}
	if err := renameio.WriteFile(name, content.Bytes(), 0o644); err != nil {
		return fmt.Errorf("%s: %w", name, cause(err))
	}
	return nil
}
