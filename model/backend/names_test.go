package backend

import "testing"

func TestCheck(t *testing.T) {
	const valid = "expected auto, xla:cpu, xla:cuda, go or a GoMLX backend string such as xla:cuda,tf32=true"
	for _, c := range []struct{ name, want, hint string }{
		{"auto", "", ""},
		{"xla:cpu", "", ""},
		{"xla:cuda", "", ""},
		{"go", "", ""},
		{"xla", "", ""},
		{"xla:cpu_v0.83.4", "", ""},
		{"hlo:cpu", "", ""},
		{"xla:cuda,tf32,preallocate=true,memory_fraction=0.5,visible_devices=0;1", "", ""},
		{"xla:/opt/pjrt_c_api_cpu_plugin.so,shared_buffers=false", "", ""},
		{"go:ops_sequential", "", ""},

		{"", `backend "" is unknown, ` + valid, ""},
		{"tpu", `backend "tpu" is unknown, ` + valid, ""},
		{"Auto", `backend "Auto" is unknown, ` + valid, ""},
		{"auto:cpu", `backend "auto:cpu" is unknown, ` + valid, ""},
		{"cpu", `backend "cpu" is unknown, ` + valid, "did you mean xla:cpu?"},
		{"GPU", `backend "GPU" is unknown, ` + valid, "did you mean xla:cuda?"},
		{"xla:gpu", `backend "xla:gpu" is unknown, ` + valid, "did you mean xla:cuda?"},
		{"xla:./plugin.so", `backend "xla:./plugin.so": plugin path "./plugin.so" is relative, ` +
			`expected an absolute path or a plugin's name`, ""},
		{"xla:cuda,tf16=true", `backend "xla:cuda,tf16=true": option "tf16" is unknown, ` +
			`expected one of allocator, memory_fraction, preallocate, shared_buffers, tf32, use_tfrt_gpu_client, visible_devices`, ""},
		{"xla:cuda,tf32=maybe", `backend "xla:cuda,tf32=maybe": option tf32 is "maybe", expected true or false`, ""},
		{"xla:cuda,memory_fraction=half", `backend "xla:cuda,memory_fraction=half": option memory_fraction is "half", expected a number`, ""},
		{"go:fast", `backend "go:fast": option "fast" is unknown, ` +
			`expected one of creation_order, dependency_order, ops_parallel, ops_sequential`, ""},
		{"go:parallelism=2", `backend "go:parallelism=2": option "parallelism" is not supported, ` +
			`expected one of creation_order, dependency_order, ops_parallel, ops_sequential`, "set GOMAXPROCS to limit the threads"},
	} {
		message, hint := "", ""
		if err := Check(c.name); err != nil {
			message = err.Error()
			hint = hintOf(err)
		}
		if message != c.want || hint != c.hint {
			t.Errorf("Check(%q):\n got %q, hint %q\nwant %q, hint %q", c.name, message, hint, c.want, c.hint)
		}
	}
}

func FuzzCheck(f *testing.F) {
	for _, name := range []string{"", "auto", "go", "go:ops_parallel", "xla", "xla:cpu", "xla:cuda,tf32=true,visible_devices=1",
		"xla:/lib/a.so,memory_fraction=x", "xla:../a", "gpu"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if err := Check(name); err != nil && err.Error() == "" {
			t.Error("found an error without words")
		}
	})
}
