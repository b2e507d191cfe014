package install

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"time"

	"github.com/gomlx/go-xla/installer"
)

// maxDownload is how many bytes at most are read of any answer. NVIDIA's longest
// wheel has less than 1 GB. What is longer is cut there, and so has the wrong hash.
const maxDownload = 1 << 30

// stall is how long a server may send nothing.
const stall = 30 * time.Second

// downloadWheel writes a wheel to the file target. It is an error if what comes
// does not have the wheel's SHA-256.
func (i Installer) downloadWheel(ctx context.Context, w wheel, target string) error {
	page := index + "/" + w.project + "/json"
	quiet := Installer{} // the index's answer is small
	if _, err := quiet.download(ctx, page, target); err != nil {
		return err
	}
	answer, err := os.ReadFile(target)
	if err != nil {
		return err
	}
	address, err := findWheel(answer, page, w)
	if err != nil {
		return fmt.Errorf("%s: %w", page, err)
	}
	sha256, err := i.download(ctx, address, target)
	if err == nil && sha256 != w.sha256 {
		err = &HashError{address + ": the download", sha256, w.sha256}
	}
	return err
}

// findWheel returns the address of a wheel, given the package index's answer about
// its project. Addresses in it may be relative, as those of mirrors are.
func findWheel(answer []byte, page string, w wheel) (address string, err error) {
	var project installer.PipPackageInfo
	if err := json.Unmarshal(answer, &project); err != nil {
		return "", fmt.Errorf("expected JSON: %.200v", err)
	}
	for _, file := range project.Releases[w.version] {
		if file.Digests["sha256"] != w.sha256 {
			continue
		}
		base, err := url.Parse(page)
		if err == nil {
			base, err = base.Parse(project.Info.ProjectURL)
		}
		if err == nil {
			base, err = base.Parse(file.URL)
		}
		if err != nil {
			return "", fmt.Errorf("address of the wheel: %.200q", err.Error())
		}
		return base.String(), nil
	}
	return "", fmt.Errorf("found no file of version %s with the SHA-256 %s", w.version, w.sha256)
}

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
		return "", fmt.Errorf("%s: the server answered %d %s, expected 200 OK",
			address, response.StatusCode, http.StatusText(response.StatusCode))
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
