package install

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gomlx/go-xla/pjrt"
	"github.com/google/go-cmp/cmp"
)

func TestCPU(t *testing.T) {
	for name, handle := range map[string]http.HandlerFunc{
		"at once": answer(string(fakeWheel("first"))),
		"redirected": func(w http.ResponseWriter, r *http.Request) {
			if r.URL.RawQuery == "" {
				http.Redirect(w, r, r.URL.Path+"?again", http.StatusFound)
				return
			}
			w.Write(fakeWheel("first"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			_, folder := newHome(t)
			s.handle("/first.whl", handle)
			// A damaged plugin is replaced, what an installer left that was killed goes, and
			// the user's own plugin stays.
			put(t, filepath.Join(folder, pins[0].file()), "damaged")
			put(t, filepath.Join(folder, ".partial/plugin"), "half")
			put(t, filepath.Join(folder, "pjrt_c_api_cpu_plugin.so"), "own")
			var stages []string
			installer := Installer{Progress: func(p Progress) {
				if stage := p.Stage + " " + p.File; len(stages) == 0 || stages[len(stages)-1] != stage {
					stages = append(stages, stage)
				}
				if p.Total > 0 && p.Done > p.Total {
					t.Errorf("progress %+v", p)
				}
			}}
			path, err := installer.CPU(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			const installed = "pjrt_c_api_cpu_vfirst-epochal_plugin.so"
			want := map[string]string{installed: fakePlugin("first"), "pjrt_c_api_cpu_plugin.so": "own"}
			if diff := cmp.Diff(want, tree(t, folder)); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
			if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o500 != 0o500 {
				t.Errorf("mode %v, %v", info.Mode(), err)
			}
			if found, ok := Find("cpu"); !ok || found != path || filepath.Base(path) != installed {
				t.Errorf("found %q, want %q", found, path)
			}
			if diff := cmp.Diff([]string{"download first.whl", "unpack first.whl"}, stages); diff != "" {
				t.Errorf("stages (-want +got):\n%s", diff)
			}
			// A second time there is nothing to do, even where nothing can be written.
			if err := os.Chmod(folder, 0o555); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.Chmod(folder, 0o755) })
			before := s.count("/first.whl")
			if again, err := installer.CPU(context.Background()); err != nil || again != path || s.count("/first.whl") != before {
				t.Errorf("again: %q, %v after %d requests, want %q after %d", again, err, s.count("/first.whl"), path, before)
			}
		})
	}
}

func TestSecondPin(t *testing.T) {
	s := newServer(t)
	newHome(t)
	s.handle("/first.whl", http.NotFound)
	for range 2 {
		path, err := Installer{}.PinnedCPU(context.Background())
		if err != nil || content(path) != fakePlugin("second") {
			t.Fatalf("%q, %v, want the second plugin", path, err)
		}
	}
	if got := s.count("/second.whl"); got != 1 {
		t.Errorf("%d downloads, want 1", got)
	}

	// Without either, the error names both.
	_, folder := newHome(t)
	s.handle("/second.whl", http.NotFound)
	_, err := Installer{}.PinnedCPU(context.Background())
	want := "install the XLA CPU plugin into " + folder + ": " +
		s.URL + "/first.whl: the server answered 404 Not Found, expected 200 OK; " +
		s.URL + "/second.whl: the server answered 404 Not Found, expected 200 OK"
	if err == nil || err.Error() != want {
		t.Errorf("error:\n got %v\nwant %s", err, want)
	}
	s.Close()
	if _, err = (Installer{}).PinnedCPU(context.Background()); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("offline: error %v", err)
	}
}

func TestNoFolder(t *testing.T) {
	newServer(t)
	home, _ := newHome(t)
	put(t, filepath.Join(home, ".local"), "a file")
	if _, err := (Installer{}).CPU(context.Background()); err == nil || !strings.Contains(err.Error(), "not a directory") {
		t.Errorf("with a file in the folder's place: %v", err)
	}
	t.Setenv("HOME", "")
	for what, install := range map[string]func(context.Context) (string, error){
		"XLA CPU": Installer{}.CPU, "CUDA": Installer{}.CUDA,
	} {
		_, err := install(context.Background())
		want := "install the " + what + " plugin: found no home folder to install it into"
		if err == nil || err.Error() != want || hintOf(err) != elsewhere {
			t.Errorf("error %v with hint %q, want %s", err, hintOf(err), want)
		}
	}
	if advice := Advice("cpu"); advice != elsewhere {
		t.Errorf("found the advice %q, expected %q", advice, elsewhere)
	}
}

// tarred returns a .tar.gz of one file.
func tarred(name, content string) string {
	var buffer bytes.Buffer
	compressed := gzip.NewWriter(&buffer)
	packed := tar.NewWriter(compressed)
	packed.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(content)), Mode: 0o755})
	io.WriteString(packed, content)
	packed.Close()
	compressed.Close()
	return buffer.String()
}

func TestRelease(t *testing.T) {
	name := "pjrt_c_api_cpu_" + pjrt.DefaultCPUVersion + "_plugin.so"
	const address = "/gomlx/pjrt-cpu-binaries/releases/download/v0.114.0/pjrt_cpu_linux_arm64.tar.gz"
	program, err := os.ReadFile(os.Args[0]) // a plugin has to be a complete ELF file
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(t)
	home, folder := newHome(t)
	set(t, &platform, "linux_arm64")
	transport(t, func(request *http.Request) (*http.Response, error) {
		request.URL.Scheme, request.URL.Host = "http", strings.TrimPrefix(s.URL, "http://")
		return http.DefaultTransport.RoundTrip(request)
	})
	// The plugin has no known hash, so nothing is downloaded unasked.
	_, err = Installer{}.PinnedCPU(context.Background())
	if err == nil || !strings.Contains(err.Error(), "no SHA-256 is known for linux_arm64") ||
		hintOf(err) != "epochal backends install cpu" || s.count(address) > 0 {
		t.Errorf("unasked: %v with hint %q after %d downloads", err, hintOf(err), s.count(address))
	}
	for archive, want := range map[string]string{
		"<html>": "gzip", tarred(name, "plugin")[:40]: "EOF", tarred("other", ""): "no such file", "": "EOF",
	} {
		s.handle(address, answer(archive))
		if _, err := (Installer{}).CPU(context.Background()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want it to contain %q", err, want)
		}
		if left := tree(t, home); len(left) > 0 {
			t.Errorf("left behind: %d files", len(left))
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.handle(address, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	if _, err := (Installer{}).CPU(ctx); !errors.Is(err, context.Canceled) || hintOf(err) != "" {
		t.Errorf("error %v with hint %q, want context canceled without one", err, hintOf(err))
	}
	s.handle(address, answer(tarred(name, string(program))))
	before := s.count(address)
	for range 2 {
		path, err := Installer{}.CPU(context.Background())
		if err != nil || path != filepath.Join(folder, name) || content(path) != string(program) || s.count(address) != before+1 {
			t.Errorf("%q, %v after %d downloads", path, err, s.count(address)-before)
		}
	}
}

// One of two installers downloads, the other waits for it.
func TestTwoProcesses(t *testing.T) {
	s := newServer(t)
	_, folder := newHome(t)
	// Slow enough for the processes to meet, mostly.
	s.handle("/first.whl", func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(300 * time.Millisecond)
		w.Write(fakeWheel("first"))
	})
	var group sync.WaitGroup
	for range 2 {
		group.Go(func() {
			child := exec.Command(os.Args[0])
			child.Env = append(os.Environ(), childServer+"="+s.URL)
			output, err := child.CombinedOutput()
			// Nothing else is written, neither to standard output nor to standard error.
			if want := filepath.Join(folder, pins[0].file()); err != nil || string(output) != want {
				t.Errorf("child: %v, %s, want %s", err, output, want)
			}
		})
	}
	group.Wait()
	if got := s.count("/first.whl"); got != 1 {
		t.Errorf("%d downloads, want 1", got)
	}
}

// An installer that waits says so, and gives up when it is cancelled.
func TestWaitIsCancelled(t *testing.T) {
	newHome(t)
	_, err := Installer{}.install(context.Background(), product{}, func(ctx context.Context, _, _ string) (string, error) {
		ctx, cancel := context.WithCancel(ctx)
		waits := Installer{Progress: func(p Progress) {
			if p == (Progress{Stage: StageWait, File: ".install.lock"}) {
				cancel()
			}
		}}
		return waits.install(ctx, product{}, func(context.Context, string, string) (string, error) { return "", errors.New("two at once") })
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
}

// A download that is interrupted leaves what was there before, and no other is tried.
func TestCancelled(t *testing.T) {
	s := newServer(t)
	home, _ := newHome(t)
	ctx, cancel := context.WithCancel(context.Background())
	s.handle("/first.whl", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000")
		io.WriteString(w, "some")
		w.(http.Flusher).Flush()
		cancel()
		<-r.Context().Done()
	})
	_, err := Installer{}.CPU(ctx)
	if !errors.Is(err, context.Canceled) || hintOf(err) != "" {
		t.Errorf("error %v with hint %q, want context canceled without one", err, hintOf(err))
	}
	if left := tree(t, home); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	if s.count("/second.whl") > 0 {
		t.Error("the second plugin was tried after the cancellation")
	}
}
