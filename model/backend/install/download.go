package install

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"time"
)

// maxDownload is the most bytes that are read of any answer. NVIDIA's longest
// wheel has less than 1 GB. What is longer is cut there, and so has the wrong hash.
const maxDownload = 1 << 30

// stall is how long a server may send nothing.
const stall = 30 * time.Second

// download writes what is at address to the file target and returns its SHA-256.
// It gives up when nothing arrives for as long as stall, and when the server
// answers with anything but 200.
func (i Installer) download(ctx context.Context, address, target string) (sha string, err error) {
	stalled := fmt.Errorf("%s: nothing arrived for %v", address, stall)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	patience := time.AfterFunc(stall, func() { cancel(stalled) })
	defer patience.Stop()
	defer func() {
		if err != nil && context.Cause(ctx) == stalled {
			err = stalled
		}
	}()

	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return "", &statusError{address, response.StatusCode}
	}
	file, err := os.Create(target)
	if err != nil {
		return "", err
	}
	hash := sha256.New()
	progress := Progress{Stage: StageDownload, File: path.Base(address), Total: max(response.ContentLength, 0)}
	i.report(progress)
	arrived := writerFunc(func(p []byte) (int, error) {
		patience.Reset(stall)
		progress.Done += int64(len(p))
		i.report(progress)
		return len(p), nil
	})
	_, err = io.Copy(io.MultiWriter(file, hash, arrived), io.LimitReader(response.Body, maxDownload))
	if err = errors.Join(err, file.Close()); err != nil {
		return "", fmt.Errorf("%s: after %d of %d bytes: %w", address, progress.Done, progress.Total, err)
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// writerFunc is an [io.Writer] of one function.
type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
