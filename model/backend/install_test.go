package backend

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gomlx/go-xla/pjrt"
	"github.com/google/go-cmp/cmp"
)

func digest(content []byte) string {
	sum := sha256.Sum256(content)
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
	if err := archive.Close(); err != nil {
		panic(err)
	}
	return buffer.Bytes()
}

// fakePlugin is what is in the wheel of a fake project.
func fakePlugin(project string) string { return strings.Repeat("plugin of "+project+"\n", 1000) }

func fakeWheel(project string) []byte {
	return zipped(project+"/__init__.py", "", project+"/plugin.so", fakePlugin(project))
}

func fakePin(project string) pin {
	return pin{project, "1.0", project + "/plugin.so", digest(fakeWheel(project)), digest([]byte(fakePlugin(project))), int64(len(fakePlugin(project)))}
}

// fakePlugins installs into a folder from a server of fake projects.
func fakePlugins(folder, server string, pinned ...pin) Plugins {
	return Plugins{
		Directory:   folder,
		Index:       server + "/pypi",
		HashRecord:  filepath.Join(filepath.Dir(folder), "plugins.json"),
		Environment: variables("PJRT_PLUGIN_LIBRARY_PATH", folder),
		pinned:      pinned,
		releases:    server + "/releases",
		platform:    "linux_amd64",
		stall:       time.Minute,
		nvidia:      func() bool { return false },
	}
}

// fakeIndex is a package index that counts its requests. Handlers by path stand
// before what it answers by itself: the JSON and the wheel of any project.
type fakeIndex struct {
	*httptest.Server
	handlers map[string]http.HandlerFunc
	mutex    sync.Mutex
	requests map[string]int
}

func newIndex(t *testing.T) *fakeIndex {
	t.Helper()
	index := &fakeIndex{handlers: map[string]http.HandlerFunc{}, requests: map[string]int{}}
	index.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		index.mutex.Lock()
		index.requests[r.URL.Path]++
		handler := index.handlers[r.URL.Path]
		index.mutex.Unlock()
		parts := strings.Split(r.URL.Path, "/")
		if handler != nil {
			handler(w, r)
		} else if len(parts) == 4 && parts[1] == "pypi" {
			writeProject(w, parts[2], index.URL+"/wheels/"+parts[2], index.URL+"/project/"+parts[2]+"/")
		} else if len(parts) == 3 && parts[1] == "wheels" {
			w.Write(fakeWheel(parts[2]))
		} else {
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(index.Close)
	return index
}

// writeProject answers as the index does about a project with one version.
func writeProject(w io.Writer, project, address, page string) {
	json.NewEncoder(w).Encode(map[string]any{
		"info": map[string]string{"name": project, "version": "1.0", "project_url": page},
		"releases": map[string]any{"1.0": []map[string]any{
			{"filename": project + "-1.0-py3-none-win_amd64.whl", "url": "/never"},
			{"filename": project + "-1.0-py3-none-manylinux_2_27_x86_64.whl", "url": address},
		}},
	})
}

// handle sets the handler of a path, or with nil removes it.
func (i *fakeIndex) handle(path string, handler http.HandlerFunc) {
	i.mutex.Lock()
	defer i.mutex.Unlock()
	i.handlers[path] = handler
}

func (i *fakeIndex) count(path string) int {
	i.mutex.Lock()
	defer i.mutex.Unlock()
	return i.requests[path]
}

// files lists what is below a folder, folders with a slash at the end.
func files(t *testing.T, folder string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == folder {
			return err
		}
		name, _ := filepath.Rel(folder, path)
		if entry.IsDir() {
			name += "/"
		}
		names = append(names, name)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestInstallCPU(t *testing.T) {
	const installed = "pjrt_c_api_cpu_v1.0-epochal_plugin.so"
	wheel, page := "/wheels/first", "/pypi/first/json"
	answer := func(content string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, content) }
	}
	errorPage := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, "<html>sorry</html>")
	}
	changedPin := func(change func(*pin)) []pin {
		p := fakePin("first")
		change(&p)
		return []pin{p}
	}
	for _, c := range []struct {
		name   string
		path   string // handled by handle
		handle http.HandlerFunc
		pinned []pin
		want   string // part of the error; "" when the plugin is installed
	}{
		{"success", "", nil, nil, ""},
		{"relative address", page, func(w http.ResponseWriter, r *http.Request) {
			writeProject(w, "first", "../../wheels/first", "http://"+r.Host+"/project/first/")
		}, nil, ""},
		{"relative address, no page", page, func(w http.ResponseWriter, r *http.Request) {
			writeProject(w, "first", "../../wheels/first", "")
		}, nil, ""},
		{"redirect", wheel, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/wheels/second", http.StatusFound)
		}, changedPin(func(p *pin) {
			*p = fakePin("second")
			p.project = "first"
		}), ""},
		{"wrong wheel hash", "", nil, changedPin(func(p *pin) { p.wheelSHA256 = one }), "has the SHA-256 " + digest(fakeWheel("first")) + ", expected " + one},
		{"wrong plugin hash", "", nil, changedPin(func(p *pin) { p.pluginSHA256 = one }), "the unpacked plugin has the SHA-256 " + digest([]byte(fakePlugin("first"))) + ", expected " + one},
		{"other file in the wheel", "", nil, changedPin(func(p *pin) { p.member = "first/other.so" }), "unpack first/other.so from the wheel: file does not exist"},
		{"truncated", wheel, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "1000")
			io.WriteString(w, "short")
		}, nil, "/wheels/first: after 5 of 1000 bytes: unexpected EOF"},
		{"too long", wheel, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "1073741825")
		}, nil, "/wheels/first: longer than the limit of 1073741824 bytes"},
		{"page instead of JSON", page, errorPage, nil, "/pypi/first/json: the answer is 18 bytes of text/html, expected JSON"},
		{"page instead of a wheel", wheel, errorPage, nil, "/wheels/first: what came (text/html) has the SHA-256"},
		{"redirect to a page", wheel, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/sorry", http.StatusFound)
		}, nil, "/sorry: the server answered 404 Not Found, expected 200 OK"},
		{"no such project", page, http.NotFound, nil, "/pypi/first/json: the server answered 404 Not Found, expected 200 OK"},
		{"no such version", page, answer(`{"releases": {"2.0": [], "0.9": []}}`), nil, "the index has no version 1.0, only 0.9, 2.0"},
		{"no wheel for the system", page, answer(`{"releases": {"1.0": [{"filename": "first-1.0-win.whl"}]}}`), nil, "no release found for platform"},
	} {
		t.Run(c.name, func(t *testing.T) {
			index := newIndex(t)
			if c.path != "" {
				index.handle(c.path, c.handle)
			}
			if c.pinned == nil {
				c.pinned = []pin{fakePin("first")}
			}
			root := t.TempDir()
			p := fakePlugins(filepath.Join(root, "lib", "go-xla"), index.URL, c.pinned...)
			var stages []string
			p.Progress = func(progress Progress) {
				if stage := progress.Stage + " " + progress.File; len(stages) == 0 || stages[len(stages)-1] != stage {
					stages = append(stages, stage)
				}
				if progress.Total > 0 && progress.Done > progress.Total {
					t.Errorf("progress %+v", progress)
				}
			}
			path, err := p.InstallCPU(context.Background())
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("error %v,\nwant it to contain %q", err, c.want)
				}
				if hintOf(err) == "" {
					t.Error("the error has no hint")
				}
				if left := files(t, root); len(left) > 0 {
					t.Errorf("left behind: %q", left)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{"lib/", "lib/go-xla/", "lib/go-xla/" + installed, "lib/plugins.json"}, files(t, root)); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
			sha, known := hashRecord(p.HashRecord).known(path)
			if !known || sha != c.pinned[0].pluginSHA256 {
				t.Errorf("recorded hash %q, want %q", sha, c.pinned[0].pluginSHA256)
			}
			if content, err := os.ReadFile(path); err != nil || digest(content) != c.pinned[0].pluginSHA256 {
				t.Errorf("%s has another content, %v", path, err)
			}
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o755 {
				t.Errorf("mode %v, %v, want 0755", info.Mode(), err)
			}
			if found, ok := p.Find("cpu"); !ok || found != path {
				t.Errorf("Find = %q, want %q", found, path)
			}
			if diff := cmp.Diff([]string{"download first", "unpack " + installed}, stages); diff != "" {
				t.Errorf("stages (-want +got):\n%s", diff)
			}

			// A second time there is nothing to do, even where nothing can be written.
			if err := os.Chmod(p.Directory, 0o555); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.Chmod(p.Directory, 0o755) })
			if again, err := p.InstallCPU(context.Background()); err != nil || again != path || index.count(page) != 1 {
				t.Errorf("again: %q, %v after %d requests, want %q after 1", again, err, index.count(page), path)
			}
		})
	}
}

// stalling is a body that gives a few bytes and then nothing until its request ends.
type stalling struct {
	ctx  context.Context
	text string
}

func (s *stalling) Read(buffer []byte) (int, error) {
	n := copy(buffer, s.text)
	s.text = s.text[n:]
	if n == 0 {
		<-s.ctx.Done()
		return 0, s.ctx.Err()
	}
	return n, nil
}

func (s *stalling) Close() error { return nil }

// The clock is synctest's and the index has no network, so no machine is too slow.
func TestInstallCPUStalled(t *testing.T) {
	for _, path := range []string{"/pypi/first/json", "/wheels/first"} {
		t.Run(path, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const server = "http://index.invalid"
				root := t.TempDir()
				p := fakePlugins(root+"/lib", server, fakePin("first"))
				p.Client = &http.Client{Transport: roundTripper(func(request *http.Request) (*http.Response, error) {
					var page bytes.Buffer
					writeProject(&page, "first", server+"/wheels/first", "")
					body := io.NopCloser(&page)
					if request.URL.Path == path {
						body = &stalling{request.Context(), "some"}
					}
					return &http.Response{StatusCode: http.StatusOK, Body: body, Request: request}, nil
				})}
				_, err := p.InstallCPU(context.Background())
				if want := server + path + ": less than 1024 bytes arrived in 1m0s"; err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("error %v, want it to contain %q", err, want)
				}
				if left := files(t, root); len(left) > 0 {
					t.Errorf("left behind: %q", left)
				}
			})
		})
	}
}

func TestInstallCPUCancelled(t *testing.T) {
	index := newIndex(t)
	ctx, cancel := context.WithCancel(context.Background())
	index.handle("/wheels/first", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000")
		io.WriteString(w, "some")
		w.(http.Flusher).Flush()
		cancel()
		<-r.Context().Done()
	})
	root := t.TempDir()
	_, err := fakePlugins(root+"/lib", index.URL, fakePin("first"), fakePin("second")).InstallCPU(ctx)
	if !errors.Is(err, context.Canceled) || hintOf(err) != "" {
		t.Errorf("error %v with hint %q, want context canceled without one", err, hintOf(err))
	}
	if left := files(t, root); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	if index.count("/pypi/second/json") > 0 {
		t.Error("the second plugin was tried after the cancellation")
	}
}

func TestInstallCPUSecondSource(t *testing.T) {
	index := newIndex(t)
	index.handle("/pypi/first/json", http.NotFound)
	p := fakePlugins(t.TempDir()+"/lib", index.URL, fakePin("first"), fakePin("second"))
	p.pinned[1].version = "1.0"
	for range 2 {
		path, err := p.InstallCPU(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if content, _ := os.ReadFile(path); string(content) != fakePlugin("second") {
			t.Errorf("%s is not the second plugin", path)
		}
	}
	if got := index.count("/wheels/second"); got != 1 {
		t.Errorf("%d downloads, want 1", got)
	}
}

func TestInstallCPUKeepsAndSweeps(t *testing.T) {
	index := newIndex(t)
	index.handle("/wheels/first", http.NotFound)
	root := t.TempDir()
	p := fakePlugins(root, index.URL, fakePin("first"))
	p.HashRecord = filepath.Join(t.TempDir(), "plugins.json")
	// The first has the pinned name and size, but is damaged.
	damaged := filepath.Join(root, fakePin("first").file())
	if err := os.WriteFile(damaged, make([]byte, fakePin("first").pluginSize), 0o755); err != nil {
		t.Fatal(err)
	}
	touch(t, root+"/pjrt_c_api_cpu_plugin.so", root+"/.partial-1.so", root+"/.partial-2/file")
	want := []string{"pjrt_c_api_cpu_plugin.so", fakePin("first").file()}
	if _, err := p.InstallCPU(context.Background()); err == nil {
		t.Error("no error")
	}
	if diff := cmp.Diff(want, files(t, root)); diff != "" {
		t.Errorf("after a failure (-want +got):\n%s", diff)
	}
	index.handle("/wheels/first", nil)
	if _, err := p.InstallCPU(context.Background()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, files(t, root)); diff != "" {
		t.Errorf("after a success (-want +got):\n%s", diff)
	}
	if content, _ := os.ReadFile(damaged); string(content) != fakePlugin("first") {
		t.Error("the damaged plugin was not replaced")
	}

	// A copy under another name will do.
	if err := os.Rename(damaged, root+"/pjrt_c_api_cpu_plugin.so"); err != nil {
		t.Fatal(err)
	}
	if path, err := p.InstallCPU(context.Background()); err != nil || path != root+"/pjrt_c_api_cpu_plugin.so" || index.count("/wheels/first") != 2 {
		t.Errorf("with a copy: %q, %v after %d downloads", path, err, index.count("/wheels/first"))
	}
}

func TestInstallCPUErrors(t *testing.T) {
	index := newIndex(t)
	index.handle("/pypi/first/json", http.NotFound)
	index.handle("/wheels/second", http.NotFound)
	folder := t.TempDir() + "/lib"
	p := fakePlugins(folder, index.URL, fakePin("first"), fakePin("second"))
	_, err := p.InstallCPU(context.Background())
	want := fmt.Sprintf("install the XLA CPU plugin into %s: "+
		"first 1.0: %s/pypi/first/json: the server answered 404 Not Found, expected 200 OK; "+
		"second 1.0: %s/wheels/second: the server answered 404 Not Found, expected 200 OK", folder, index.URL, index.URL)
	if err == nil || err.Error() != want {
		t.Errorf("error:\n got %v\nwant %s", err, want)
	}

	touch(t, folder)
	if _, err := p.InstallCPU(context.Background()); err == nil || !strings.Contains(err.Error(), "not a directory") {
		t.Errorf("with a file in the folder's place: %v", err)
	}
	p.Directory, p.Index = t.TempDir(), "://"
	if _, err := p.InstallCPU(context.Background()); err == nil || !strings.Contains(err.Error(), `package index "://"`) {
		t.Errorf("with an impossible index: %v", err)
	}
	p.platform, p.pinned = "plan9_386", []pin{}
	want = "go-xla's release " + pjrt.DefaultCPUVersion + ": there is none for plan9_386, only for linux_amd64, linux_arm64 or darwin_arm64"
	if _, err := p.InstallCPU(context.Background()); err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("on another system: %v, want %s", err, want)
	}
}

// Where plugins are pinned, nothing without a known hash is ever asked for, and
// a wrong hash ends the installation.
func TestInstallCPUTakesNothingUnpinned(t *testing.T) {
	release := "/releases/" + pjrt.DefaultCPUVersion + "/pjrt_cpu_linux_amd64.tar.gz"
	wrongWheel, wrongPlugin := fakePin("first"), fakePin("first")
	wrongWheel.wheelSHA256, wrongPlugin.pluginSHA256 = one, one
	for _, c := range []struct {
		name   string
		first  pin
		broken bool // the index does not answer
		second int  // requests for the second plugin
	}{
		{"wheel with a wrong hash", wrongWheel, false, 0},
		{"plugin with a wrong hash", wrongPlugin, false, 0},
		{"unavailable", fakePin("first"), true, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			index := newIndex(t)
			if c.broken {
				index.handle("/pypi/first/json", http.NotFound)
				index.handle("/pypi/second/json", http.NotFound)
			}
			root := t.TempDir()
			p := fakePlugins(root+"/lib", index.URL, c.first, fakePin("second"))
			path, err := p.InstallCPU(context.Background())
			if _, changed := errors.AsType[*hashError](err); err == nil || changed == c.broken {
				t.Errorf("%q, error %v, want a wrong hash: %v", path, err, !c.broken)
			}
			if got := index.count("/pypi/second/json"); got != c.second {
				t.Errorf("%d requests for the second plugin, want %d", got, c.second)
			}
			if got := index.count(release); got != 0 {
				t.Errorf("%d requests for the release, which has no known hash", got)
			}
			if left := files(t, root); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

func TestInstallWithoutHome(t *testing.T) {
	t.Setenv("HOME", "")
	p := fakePlugins("", "", fakePin("first"))
	for want, install := range map[string]func(context.Context) (string, error){
		"install the XLA CPU plugin: no install folder: the home folder is unknown": p.InstallCPU,
		"install the CUDA plugin: no install folder: the home folder is unknown":    p.InstallCUDA,
	} {
		_, err := install(context.Background())
		if err == nil || err.Error() != want || hintOf(err) != "set HOME or PJRT_PLUGIN_LIBRARY_PATH" {
			t.Errorf("error %v with hint %q, want %s", err, hintOf(err), want)
		}
	}
	_, _, err := Open(context.Background(), XLACPU, Options{Plugins: p})
	want := `backend "xla:cpu": no PJRT plugin "cpu" in the plugin folders, expected a file such as pjrt_c_api_cpu_plugin.so`
	if err == nil || err.Error() != want {
		t.Errorf("error:\n got %v\nwant %s", err, want)
	}
}

func TestInstallRelease(t *testing.T) {
	name := "pjrt_c_api_cpu_" + pjrt.DefaultCPUVersion + "_plugin"
	archive := func(file string) []byte {
		var buffer bytes.Buffer
		compressed := gzip.NewWriter(&buffer)
		packed := tar.NewWriter(compressed)
		for _, name := range []string{"LICENSE", file} {
			packed.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: 7, Mode: 0o644})
			io.WriteString(packed, "content")
		}
		packed.Close()
		compressed.Close()
		return buffer.Bytes()
	}
	for _, c := range []struct {
		platform, asset string
		content         []byte
		file, want      string
	}{
		{"linux_arm64", "pjrt_cpu_linux_arm64.tar.gz", archive(name + ".so"), name + ".so", ""},
		{"linux_amd64", "pjrt_cpu_linux_amd64.tar.gz", archive("below/" + name + ".so"), name + ".so", ""},
		{"linux_arm64", "pjrt_cpu_linux_arm64.tar.gz", archive("other.so"), "", "no file pjrt_c_api_cpu_*_plugin.so in the archive"},
		{"linux_arm64", "pjrt_cpu_linux_arm64.tar.gz", []byte("<html>"), "", "what came is text/html; charset=utf-8, expected an archive"},
	} {
		t.Run(c.platform+" "+c.want, func(t *testing.T) {
			index := newIndex(t)
			address := "/releases/" + pjrt.DefaultCPUVersion + "/" + c.asset
			index.handle(address, func(w http.ResponseWriter, r *http.Request) { w.Write(c.content) })
			root := t.TempDir()
			p := fakePlugins(root+"/lib", index.URL)
			p.platform, p.pinned = c.platform, []pin{}
			// The plugin has no known hash, so nothing is downloaded unasked.
			_, _, err := Open(context.Background(), XLACPU, Options{Plugins: p, AutoInstall: true})
			if err == nil || !strings.Contains(err.Error(), "has a known SHA-256") || hintOf(err) != hintCPU || index.count(address) > 0 {
				t.Errorf("opened with AutoInstall: %v with hint %q after %d downloads", err, hintOf(err), index.count(address))
			}
			for range 2 {
				path, err := p.InstallCPU(context.Background())
				if c.want != "" {
					if err == nil || !strings.Contains(err.Error(), c.want) {
						t.Errorf("error %v, want it to contain %q", err, c.want)
					}
					if left := files(t, root); len(left) > 0 {
						t.Errorf("left behind: %q", left)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if content, _ := os.ReadFile(path); string(content) != "content" {
					t.Errorf("%s has the content %q", path, content)
				}
				if diff := cmp.Diff([]string{"lib/", "lib/" + c.file, "plugins.json"}, files(t, root)); diff != "" {
					t.Errorf("files (-want +got):\n%s", diff)
				}
			}
			if index.count(address) != 1 {
				t.Errorf("%d downloads, want 1", index.count(address))
			}
		})
	}
}

func TestInstallCPUConcurrently(t *testing.T) {
	index := newIndex(t)
	var group, waiting sync.WaitGroup
	waiting.Add(3)
	index.handle("/wheels/first", func(w http.ResponseWriter, r *http.Request) {
		waiting.Wait()
		w.Write(fakeWheel("first"))
	})
	root := t.TempDir()
	for range 4 {
		group.Go(func() {
			p := fakePlugins(root+"/lib", index.URL, fakePin("first"))
			p.Progress = func(progress Progress) {
				if progress.Stage == StageWait {
					waiting.Done()
				}
			}
			if _, err := p.InstallCPU(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if got := index.count("/wheels/first"); got != 1 {
		t.Errorf("%d downloads, want 1", got)
	}
	if diff := cmp.Diff([]string{"lib/", "lib/" + fakePin("first").file(), "plugins.json"}, files(t, root)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestInstallCPUTwoProcesses(t *testing.T) {
	index := newIndex(t)
	// Slow enough for the processes to meet, mostly.
	index.handle("/wheels/first", func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(300 * time.Millisecond)
		w.Write(fakeWheel("first"))
	})
	folder := t.TempDir() + "/lib"
	var group sync.WaitGroup
	for range 2 {
		group.Go(func() {
			child := exec.Command(os.Args[0])
			child.Env = append(os.Environ(), childMode+"=install", "DIRECTORY="+folder, "SERVER="+index.URL)
			output, err := child.CombinedOutput()
			if want := filepath.Join(folder, fakePin("first").file()); err != nil || string(output) != want {
				t.Errorf("child: %v, %s, want %s", err, output, want)
			}
		})
	}
	group.Wait()
	if got := index.count("/wheels/first"); got != 1 {
		t.Errorf("%d downloads, want 1", got)
	}
}

// A waiting installer gives up when it is cancelled, and one whose lock file
// was removed by the former holder takes the new one.
func TestLock(t *testing.T) {
	p := fakePlugins(t.TempDir()+"/lib", "").withDefaults()
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	_, err := p.locked(context.Background(), func(waited bool) (string, error) {
		if waited {
			t.Error("the first installer waited")
		}
		_, err := p.locked(ctx, func(bool) (string, error) { return "", errors.New("two at once") })
		return "", err
	})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("second installer: %v, want %v", err, context.DeadlineExceeded)
	}
	if _, err := os.Stat(p.Directory); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder is still there: %v", err)
	}
	_, err = p.locked(context.Background(), func(bool) (string, error) { panic("at the disco") })
	if want := "panic in the backend's library: at the disco"; err == nil || err.Error() != want {
		t.Errorf("after a panic: %v, want %s", err, want)
	}
	if _, err := p.locked(context.Background(), func(bool) (string, error) { return "", nil }); err != nil {
		t.Errorf("the lock is not free after a panic: %v", err)
	}
}
