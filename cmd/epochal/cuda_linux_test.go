package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"epochal/model/backend/backendtest"

	"golang.org/x/sys/unix"
)

// ran is a command that ended with a code, in a folder and with these variables.
func ran(t *testing.T, folder string, environment []string, code int, args ...string) *process {
	t.Helper()
	p := prepare(t, folder, append([]string{program(t)}, args...)...)
	p.Env = append(p.Env, environment...)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	if found := p.code(t); found != code {
		t.Fatalf("%q: found exit code %d, expected %d, printed\n%s", args, found, code, p.stderr.String())
	}
	return p
}

func expect(t *testing.T, text, pattern string) {
	t.Helper()
	if !regexp.MustCompile(pattern).MatchString(text) {
		t.Errorf("found %s, expected %s in it", text, pattern)
	}
}

// The commands on GPUs that are not there, and the losses of the processor.
func TestCommandsOnCUDA(t *testing.T) {
	g := backendtest.CUDA(t, "NVIDIA H100 80GB HBM3", "NVIDIA A100-SXM4-40GB")
	folder := dataFolder(t)
	train := func(out string, more ...string) *process {
		return ran(t, folder, g.Environment, exitDone, append([]string{"train", "--data", "d", "--layer-sizes", "8", "--batch-size", "4",
			"--learning-rate", "0.1", "--epochs", "2", "--out", out}, more...)...)
	}
	train("cpu", "--backend", "xla:cpu")
	expect(t, train("auto").stderr.String(), `training on xla:cuda \(NVIDIA H100 80GB HBM3, CUDA 13.0\)`)
	expect(t, train("cuda", "--backend", "xla:cuda", "--device", "1").stderr.String(),
		`training on xla:cuda \(NVIDIA A100-SXM4-40GB, CUDA 13.0\)`)
	sameLosses(t, filepath.Join(folder, "auto"), filepath.Join(folder, "cpu"))
	sameRun(t, filepath.Join(folder, "cuda"), filepath.Join(folder, "auto"))
	recorded, err := os.ReadFile(filepath.Join(folder, "cuda", "environment.json"))
	if err != nil {
		t.Fatal(err)
	}
	expect(t, string(recorded), fmt.Sprintf(`"version": "PJRT 0[^\0]*"plugin_file": %q,\s+"plugin_sha256": "[0-9a-f]{64}"`, g.Plugin))

	expect(t, ran(t, folder, g.Environment, exitDone, "backends").stdout.String(),
		`xla:cuda +ready +PJRT .* NVIDIA H100 80GB HBM3, CUDA 13.0 .*cuda_plugin.so`)
	ran(t, folder, g.Environment, exitDone, "bench", "--backend", "xla:cuda", "--layer-sizes", "4", "--batch-size", "512", "--rounds", "1",
		"--seconds", "0.01", "--steps-per-call", "1", "--precision", "tf32", "--json", "bench.json")
	measured, err := os.ReadFile(filepath.Join(folder, "bench.json"))
	if err != nil || bytes.Count(measured, []byte(`"process_memory"`)) != 2 || bytes.Contains(measured, []byte("failure")) {
		t.Errorf("found %v and %s, expected two measurements", err, measured)
	}

	expect(t, train("other", "--backend", "xla:cpu", "--device", "1").stderr.String(), "warning: device has no effect on xla:cpu")
	expect(t, ran(t, folder, g.Environment, exitFailed, "train", "--device", "2", "--backend", "xla:cuda").stderr.String(),
		`^epochal: backend "xla:cuda": GPU: found number 2, expected 0 to 1\n$`)
	expect(t, ran(t, folder, g.Environment, exitWrongUse, "train", "--device", "-1").stderr.String(), "^epochal: --device: found -1, expected")
}

// Where there is a GPU without a plugin, a terminal is asked, and nobody else. The name
// of the test is in the path of a plugin, where go-xla would take some words for its kind.
func TestInstallationIsOffered(t *testing.T) {
	g := backendtest.CUDA(t, "NVIDIA H100 80GB HBM3")
	folder := dataFolder(t)
	cpu := backendtest.XLA(t).Info.PluginFile
	if err := os.Symlink(cpu, filepath.Join(folder, filepath.Base(cpu))); err != nil {
		t.Fatal(err)
	}
	environment := append(g.Environment, "PJRT_PLUGIN_LIBRARY_PATH="+folder, "HOME="+folder,
		"HTTPS_PROXY=http://127.0.0.1:1", "TERM=dumb")
	const question = `install it now, a download of 2.5 GB, 3.8 GB unpacked\? \[y/N\]`
	for _, c := range []struct {
		name, answer, backend string
		code                  int
		want                  string
	}{
		{"declined", "\n", "auto", exitDone,
			question + `[^\0]*warning: there is an NVIDIA GPU but no CUDA plugin; to\s+use it:\s+epochal\s+backends\s+install\s+cuda`},
		{"accepted", "yes\n", "auto", exitDone, question + `[^\0]*warning: the NVIDIA GPU is not used: install the CUDA plugin into`},
		{"declined by name", "n\n", "xla:cuda", exitFailed, question + `[^\0]*no PJRT plugin "cuda"[^\0]*hint: epochal backends install cuda`},
		{"in a pipe", "", "auto", exitDone, `^epochal: warning: there is an NVIDIA GPU but no CUDA plugin`},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := prepare(t, folder, program(t), "train", "--data", "d", "--layer-sizes", "8", "--epochs", "1",
				"--out", t.TempDir(), "--backend", c.backend)
			p.Env = append(p.Env, environment...)
			printed := func() string { return p.stderr.String() }
			if c.answer != "" {
				screen, keyboard := newTerminalPair(t)
				p.Stdin, p.Stderr = keyboard, keyboard
				io.WriteString(screen, c.answer)
				printed = func() string {
					keyboard.Close()
					text, _ := io.ReadAll(screen) // ends with an error, as there is nobody at the other end
					return string(text)
				}
			}
			if err := p.Start(); err != nil {
				t.Fatal(err)
			}
			code := p.code(t)
			text := strings.ReplaceAll(printed(), "\r", "")
			if code != c.code {
				t.Errorf("found exit code %d, expected %d: %.3000s", code, c.code, text)
			}
			expect(t, text, c.want)
		})
	}
}

// newTerminalPair is a terminal: what a person sees and types, and what a process has.
func newTerminalPair(t *testing.T) (screen, process *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no terminal: %v", err)
	}
	t.Cleanup(func() { screen.Close() })
	number, err := unix.IoctlGetInt(int(screen.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(screen.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		process, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { process.Close() })
	return screen, process
}
