package backend

import (
	"compress/gzip"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gomlx/go-xla/pjrt"
	"github.com/google/go-cmp/cmp"
)

// contents lists what is below a folder: of each file its content, of each link
// where it leads.
func contents(t *testing.T, folder string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, name := range files(t, folder) {
		path := filepath.Join(folder, name)
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = info.Mode().String()
		switch {
		case info.Mode().IsRegular():
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			all[name] += " " + string(content)
		case info.Mode()&fs.ModeSymlink != 0:
			target, _ := os.Readlink(path)
			all[name] += " to " + target
		}
	}
	return all
}

// raw answers a request with bytes as they are, and hangs up.
func raw(answer string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		connection, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		io.WriteString(connection, answer)
		connection.Close()
	}
}

// badDownloads are answers that no plugin comes out of, and a part of the error
// for a file and for an index.
var badDownloads = []struct {
	name        string
	handle      http.HandlerFunc
	file, index string // parts of the errors; index "" if that is no failure of an index
}{
	{"a page", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "<html>sign in</html>")
	}, "text/html; charset=utf-8", "the answer is 20 bytes of text/html; charset=utf-8, expected JSON"},
	{"a redirect to a page", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery == "" {
			http.Redirect(w, r, r.URL.Path+"?login", http.StatusFound)
			return
		}
		io.WriteString(w, "<html>sign in</html>")
	}, "text/html; charset=utf-8", "the answer is 20 bytes of text/html; charset=utf-8, expected JSON"},
	{"a redirect that goes in circles", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.URL.Path, http.StatusFound)
	}, "more than 10 redirects", "more than 10 redirects"},
	{"an error", func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "sorry", http.StatusServiceUnavailable)
	}, "the server answered 503 Service Unavailable, expected 200 OK", "the server answered 503 Service Unavailable, expected 200 OK"},
	{"an error in many words", raw("HTTP/1.1 500 \x1b[31m" + strings.Repeat("sorry ", 1000) + "\r\n\r\n"),
		"the server answered 500 \ufffd[31msorry sorry", "the server answered 500 \ufffd[31msorry sorry"},
	{"cut short", raw("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nshort"),
		"after 5 of 1000 bytes: unexpected EOF", "after 5 of 1000 bytes: unexpected EOF"},
	{"cut short in chunks", raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n"),
		"after 5 of 0 bytes: unexpected EOF", "after 5 of 0 bytes: unexpected EOF"},
	{"a length that is too small", raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nmore than five bytes"),
		"unknown type", "the answer is 5 bytes of unknown type, expected JSON"},
	{"a length that is none", raw("HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nfive"),
		"bad Content-Length", "bad Content-Length"},
	{"a length above the limit", raw("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"),
		"longer than the limit of ", "longer than the limit of 8388608 bytes"},
	{"no answer", raw(""), "EOF", "EOF"},
	{"another protocol", raw("SSH-2.0-OpenSSH\r\n"), "malformed HTTP", "malformed HTTP"},
	{"nothing", raw("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), "unknown type", "the answer is 0 bytes of unknown type, expected JSON"},
	{"JSON of another kind", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "[1]") },
		"text/plain", "cannot unmarshal array"},
	{"more than the limit", func(w http.ResponseWriter, r *http.Request) {
		for range 10 {
			w.Write(make([]byte, 1<<20))
		}
	}, "", "longer than the limit of 8388608 bytes"},
	{"a bomb", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		packed := gzip.NewWriter(w)
		for range 16 {
			packed.Write(make([]byte, 1<<20))
		}
		packed.Close()
	}, "", "longer than the limit of 8388608 bytes"},
}

// Whatever a server sends, an installation that fails changes nothing.
func TestBadDownloadsLeaveTheOldState(t *testing.T) {
	release := "/releases/" + pjrt.DefaultCPUVersion + "/pjrt_cpu_linux_arm64.tar.gz"
	for _, installer := range []struct {
		name, file, index string
		install           func(Plugins) (string, error)
	}{
		{"cpu", "/wheels/first", "/pypi/first/json", func(p Plugins) (string, error) {
			p.pinned = []pin{fakePin("first")}
			return p.InstallCPU(context.Background())
		}},
		{"release", release, "", func(p Plugins) (string, error) {
			p.platform, p.pinned = "linux_arm64", []pin{}
			return p.InstallCPU(context.Background())
		}},
		{"cuda", "/files/nvidia-cublas-13.10.whl", "/pypi/nvidia-cublas/json", func(p Plugins) (string, error) {
			return p.InstallCUDA(context.Background())
		}},
	} {
		index := cudaIndex(t)
		root := t.TempDir()
		p := fakePlugins(filepath.Join(root, "lib", "go-xla"), index.URL)
		if _, err := p.InstallCUDA(context.Background()); err != nil {
			t.Fatal(err)
		}
		// A plugin of an older version, and one of the pin's name that is damaged.
		touch(t, filepath.Join(p.Directory, "pjrt_c_api_cpu_v0.1_plugin.so"), filepath.Join(p.Directory, fakePin("first").file()))
		before := contents(t, root)
		for _, bad := range badDownloads {
			for path, want := range map[string]string{installer.file: bad.file, installer.index: bad.index} {
				if path == "" || want == "" {
					continue
				}
				t.Run(installer.name+" "+bad.name+" "+filepath.Base(path), func(t *testing.T) {
					index.mutex.Lock()
					former := index.handlers[path]
					index.mutex.Unlock()
					index.handle(path, bad.handle)
					defer index.handle(path, former)
					plugin, err := installer.install(p)
					if err == nil || plugin != "" || !strings.Contains(err.Error(), want) {
						t.Fatalf("found %q and error %v,\nexpected it to contain %q", plugin, err, want)
					}
					if text := err.Error(); len(text) > 2000 || strings.ContainsAny(text, "\x1b\n\r") {
						t.Errorf("found an error of %d bytes, expected one line: %q", len(text), text)
					}
					if diff := cmp.Diff(before, contents(t, root)); diff != "" {
						t.Errorf("what was there before (-) and after (+):\n%s", diff)
					}
				})
			}
		}
		if _, err := installer.install(p); err != nil && installer.name != "release" {
			t.Errorf("%s: afterwards: %v", installer.name, err)
		}
	}
}

func TestDownloadStopsAtItsLimit(t *testing.T) {
	index := newIndex(t)
	index.handle("/endless", func(w http.ResponseWriter, r *http.Request) {
		for {
			if _, err := w.Write(make([]byte, 1<<10)); err != nil {
				return
			}
		}
	})
	p := fakePlugins(t.TempDir(), index.URL).withDefaults()
	_, _, _, err := p.download(context.Background(), index.URL+"/endless", ".whl", 1<<16)
	if want := index.URL + "/endless: longer than the limit of 65536 bytes"; err == nil || err.Error() != want {
		t.Errorf("found error %v, expected %s", err, want)
	}
	if left := files(t, p.Directory); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// An encrypted connection stays one, by redirects and by an index's addresses.
func TestDownloadsStayEncrypted(t *testing.T) {
	open := newIndex(t)
	handlers := map[string]http.HandlerFunc{}
	closed := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handlers[r.URL.Path](w, r) }))
	defer closed.Close()
	client := defaultClient()
	roots := x509.NewCertPool()
	roots.AddCert(closed.Certificate())
	client.Transport.(*http.Transport).TLSClientConfig = closed.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	client.Transport.(*http.Transport).TLSClientConfig.RootCAs = roots

	p := fakePlugins(filepath.Join(t.TempDir(), "lib"), closed.URL, fakePin("first"))
	p.Client = client
	for _, c := range []struct {
		name    string
		address string // of the wheel
		handle  http.HandlerFunc
		want    string
	}{
		{"redirect", closed.URL + "/wheels/first", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, open.URL+"/wheels/first", http.StatusFound)
		}, "redirected to " + open.URL + "/wheels/first, expected an https address"},
		{"address", open.URL + "/wheels/first", nil, "file of version 1.0: found the address " + open.URL + "/wheels/first, expected an https address"},
		{"file of this machine", "file:///etc/passwd", nil, "found the address file:///etc/passwd, expected an https address"},
		{"long address", closed.URL + "/" + strings.Repeat("x", 4000), nil, "expected at most 2048"},
		{"both encrypted", closed.URL + "/wheels/first", func(w http.ResponseWriter, r *http.Request) { w.Write(fakeWheel("first")) }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			handlers["/wheels/first"] = c.handle
			handlers["/pypi/first/json"] = func(w http.ResponseWriter, r *http.Request) {
				writeProject(w, "first", c.address, closed.URL+"/project/first/")
			}
			_, err := p.InstallCPU(context.Background())
			if c.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("found error %v, expected it to contain %q", err, c.want)
			}
			if _, err := os.Stat(p.Directory); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("found an install folder (%v)", err)
			}
			if got := open.count("/wheels/first"); got != 0 {
				t.Errorf("found %d downloads without encryption", got)
			}
		})
	}
}

// trickle is a body that gives a byte, and the next one some time later.
type trickle struct {
	ctx   context.Context
	pause time.Duration
}

func (s *trickle) Read(buffer []byte) (int, error) {
	select {
	case <-s.ctx.Done():
		return 0, s.ctx.Err()
	case <-time.After(s.pause):
		buffer[0] = ' '
		return 1, nil
	}
}

func (s *trickle) Close() error { return nil }

// The clock is synctest's. A server that answers never, or by a byte at a time, is
// given up; one that is only slow is not.
func TestSlowServers(t *testing.T) {
	for _, c := range []struct {
		name string
		body func(ctx context.Context) io.ReadCloser // nil: not even an answer
		want string
	}{
		{"silent", nil, "http://index.invalid/file: less than 1024 bytes arrived in 1m0s"},
		{"a byte now and then", func(ctx context.Context) io.ReadCloser { return &trickle{ctx, 59 * time.Second} },
			"http://index.invalid/file: less than 1024 bytes arrived in 1m0s"},
		{"slow", func(ctx context.Context) io.ReadCloser {
			return struct {
				io.Reader
				io.Closer
			}{io.LimitReader(&trickle{ctx, 50 * time.Millisecond}, 5000), io.NopCloser(nil)}
		}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := fakePlugins(t.TempDir(), "http://index.invalid").withDefaults()
				p.Client = &http.Client{Transport: roundTripper(func(request *http.Request) (*http.Response, error) {
					if c.body == nil {
						<-request.Context().Done()
						return nil, request.Context().Err()
					}
					return &http.Response{StatusCode: http.StatusOK, Body: c.body(request.Context()), Request: request}, nil
				})}
				_, _, _, err := p.download(context.Background(), "http://index.invalid/file", ".whl", 1<<20)
				if got := fmt.Sprint(err); (err == nil) != (c.want == "") || err != nil && got != c.want {
					t.Errorf("found error %v, expected %q", err, c.want)
				}
				if left := files(t, p.Directory); len(left) > 0 && err != nil {
					t.Errorf("left behind: %q", left)
				}
			})
		})
	}
}

// totalAllocated is what test allocates, freed or not.
func totalAllocated(test func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	test()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// answering is a client to which every server says the same.
func answering(body string) *http.Client {
	return &http.Client{Transport: roundTripper(func(request *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(body)), Request: request, ContentLength: -1}, nil
	})}
}

// The longest answers, filled with what takes the most memory for its length.
func TestIndexBoundsItsMemory(t *testing.T) {
	p := fakePlugins(t.TempDir(), "http://index.invalid").withDefaults()
	for name, parts := range map[string][3]string{
		"files":     {`{"releases":{"1":[`, "{},", "{}]}}"},
		"nulls":     {`{"releases":{"1":[`, "null,", "null]}}"},
		"versions":  {`{"releases":{`, `"1":[],`, `"2":[]}}`},
		"digests":   {`{"releases":{"1":[`, `{"digests":{"":""}},`, `{}]}}`},
		"depth":     {``, `[`, ``},
		"depends":   {`{"info":{"requires_dist":[`, `"",`, `""]}}`},
		"one value": {`{"info":{"version":"`, `x`, `"}}`},
	} {
		most := (maxIndex - len(parts[0]) - len(parts[2])) / len(parts[1])
		for _, count := range []int{min(most, maxCommas-1), most} {
			body := parts[0] + strings.Repeat(parts[1], count) + parts[2]
			p.Client = answering(body)
			var err error
			if bytes := totalAllocated(func() { _, err = p.index(context.Background(), "first") }); bytes > 256<<20 {
				t.Errorf("%s: found %d bytes allocated for an answer of %d, expected at most 256 MiB", name, bytes, len(body))
			}
			if commas := strings.Count(body, ","); commas > maxCommas && (err == nil || !strings.Contains(err.Error(), "commas, expected at most 200000")) {
				t.Errorf("%s: found error %v for %d commas", name, err, commas)
			}
		}
	}
}

func FuzzIndex(f *testing.F) {
	var page strings.Builder
	writeProject(&page, "first", "/wheels/first", "https://page.invalid/")
	f.Add([]byte(page.String()))
	for _, text := range []string{
		"", "null", "<html>", "{}", `{"info":null,"releases":null}`, `{"info":{"project_url":"::"},"releases":{"1":[{"url":"a"}]}}`,
		`{"info":{"author_email":"jax-dev@google.com","version":"1","requires_dist":["nvidia-cublas<14,>=13.0; extra == \"with-cuda\"","x~=1.0"]},` +
			`"releases":{"1":[{"filename":"a-manylinux_2_27_x86_64.whl","url":"http://[::1","digests":{"sha256":"00"}}],"1.0.99999999999999999999":[]}}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		p := fakePlugins(t.TempDir(), "https://index.invalid", fakePin("first")).withDefaults()
		p.Client = answering(string(body))
		var err error
		bytes := totalAllocated(func() {
			info, indexErr := p.index(context.Background(), "first")
			if err = indexErr; err != nil {
				return
			}
			for version, releases := range info.Releases {
				for _, file := range releases {
					if !strings.HasPrefix(file.URL, "https://") || len(file.URL) > maxAddress+100 {
						t.Errorf("version %q: found the address %q", version, file.URL)
					}
				}
			}
			// Every question is answered alike, here as well.
			_, _, err = p.cudaWheels(context.Background())
		})
		// The body is read once for each dependency.
		if limit := uint64(4<<20 + 200*len(body)*(maxDependencies+3)); bytes > limit {
			t.Errorf("found %d bytes allocated for an answer of %d", bytes, len(body))
		}
		if err == nil {
			return
		}
		if text := err.Error(); len(text) > 4000 || strings.ContainsAny(text, "\x1b\n\r") {
			t.Errorf("found an error of %d bytes, expected one line: %q", len(text), text)
		}
	})
}
