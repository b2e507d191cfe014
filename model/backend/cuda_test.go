package backend_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"epochal/model/backend"
	"epochal/model/backend/backendtest"

	"github.com/google/go-cmp/cmp"
)

// reportOf opens a backend in a process of its own, with these variables.
func reportOf(t *testing.T, name, gpu string, variables ...string) (r backend.Report) {
	t.Helper()
	child := exec.Command(os.Args[0], gpu)
	child.Env = append(append(os.Environ(), variables...), backend.ReportMode+"="+name, "GORACE="+os.Getenv("GORACE")+" atexit_sleep_ms=0")
	var printed bytes.Buffer
	child.Stderr = &printed
	output, err := child.Output()
	if err != nil || printed.Len() > 0 {
		t.Fatalf("child: %v, printed %s", err, printed.String())
	}
	if err := json.Unmarshal(output, &r); err != nil {
		t.Fatalf("child: %v, wrote %s", err, output)
	}
	return r
}

// clients are the options and flags that the plugin was given, one text for each client.
func clients(t *testing.T, g backendtest.GPUs) []string {
	t.Helper()
	log, err := os.ReadFile(g.Log)
	if err != nil {
		t.Fatal(err)
	}
	return strings.SplitAfter(string(log), "XLA_FLAGS ")
}

func TestCUDA(t *testing.T) {
	g := backendtest.CUDA(t, "NVIDIA H100 80GB HBM3", "NVIDIA A100-SXM4-40GB")
	for _, c := range []struct {
		name, gpu, device, visible string
		gpus                       int
	}{
		{"xla:cuda", "0", "NVIDIA H100 80GB HBM3, CUDA 13.0", "0", 2},
		{"xla:cuda", "1", "NVIDIA A100-SXM4-40GB, CUDA 13.0", "1", 2},
		{"auto", "0", "NVIDIA H100 80GB HBM3, CUDA 13.0", "0", 2},
		{"xla", "0", "NVIDIA H100 80GB HBM3, CUDA 13.0", "0", 2},
		{"xla:cuda,visible_devices=1;0", "0", "NVIDIA A100-SXM4-40GB, CUDA 13.0", "1 0", 1},
	} {
		t.Run(c.name+" "+c.gpu, func(t *testing.T) {
			os.Remove(g.Log)
			r := reportOf(t, c.name, c.gpu, g.Environment...)
			if r.Err != "" || len(r.Warnings) > 0 || r.GPUs != c.gpus || r.Info.TF32 || r.Info.PluginFile != g.Plugin ||
				len(r.Info.PluginSHA256) != 64 || !strings.HasPrefix(r.Info.Version, "PJRT 0.") || r.Info.Device != c.device {
				t.Errorf("opened %+v, want %s", r, c.device)
			}
			if want := "xla:cuda"; c.name == "auto" && r.Info.Name != want {
				t.Errorf("auto took %s, want %s", r.Info.Name, want)
			}
			// None of our own flags for a plugin that is not ours.
			if want := "--xla_gpu_cuda_data_dir=" + filepath.Dir(g.Plugin); r.Info.XLAFlags != want {
				t.Errorf("XLA_FLAGS %q, want %q", r.Info.XLAFlags, want)
			}
			log := clients(t, g)
			if len(log) != 2 || !strings.Contains(log[0], "visible_devices "+c.visible+"\n") || !strings.Contains(log[0], "preallocate false\n") {
				t.Errorf("client options %q, want one client, visible_devices %s and preallocate false", log, c.visible)
			}
			if s := r.CUDA; s.State != backend.StateReady || s.Device != "NVIDIA H100 80GB HBM3, CUDA 13.0" || s.Version != r.Info.Version {
				t.Errorf("listed as %+v, want it ready", s)
			}
		})
	}
}

// What keeps CUDA from being used, as Open and List say it.
func TestCUDAIsNotReady(t *testing.T) {
	g := backendtest.CUDA(t, "NVIDIA H100 80GB HBM3")
	none := backendtest.CUDA(t)
	bare := backendtest.CUDA(t, "NVIDIA H100 80GB HBM3")
	if err := os.RemoveAll(filepath.Join(filepath.Dir(bare.Plugin), "cu13")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, gpu           string
		environment         []string
		err, hint           string
		state, listed, auto string
	}{
		{name: "no device", environment: none.Environment, err: "no NVIDIA GPU", state: backend.StateNoDevice},
		{name: "no visible device", environment: append(g.Environment, "FAKE_STATUS=100", "CUDA_VISIBLE_DEVICES=7"),
			err: "no NVIDIA GPU that CUDA_VISIBLE_DEVICES=7 allows", state: backend.StateNoDevice},
		{name: "driver that fails", environment: append(g.Environment, "FAKE_STATUS=803"),
			err:   "NVIDIA's driver does not answer: error 803, so says the fake",
			hint:  "see what nvidia-smi says; after an update of the driver, restart the machine",
			state: backend.StateNoDriver},
		{name: "old driver without a plugin",
			environment: append(g.Environment, "FAKE_CUDA=12080", "PJRT_PLUGIN_LIBRARY_PATH=/none", "HOME="+t.TempDir()),
			err:         "the driver is too old: found driver of unknown version for CUDA 12.8, expected driver 580 or newer, for CUDA 13.0",
			hint:        "update NVIDIA's driver to 580 or newer", state: backend.StateOldDriver},
		{name: "plugin without its libraries", environment: bare.Environment,
			err: "plugin " + bare.Plugin + ": NVIDIA's libraries are missing, expected them in " +
				filepath.Join(filepath.Dir(bare.Plugin), "cu13", "lib"),
			hint: "epochal backends install cuda", state: backend.StateNoLibraries},
		{name: "GPU that is not there", gpu: "1", environment: g.Environment,
			err: "GPU: found number 1, expected 0 to 0", state: backend.StateReady},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := reportOf(t, "xla:cuda", c.gpu, c.environment...)
			if want := `backend "xla:cuda": ` + c.err; r.Err != want || r.Hint != c.hint {
				t.Errorf("error with hint %q:\n got %s\nwant %s", r.Hint, r.Err, want)
			}
			listed := ""
			if c.hint != "" {
				listed = c.err + " (" + c.hint + ")"
			}
			if diff := cmp.Diff(c.state+": "+listed, r.CUDA.State+": "+r.CUDA.Hint); diff != "" {
				t.Errorf("listed (-want +got):\n%s", diff)
			}
		})
	}
}

// XLA ends a process whose XLA_FLAGS it does not accept, and go-xla appends to the
// name of a file of flags.
func TestUserFlags(t *testing.T) {
	g := backendtest.CUDA(t, "NVIDIA H100 80GB HBM3")
	folder := t.TempDir()
	put := func(name, content string) string {
		name = filepath.Join(folder, name)
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return name
	}
	good, junk := put("good", "--xla_dump_max_hlo_modules=3\n--xla_dump_hlo_as_text=false\n"), put("junk", "# comment")
	const unknown, hint = "XLA_FLAGS: XLA says: Unknown flag: ", "correct XLA_FLAGS, or unset it"
	for _, c := range []struct{ flags, name, err, inForce string }{
		{flags: "--xla_dump_max_hlo_modules=3", inForce: "--xla_dump_max_hlo_modules=3"},
		{flags: good, inForce: "--xla_dump_max_hlo_modules=3\n--xla_dump_hlo_as_text=false"},
		{flags: put("empty", ""), inForce: ""},
		{flags: "--xla_nonsense=3", name: "xla:cpu", err: unknown + "--xla_nonsense=3"},
		{flags: "--xla_nonsense=3", err: unknown + "--xla_nonsense=3"},
		{flags: "--xla_nonsense --xla_dump_max_hlo_modules=3 --xla_bogus", err: "XLA_FLAGS: XLA says: Unknown flags: --xla_nonsense --xla_bogus"},
		{flags: "--xla_dump_hlo_as_text=false --xla_dump_max_hlo_modules=many",
			err: "XLA_FLAGS: XLA says: Couldn't interpret value many for flag xla_dump_max_hlo_modules"},
		{flags: put("bad", "--xla_nonsense=3"), err: unknown + "--xla_nonsense=3"},
		{flags: junk, err: "XLA_FLAGS names the file " + junk +
			`: found "# comment", expected flags such as --xla_dump_to=x`},
		{flags: "/no/file", err: "XLA_FLAGS, the name of a file of flags: open /no/file: no such file or directory"},
	} {
		names := []string{"xla:cpu", "xla:cuda"}
		if c.name != "" {
			names = []string{c.name}
		} else if c.err != "" {
			names = []string{"auto"} // which refuses with whatever plugin it tries first
		}
		for _, name := range names {
			t.Run(filepath.Base(c.flags)+" "+name, func(t *testing.T) {
				r := reportOf(t, name, "0", append(g.Environment, "XLA_FLAGS="+c.flags)...)
				if c.err == "" && (r.Err != "" || len(r.Warnings) > 0 || !strings.Contains(r.Info.XLAFlags, c.inForce)) {
					t.Errorf("error %q, warnings %q, flags %q, want %q", r.Err, r.Warnings, r.Info.XLAFlags, c.inForce)
				}
				if c.err != "" && (!strings.HasSuffix(r.Err, c.err) || r.Hint != hint) {
					t.Errorf("error with hint %q:\n got %s\nwant %s", r.Hint, r.Err, c.err)
				}
			})
		}
	}
}
