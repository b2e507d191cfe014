package install

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path"
	"time"

	"github.com/gomlx/go-xla/installer"
)

// Limits on what a server may send. What is longer is cut there, and then fails
// to be what was expected.
const (
	maxIndex    = 32 << 20 // bytes of an index's answer; the longest that is asked for has less than 1 MB
	maxDownload = 4 << 30  // bytes of a file; NVIDIA's longest has less than 1 GB
)

// stall is how long a server may send nothing.
var stall = 30 * time.Second

// client waits 10 s each for a connection and for TLS, and 30 s for an answer.
var client = newClient()

func newClient() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DialContext = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	transport.TLSHandshakeTimeout = 10 * time.Second
	transport.ResponseHeaderTimeout = 30 * time.Second
	return &http.Client{Transport: transport, CheckRedirect: func(request *http.Request, via []*http.Request) error {
		if len(via) >= 10 {
			return errors.New("more than 10 redirects")
		}
		// Where no hash is known, the encrypted connection is what vouches for the file.
		if via[0].URL.Scheme == "https" && request.URL.Scheme != "https" {
			return fmt.Errorf("redirected to %s, expected an https address", request.URL)
		}
		return nil
	}}
}

// downloadWheel writes a wheel for linux/amd64 to the file target, if what comes
// has the wheel's SHA-256.
func (i Installer) downloadWheel(ctx context.Context, w wheel, target string) error {
	project, page, err := i.project(ctx, w.project)
	if err != nil {
		return err
	}
	files, ok := project.Releases[w.version]
	if !ok {
		return fmt.Errorf("%s: the index has no version %s, the newest is %.100q", page, w.version, project.Info.Version)
	}
	file, err := installer.PipSelectRelease(files, installer.PipPackageLinuxAMD64(), true)
	if err != nil {
		return fmt.Errorf("%s: version %s: %w", page, w.version, err)
	}
	address, err := page.Parse(file.URL)
	if err != nil {
		return fmt.Errorf("%s: address of version %s: %.200s", page, w.version, err)
	}
	sha256, kind, err := i.download(ctx, address.String(), target)
	if err != nil {
		return err
	}
	if sha256 != w.sha256 {
		return &HashError{fmt.Sprintf("%s: the download (%s)", address, kind), sha256, w.sha256}
	}
	return nil
}

// project asks the package index about a project. The addresses of its files may
// be relative to page.
func (i Installer) project(ctx context.Context, name string) (project *installer.PipPackageInfo, page *url.URL, err error) {
	address := index + "/" + name + "/json"
	i.Progress = nil // it is small
	var body bytes.Buffer
	kind, err := i.fetch(ctx, address, maxIndex, &body)
	if err != nil {
		return nil, nil, err
	}
	project = new(installer.PipPackageInfo)
	if err := json.Unmarshal(body.Bytes(), project); err != nil {
		return nil, nil, fmt.Errorf("%s: found %d bytes of %s, expected JSON: %.200s", address, body.Len(), kind, err)
	}
	page, err = url.Parse(address)
	if err == nil {
		page, err = page.Parse(project.Info.ProjectURL)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%s: project page: %.200s", address, err)
	}
	return project, page, nil
}

// download writes what is at address to the file target, and returns its SHA-256
// and its content type.
func (i Installer) download(ctx context.Context, address, target string) (sha, kind string, err error) {
	file, err := os.Create(target)
	if err != nil {
		return "", "", err
	}
	hash := sha256.New()
	kind, err = i.fetch(ctx, address, maxDownload, io.MultiWriter(file, hash))
	return hex.EncodeToString(hash.Sum(nil)), kind, errors.Join(err, file.Close())
}

// fetch writes at most limit bytes of what is at address to w, and returns its
// quoted content type. It gives up when nothing arrives for as long as stall, and when the
// server answers with anything but 200.
func (i Installer) fetch(ctx context.Context, address string, limit int64, w io.Writer) (kind string, err error) {
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
	request.Header.Set("User-Agent", "epochal")
	// The next file is mostly elsewhere, so no connection is left open.
	request.Close = true
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	from := response.Request.URL
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: the server answered %d %s, expected 200 OK",
			from, response.StatusCode, http.StatusText(response.StatusCode))
	}
	progress := Progress{Stage: StageDownload, File: path.Base(address), Total: max(response.ContentLength, 0)}
	i.report(progress)
	arrived := writerFunc(func(p []byte) (int, error) {
		patience.Reset(stall)
		progress.Done += int64(len(p))
		i.report(progress)
		return len(p), nil
	})
	if _, err := io.Copy(io.MultiWriter(w, arrived), io.LimitReader(response.Body, limit)); err != nil {
		return "", fmt.Errorf("%s: after %d of %d bytes: %w", from, progress.Done, progress.Total, err)
	}
	return fmt.Sprintf("%.100q", response.Header.Get("Content-Type")), nil
}

// writerFunc is an [io.Writer] of one function.
type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
