package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"epochal/model/backend"
	"epochal/model/backend/backendtest"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets the scripts, and the tests that need a process of their own, run
// this binary as epochal.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"epochal": main})
}

// TestScripts runs testdata/script/*.txtar. Besides testscript's own commands
// they have
//
//	exits CODE program [arguments]   run it and expect this exit code
//	data FOLDER [train [test]]       write a learnable dataset of 3x4 pixels and 3 classes
//	truncate FILE BYTES              cut a file, or with -N take N bytes off its end
//	flip FILE OFFSET                 invert one bit of a file
//	setbyte FILE OFFSET VALUE        change one byte of a file
//	extend FILE BYTES                append zeros to a file
//	lines FILE COUNT                 expect that many lines
//	pictures FOLDER                  write image files, see makePictures
//
// $GOLDEN is a file of PyTorch's, the weights of a network for MNIST.
func TestScripts(t *testing.T) {
	home, cache := os.Getenv("HOME"), os.Getenv("XDG_CACHE_HOME")
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireUniqueNames:  true,
		RequireExplicitExec: true,
		Condition: func(name string) (bool, error) {
			if name == "xla" {
				// Installs the plugin if need be; without one, skips or fails.
				ready := false
				t.Run("plugin", func(t *testing.T) {
					backendtest.XLA(t)
					ready = true
				})
				return ready, nil
			}
			if name == "cuda" {
				return slices.ContainsFunc(backend.List(), func(s backend.Status) bool {
					return s.Name == backend.XLACUDA && s.State == backend.StateReady
				}), nil
			}
			return false, errors.New("unknown condition " + name)
		},
		Setup: func(e *testscript.Env) error {
			// The plugin is found from here, and perhaps only through a proxy.
			e.Setenv("HOME", home)
			e.Setenv("XDG_CACHE_HOME", cache)
			e.Setenv("LANG", "C.UTF-8")
			golden, err := filepath.Abs("../../experiments/train/testdata/golden/final.safetensors")
			if err != nil {
				return err
			}
			e.Setenv("GOLDEN", golden)
			for _, name := range []string{"HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY",
				"https_proxy", "http_proxy", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR"} {
				if value, set := os.LookupEnv(name); set {
					e.Setenv(name, value)
				}
			}
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits":    exits,
			"data":     makeData,
			"truncate": changeFile(func(data []byte, n ...int) []byte { return data[:(n[0]+len(data))%len(data)] }),
			"flip":     changeFile(func(data []byte, n ...int) []byte { data[n[0]] ^= 1; return data }),
			"setbyte":  changeFile(func(data []byte, n ...int) []byte { data[n[0]] = byte(n[1]); return data }),
			"extend":   changeFile(func(data []byte, n ...int) []byte { return append(data, make([]byte, n[0])...) }),
			"lines":    lines,
			"pictures": func(ts *testscript.TestScript, _ bool, args []string) { ts.Check(makePictures(ts.MkAbs(args[0]))) },
		},
	})
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	want, code := numbers(ts, args[:1])[0], 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if (code == want) == neg {
		ts.Fatalf("found exit code %d, expected %d", code, want)
	}
}

func makeData(ts *testscript.TestScript, neg bool, args []string) {
	counts := []int{470, 90}
	copy(counts, numbers(ts, args[1:]))
	ts.Check(makeDataset(ts.MkAbs(args[0]), counts[0], counts[1]))
}

// dataFolder is a folder with a learnable dataset d.
func dataFolder(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	if err := makeDataset(filepath.Join(folder, "d"), 470, 90); err != nil {
		t.Fatal(err)
	}
	return folder
}

// makeDataset writes a learnable dataset of 3x4 pixels and 3 classes.
func makeDataset(folder string, train, test int) error {
	err := os.MkdirAll(folder, 0o755)
	random := rand.New(rand.NewPCG(1, 1))
	for i, name := range []string{"train", "t10k"} {
		count := []int{train, test}[i]
		pixels, labels := make([]byte, count*12), make([]byte, count)
		for i := range labels {
			labels[i] = byte(i % 3)
			for j := range 12 {
				pixels[i*12+j] = byte(random.UintN(128))
			}
			pixels[i*12+int(labels[i])] = 255
		}
		write := func(kind string, data []byte, header ...uint32) {
			var file []byte
			for _, value := range header {
				file = binary.BigEndian.AppendUint32(file, value)
			}
			err = errors.Join(err, os.WriteFile(filepath.Join(folder, name+kind), append(file, data...), 0o644))
		}
		write("-images-idx3-ubyte", pixels, 0x803, uint32(count), 3, 4)
		write("-labels-idx1-ubyte", labels, 0x801, uint32(count))
	}
	return err
}

// changeFile is a command that changes a file by some numbers.
func changeFile(change func(data []byte, n ...int) []byte) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		path := ts.MkAbs(args[0])
		data, err := os.ReadFile(path)
		ts.Check(err)
		ts.Check(os.WriteFile(path, change(data, numbers(ts, args[1:])...), 0o644))
	}
}

func numbers(ts *testscript.TestScript, args []string) []int {
	numbers := make([]int, len(args))
	for i, arg := range args {
		n, err := strconv.Atoi(arg)
		ts.Check(err)
		numbers[i] = n
	}
	return numbers
}

func lines(ts *testscript.TestScript, neg bool, args []string) {
	want := numbers(ts, args[1:])[0]
	if found := strings.Count(ts.ReadFile(args[0]), "\n"); (found == want) == neg {
		ts.Fatalf("%s: found %d lines, expected %d", args[0], found, want)
	}
}

// Files can have anything in them, and errors quote them.
func TestErrorsDoNotCommandTheTerminal(t *testing.T) {
	var printed strings.Builder
	printError(&printed, errors.New("tensor \x1b[2J\a\u009b: not found\n"+strings.Repeat("x", 10_000)+strings.Repeat("\ny", 1000)+"\n"))
	lines := strings.Split(strings.TrimSuffix(printed.String(), "\n"), "\n")
	if want := "epochal: tensor \ufffd[2J\ufffd\ufffd: not found"; lines[0] != want {
		t.Errorf("found %q, expected %q", lines[0], want)
	}
	if want := "epochal: " + strings.Repeat("x", maxErrorLine) + "..."; lines[1] != want {
		t.Errorf("found a line of %d bytes, expected %d", len(lines[1]), len(want))
	}
	if last := lines[len(lines)-1]; len(lines) != maxErrorLines+1 || last != "epochal: and 902 more" {
		t.Errorf("found %d lines, the last one %q", len(lines), last)
	}
}

// Every line of an error says where it belongs, and a file is named once.
func TestPrintErrorOfSeveral(t *testing.T) {
	missing := &fs.PathError{Op: "open", Path: "x", Err: syscall.ENOENT}
	two := errors.Join(errors.New("one"), errors.New("two"))
	joined := errors.Join(fmt.Errorf("b: %w", missing), errors.New("c"))
	for want, err := range map[string]error{
		"epochal: data: one\nepochal: data: two\n":                                 fmt.Errorf("data: %w", two),
		"epochal: x: no such file or directory\n":                                  missing,
		"epochal: a: b: x: no such file or directory\nepochal: a: c\n":             fmt.Errorf("a: %w", joined),
		"epochal: one; two\n":                                                      fmt.Errorf("%w; %w", errors.New("one"), errors.New("two")),
		"epochal: x: no such file or directory\nhint: there is none\n":             usageError{err: missing, hint: "there is none"},
		"epochal: f.yaml: line 1\n> a\n":                                           fmt.Errorf("f.yaml: %w", errors.New("line 1\n> a")),
		"epochal: the file x cannot be read (open x: no such file or directory)\n": fmt.Errorf("the file x cannot be read (%w)", missing),
	} {
		var printed strings.Builder
		if printError(&printed, err); printed.String() != want {
			t.Errorf("found %q, expected %q", printed.String(), want)
		}
	}
}
