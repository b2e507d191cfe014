package install

import (
	"context"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

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

// Whatever a server sends, an installation that fails changes nothing.
func TestBadAnswersLeaveTheOldState(t *testing.T) {
	s := newServer(t)
	home, folder := newHome(t)
	// A plugin of an older version, and one of the pin's name that is damaged.
	put(t, filepath.Join(folder, "pjrt_c_api_cpu_v0.1_plugin.so"), "old")
	put(t, filepath.Join(folder, pins[0].file()), "damaged")
	s.handle("/second.whl", http.NotFound)
	before := tree(t, home)
	wrong := func(content string) string {
		return "/first.whl: the download has the SHA-256 " + digest(content) + ", expected " + pins[0].sha256
	}
	for _, bad := range []struct {
		name   string
		handle http.HandlerFunc
		want   string // part of the error
	}{
		{"page", answer("<html>sign in</html>"), wrong("<html>sign in</html>")},
		{"nothing", answer(""), wrong("")},
		{"redirect in circles", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.URL.Path, http.StatusFound)
		}, "stopped after 10 redirects"},
		{"error", raw("HTTP/1.1 503 \x1b[31m" + strings.Repeat("sorry ", 1000) + "\r\n\r\n"),
			"the server answered 503 Service Unavailable, expected 200 OK"},
		{"cut short", raw("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nshort"), "after 5 of 1000 bytes: unexpected EOF"},
		{"no answer", raw(""), "EOF"},
		{"another protocol", raw("SSH-2.0-OpenSSH\r\n"), "malformed HTTP"},
		{"other files in the wheel", nil, "unpack first.whl: file does not exist"},
	} {
		t.Run(bad.name, func(t *testing.T) {
			s.handle("/first.whl", bad.handle)
			if bad.handle == nil {
				other := s.add("first.whl", zipped("first/other.so", ""))
				pins[0].sha256 = other.sha256
			}
			second := s.count("/second.whl")
			path, err := Installer{}.CPU(context.Background())
			if err == nil || path != "" || !strings.Contains(err.Error(), bad.want) {
				t.Fatalf("%q and error %v,\nwant it to contain %q", path, err, bad.want)
			}
			_, changed := errors.AsType[*HashError](err)
			if tried := s.count("/second.whl") > second; tried == changed {
				t.Errorf("the second plugin was tried: %v; a wrong hash is final, what cannot be had is not", tried)
			}
			if hint := hintOf(err); !strings.HasPrefix(hint, "check the network") {
				t.Errorf("hint %q", hint)
			}
			if text := err.Error(); len(text) > 2000 || strings.ContainsAny(text, "\x1b\n\r") {
				t.Errorf("an error of %d bytes, want one short line: %q", len(text), text)
			}
			if diff := cmp.Diff(before, tree(t, home)); diff != "" {
				t.Errorf("what was there before (-) and after (+):\n%s", diff)
			}
		})
	}
}

// slow is a body that gives a byte, and the next one some time later.
type slow struct {
	context.Context
	pause time.Duration
}

func (s slow) Read(buffer []byte) (int, error) {
	select {
	case <-s.Done():
		return 0, s.Err()
	case <-time.After(s.pause):
		buffer[0] = ' '
		return 1, nil
	}
}

// The clock is synctest's. A server that falls silent is given up, one that is
// only slow is not.
func TestSilentServers(t *testing.T) {
	const silent = "http://index.invalid/file: nothing arrived for 30s"
	for _, c := range []struct {
		name string
		body func(ctx context.Context) io.Reader // nil: not even an answer
		want string
	}{
		{"no answer", nil, silent},
		{"silent", func(ctx context.Context) io.Reader { return slow{ctx, time.Hour} }, silent},
		{"slow", func(ctx context.Context) io.Reader { return io.LimitReader(slow{ctx, 20 * time.Second}, 100) }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			target := filepath.Join(t.TempDir(), "file")
			synctest.Test(t, func(t *testing.T) {
				transport(t, func(request *http.Request) (*http.Response, error) {
					if c.body == nil {
						<-request.Context().Done()
						return nil, request.Context().Err()
					}
					body := io.NopCloser(c.body(request.Context()))
					return &http.Response{StatusCode: http.StatusOK, Body: body, Request: request}, nil
				})
				_, err := Installer{}.download(context.Background(), "http://index.invalid/file", target)
				if err == nil && c.want != "" || err != nil && err.Error() != c.want {
					t.Errorf("error %v, want %q", err, c.want)
				}
			})
		})
	}
}
