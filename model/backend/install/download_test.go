package install

import (
	"context"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

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
	s := newCUDAServer(t)
	home, folder := newHome(t)
	if _, err := (Installer{}).CUDA(context.Background()); err != nil {
		t.Fatal(err)
	}
	// A plugin of an older version, and one of the pin's name that is damaged.
	put(t, filepath.Join(folder, "pjrt_c_api_cpu_v0.1_plugin.so"), "old")
	put(t, filepath.Join(folder, pins[0].file()), "damaged")
	put(t, filepath.Join(folder, "nvidia", cudaFile), "old")
	s.handle("/pypi/second/json", http.NotFound)
	before := tree(t, home)
	for _, bad := range []struct {
		name        string
		handle      http.HandlerFunc
		file, index string // parts of the errors of a file and of the index
	}{
		{"page", answer("<html>sign in</html>"), "the download has the SHA-256", "expected JSON: invalid character '<'"},
		{"redirect in circles", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.URL.Path, http.StatusFound)
		}, "stopped after 10 redirects", "stopped after 10 redirects"},
		{"error", raw("HTTP/1.1 503 \x1b[31m" + strings.Repeat("sorry ", 1000) + "\r\n\r\n"),
			"the server answered 503 Service Unavailable, expected 200 OK", "the server answered 503 Service Unavailable, expected 200 OK"},
		{"cut short", raw("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nshort"),
			"after 5 of 1000 bytes: unexpected EOF", "after 5 of 1000 bytes: unexpected EOF"},
		{"cut short in chunks", raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n"), "unexpected EOF", "unexpected EOF"},
		{"no answer", raw(""), "EOF", "EOF"},
		{"another protocol", raw("SSH-2.0-OpenSSH\r\n"), "malformed HTTP", "malformed HTTP"},
		{"JSON of another kind", answer("[1]"), "the download has the SHA-256", "cannot unmarshal array"},
		{"nothing", answer(""), "the download has the SHA-256", "unexpected end of JSON input"},
	} {
		for _, c := range []struct {
			path, platform string
			install        func(context.Context) (string, error)
			want           string
		}{
			{"/wheels/first", pinnedPlatform, Installer{}.CPU, bad.file},
			{"/pypi/first/json", pinnedPlatform, Installer{}.CPU, bad.index},
			{"/wheels/nvidia-cublas", pinnedPlatform, Installer{}.CUDA, bad.file},
			{"/pypi/nvidia-cublas/json", pinnedPlatform, Installer{}.CUDA, bad.index},
		} {
			t.Run(bad.name+" "+c.path, func(t *testing.T) {
				set(t, &platform, c.platform)
				s.replace(t, c.path, bad.handle)
				path, err := c.install(context.Background())
				if err == nil || path != "" || !strings.Contains(err.Error(), c.want) {
					t.Fatalf("%q and error %v,\nwant it to contain %q", path, err, c.want)
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
}

func FuzzIndex(f *testing.F) {
	for _, text := range []string{
		"", "null", "<html>", "{}", `{"info":null,"releases":null}`,
		`{"info":{"project_url":"::"},"releases":{"1":[{"url":"a"}]}}`,
		`{"info":{"version":"1","requires_dist":["nvidia-cublas<14,>=13.0; extra == \"with-cuda\"","x~=1.0"]},` +
			`"releases":{"1":[{"filename":"a-manylinux_2_27_x86_64.whl","url":"http://[::1","digests":{"sha256":"00"}}],` +
			`"1.0.99999999999999999999":[]}}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		address, err := findWheel(body, "https://index/pypi/first/json", wheel{"first", "1", "00"})
		if (address == "") == (err == nil) {
			t.Errorf("found the address %q and the error %v, expected one of them", address, err)
		}
	})
}
