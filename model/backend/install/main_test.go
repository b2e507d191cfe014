package install

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// childServer is a variable with which this test binary becomes a process that
// installs the first fake plugin from that server.
const childServer = "EPOCHAL_INSTALL_TEST_SERVER"

func TestMain(m *testing.M) {
	server := os.Getenv(childServer)
	if server == "" {
		os.Exit(m.Run())
	}
	files, platform, pins = server+"/", pinnedPlatform, []pin{fakePin("first")}
	path, err := Installer{Warn: func(text string) { fmt.Fprintln(os.Stderr, "warning:", text) }}.CPU(context.Background())
	if err != nil {
		fmt.Fprint(os.Stderr, err, "; hint: ", hintOf(err))
		os.Exit(1)
	}
	fmt.Print(path)
}

// set sets a variable for the time of a test.
func set[T any](t testing.TB, variable *T, value T) {
	before := *variable
	*variable = value
	t.Cleanup(func() { *variable = before })
}

// newHome makes an empty home folder the user's, with its cache, and returns it
// with the install folder. Plugins are looked for in the install folder only.
func newHome(t testing.TB) (home, folder string) {
	t.Helper()
	home = t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_CACHE_HOME", filepath.Join(t.TempDir()))
	folder, err := Directory()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PJRT_PLUGIN_LIBRARY_PATH", folder)
	return home, folder
}

// put makes a file with the folders above it.
func put(t testing.TB, name, content string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(content), 0o644)); err != nil {
		t.Fatal(err)
	}
}

// content returns what is in a file, "" if there is none.
func content(name string) string {
	text, _ := os.ReadFile(name)
	return string(text)
}

// tree lists what is below a folder but for lock files: files with their content,
// links with their target.
func tree(t testing.TB, folder string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || entry.Name() == ".install.lock" {
			return err
		}
		name, _ := filepath.Rel(folder, path)
		all[name] = content(path)
		if target, err := os.Readlink(path); err == nil {
			all[name] = "-> " + target
		}
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return all
}

// hintOf finds a hint as the command does, without knowing the type.
func hintOf(err error) string {
	var hinted interface{ Hint() string }
	if errors.As(err, &hinted) {
		return hinted.Hint()
	}
	return ""
}

func digest[T string | []byte](content T) string {
	sum := sha256.Sum256([]byte(content))
	return hex.EncodeToString(sum[:])
}

// zipped returns an archive of name, content pairs.
func zipped(pairs ...string) []byte {
	var buffer bytes.Buffer
	archive := zip.NewWriter(&buffer)
	for i := 0; i < len(pairs); i += 2 {
		file, err := archive.Create(pairs[i])
		if err == nil {
			_, err = io.WriteString(file, pairs[i+1])
		}
		if err != nil {
			panic(err)
		}
	}
	archive.Close()
	return buffer.Bytes()
}

// fakePlugin is what is in the wheel of a fake project.
func fakePlugin(project string) string { return strings.Repeat("plugin of "+project+"\n", 1000) }

func fakeWheel(project string) []byte {
	return zipped(project+"/__init__.py", "", project+"/plugin.so", fakePlugin(project))
}

func fakePin(project string) pin {
	return pin{wheel{digest(fakeWheel(project)), project + ".whl"}, project, project + "/plugin.so", digest(fakePlugin(project))}
}

// server has the wheels of fake projects and counts its requests.
type server struct {
	*httptest.Server
	mutex    sync.Mutex
	handlers map[string]http.HandlerFunc
	requests map[string]int
}

// newServer starts a server with the projects first and second, which are pinned
// for the time of the test.
func newServer(t testing.TB) *server {
	t.Helper()
	s := &server{handlers: map[string]http.HandlerFunc{}, requests: map[string]int{}}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mutex.Lock()
		s.requests[r.URL.Path]++
		handler := s.handlers[r.URL.Path]
		s.mutex.Unlock()
		if handler == nil {
			handler = http.NotFound
		}
		handler(w, r)
	}))
	t.Cleanup(s.Close)
	s.add("first.whl", fakeWheel("first"))
	s.add("second.whl", fakeWheel("second"))
	set(t, &files, s.URL+"/")
	set(t, &platform, pinnedPlatform)
	set(t, &pins, []pin{fakePin("first"), fakePin("second")})
	return s
}

// add adds a wheel, which it returns.
func (s *server) add(name string, content []byte) wheel {
	s.handle("/"+name, answer(string(content)))
	return wheel{digest(content), name}
}

// handle sets the handler of a path.
func (s *server) handle(path string, handler http.HandlerFunc) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.handlers[path] = handler
}

func (s *server) count(path string) int {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.requests[path]
}

func answer(content string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, content) }
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return f(request) }

// transport sends requests through send for the time of a test.
func transport(t testing.TB, send roundTripper) {
	set(t, &http.DefaultClient.Transport, http.RoundTripper(send))
}
