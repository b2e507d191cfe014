package backend

import (
	"bytes"
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

const (
	maxIndex  = 32 << 20 // bytes of an index's answer
	maxWheel  = 1 << 30  // bytes of a wheel with a CPU plugin
	maxNVIDIA = 4 << 30  // bytes of one of NVIDIA's wheels
)

// partial begins the names of temporary files and folders in the install folder.
const partial = ".partial-"

// download writes what is at address into a new temporary file of the install
// folder, whose name ends in suffix. The caller removes the file; on an error
// there is none. An answer that is not what was expected shows in kind, its
// content type.
func (p Plugins) download(ctx context.Context, address, suffix string, limit int64) (file, sha, kind string, err error) {
	target, err := os.CreateTemp(p.Directory, partial+"*"+suffix)
	if err != nil {
		return "", "", "", err
	}
	defer func() {
		if closeErr := target.Close(); err == nil {
			err = closeErr
		}
		if err != nil {
			os.Remove(target.Name())
		}
	}()
	hash := sha256.New()
	report := func(done, total int64) { p.Progress(Progress{StageDownload, path.Base(address), done, total}) }
	kind, err = p.fetch(ctx, address, limit, io.MultiWriter(target, hash), report)
	return target.Name(), hex.EncodeToString(hash.Sum(nil)), kind, err
}

// index asks the package index about a project, with addresses made absolute.
func (p Plugins) index(ctx context.Context, project string) (*installer.PipPackageInfo, error) {
	address, err := url.JoinPath(p.Index, project, "json")
	if err != nil {
		return nil, fmt.Errorf("package index %q: %w", p.Index, err)
	}
	var body bytes.Buffer
	kind, err := p.fetch(ctx, address, maxIndex, &body, func(int64, int64) {})
	if err != nil {
		return nil, err
	}
	info := new(installer.PipPackageInfo)
	if err := json.Unmarshal(body.Bytes(), info); err != nil {
		return nil, fmt.Errorf("%s: the answer is %d bytes of %s, expected JSON: %w", address, body.Len(), kind, err)
	}
	base, err := url.Parse(address)
	if err == nil {
		// Mirrors give addresses relative to the project's page.
		base, err = base.Parse(info.Info.ProjectURL)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: project page: %w", address, err)
	}
	for version, files := range info.Releases {
		for i := range files {
			absolute, err := base.Parse(files[i].URL)
			if err != nil {
				return nil, fmt.Errorf("%s: file of version %s: %w", address, version, err)
			}
			files[i].URL = absolute.String()
		}
	}
	return info, nil
}

// fetch writes the body at address to w and returns its content type. It gives
// up when nothing arrives for p.stall, when the body is longer than limit or
// cut short, and when the server answers with anything but 200.
func (p Plugins) fetch(ctx context.Context, address string, limit int64, w io.Writer, report func(done, total int64)) (kind string, err error) {
	stalled := fmt.Errorf("%s: nothing arrived for %v", address, p.stall)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	patience := time.AfterFunc(p.stall, func() { cancel(stalled) })
	defer patience.Stop()
	defer func() {
		if err != nil && errors.Is(context.Cause(ctx), stalled) {
			err = stalled
		}
	}()

	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return "", err
	}
	request.Header.Set("User-Agent", "epochal")
	response, err := p.Client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	from := response.Request.URL
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: the server answered %s, expected 200 OK", from, response.Status)
	}
	tooLong := fmt.Errorf("%s: longer than the limit of %d bytes", from, limit)
	if response.ContentLength > limit {
		return "", tooLong
	}
	kind = response.Header.Get("Content-Type")
	if kind == "" {
		kind = "unknown type"
	}
	total := max(response.ContentLength, 0)
	var done int64
	buffer := make([]byte, 1<<18)
	for {
		report(done, total)
		n, err := response.Body.Read(buffer)
		patience.Reset(p.stall)
		done += int64(n)
		if done > limit {
			return "", tooLong
		}
		if _, err := w.Write(buffer[:n]); err != nil {
			return "", err
		}
		if err == io.EOF {
			report(done, total)
			return kind, nil
		}
		if err != nil {
			return "", fmt.Errorf("%s: after %d of %d bytes: %w", from, done, total, err)
		}
	}
}
