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
	"strings"
	"time"
	"unicode"

	"github.com/gomlx/go-xla/installer"
)

// Limits on what a server may send. The answers of an index that are asked for
// have less than 1 MB and some 20,000 commas. Commas bound the values, each of which
// may take a hundred times its size in memory. Files go to the disk as they come.
const (
	maxIndex  = 8 << 20 // bytes of an index's answer
	maxCommas = 200_000 // of an index's answer
	maxWheel  = 1 << 30 // bytes of a wheel with a CPU plugin, or of go-xla's release
	maxNVIDIA = 4 << 30 // bytes of one of NVIDIA's wheels
)

// leastArrival is what has to arrive, in bytes, within each p.stall of a download:
// a server that sends a byte now and then is stalled as well.
const leastArrival = 1 << 10

// maxAddress is the longest address of a file that an index may give, in bytes.
const maxAddress = 2 << 10

// How much of a server's own words an error shows, in characters and in words.
const (
	maxWord  = 100
	maxWords = 20
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
	if commas := bytes.Count(body.Bytes(), []byte{','}); commas > maxCommas {
		return nil, fmt.Errorf("%s: the answer has %d commas, expected at most %d", address, commas, maxCommas)
	}
	info := new(installer.PipPackageInfo)
	if err := json.Unmarshal(body.Bytes(), info); err != nil {
		return nil, fmt.Errorf("%s: the answer is %d bytes of %s, expected JSON: %s", address, body.Len(), kind, shown(err.Error()))
	}
	base, err := url.Parse(address)
	secure := err == nil && base.Scheme == "https"
	if err == nil {
		// Mirrors give addresses relative to the project's page.
		base, err = base.Parse(info.Info.ProjectURL)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: project page: %s", address, shown(err.Error()))
	}
	for version, files := range info.Releases {
		for i := range files {
			if size := len(files[i].URL); size > maxAddress {
				return nil, fmt.Errorf("%s: file of version %s: found an address of %d bytes, expected at most %d", address, shown(version), size, maxAddress)
			}
			absolute, err := base.Parse(files[i].URL)
			if err != nil {
				return nil, fmt.Errorf("%s: file of version %s: %s", address, shown(version), shown(err.Error()))
			}
			if secure && absolute.Scheme != "https" {
				return nil, fmt.Errorf("%s: file of version %s: found the address %s, expected an https address", address, shown(version), shown(absolute.String()))
			}
			files[i].URL = absolute.String()
		}
	}
	return info, nil
}

// fetch writes the body at address to w and returns its content type. It gives
// up when less than leastArrival arrives within p.stall, when the body is longer
// than limit or cut short, and when the server answers with anything but 200.
func (p Plugins) fetch(ctx context.Context, address string, limit int64, w io.Writer, report func(done, total int64)) (kind string, err error) {
	stalled := fmt.Errorf("%s: less than %d bytes arrived in %v", address, leastArrival, p.stall)
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
	// The next file is mostly elsewhere. Nothing is left open, and no goroutine.
	request.Close = true
	response, err := p.Client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	from := response.Request.URL
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: the server answered %s, expected 200 OK", from, shown(response.Status))
	}
	tooLong := fmt.Errorf("%s: longer than the limit of %d bytes", from, limit)
	if response.ContentLength > limit {
		return "", tooLong
	}
	kind = shown(response.Header.Get("Content-Type"))
	if kind == "" {
		kind = "unknown type"
	}
	total := max(response.ContentLength, 0)
	var done, arrived int64 // in all, and since patience was set anew
	buffer := make([]byte, 1<<18)
	for {
		report(done, total)
		n, err := response.Body.Read(buffer)
		done += int64(n)
		if arrived += int64(n); arrived >= leastArrival {
			patience.Reset(p.stall)
			arrived = 0
		}
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

// shown is a word of a server's as an error may show it.
func shown(word string) string {
	word = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, word)
	if runes := []rune(word); len(runes) > maxWord {
		return string(runes[:maxWord]) + "..."
	}
	return word
}

// shownAll are words of a server's on one line.
func shownAll(words []string) string {
	var texts []string
	for i, word := range words {
		if i == maxWords {
			texts = append(texts, fmt.Sprintf("and %d more", len(words)-i))
			break
		}
		texts = append(texts, shown(word))
	}
	return strings.Join(texts, ", ")
}
