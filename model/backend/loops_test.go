package backend_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"epochal/model/backend"
	"epochal/model/backend/backendtest"
)

const (
	repeatable = "--xla_gpu_autotune_level=0 --xla_gpu_enable_triton_gemm=false --xla_gpu_exclude_nondeterministic_ops=true"
	graphs     = "--xla_gpu_enable_command_buffer=+WHILE"
)

// trials opens a device again and again, and counts how often its loops are tried.
type trials struct {
	file    string
	outcome error // of a trial
	names   []string
	flags   []string
}

func newTrials(t *testing.T) (backendtest.GPUs, *trials) {
	t.Helper()
	g := backendtest.CUDA(t, "NVIDIA H100 80GB HBM3")
	g.Here(t)
	return g, &trials{file: g.Plugin}
}

func (r *trials) try(_ context.Context, name, flags string) error {
	r.names, r.flags = append(r.names, name), append(r.flags, flags)
	return r.outcome
}

// open opens and expects XLA_FLAGS and Loops, the number of trials so far and that of warnings.
func (r *trials) open(t *testing.T, o backend.Options, flags, loops string, tried, warned int) (warnings []string) {
	t.Helper()
	// XLA_FLAGS stay for CUDA: every opening is as the first of its process.
	t.Setenv("XLA_FLAGS", "")
	b, warnings, err := backend.Open(context.Background(), "xla:"+r.file, o)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if withoutFolder(b.Info.XLAFlags) != flags || b.Info.Loops != loops || len(r.names) != tried || len(warnings) != warned {
		t.Errorf("found flags %q, loops %q, trials %q, warnings %q;\nexpected %q, %q, %d trials, %d warnings",
			b.Info.XLAFlags, b.Info.Loops, r.names, warnings, flags, loops, tried, warned)
	}
	if b.Info.Nondeterministic != !strings.Contains(b.Info.XLAFlags, repeatable) {
		t.Errorf("found nondeterministic %t with flags %q", b.Info.Nondeterministic, b.Info.XLAFlags)
	}
	return warnings
}

// withoutFolder is XLA_FLAGS without the folder of NVIDIA's programs, which go-xla adds at its end.
func withoutFolder(flags string) string {
	flags, _, _ = strings.Cut(flags, "--xla_gpu_cuda_data_dir")
	return strings.TrimSpace(flags)
}

func TestLoopsAreTriedOnce(t *testing.T) {
	g, r := newTrials(t)
	fast := backend.Options{TryLoops: r.try, Nondeterministic: true}
	r.open(t, fast, "", "", 0, 0) // a plugin that the user brought
	g.Pin(t)
	r.open(t, backend.Options{}, repeatable, "on the host: not tried", 0, 0)
	for range 2 {
		r.open(t, backend.Options{TryLoops: r.try}, repeatable+" "+graphs, backend.LoopsOnGPU, 1, 0)
	}
	if r.names[0] != "xla:"+r.file+",visible_devices=0,tf32=false" || r.flags[0] != repeatable+" "+graphs {
		t.Errorf("found trials of %q with %q", r.names, r.flags)
	}
	// Other kernels in the graph: tried again, and both are remembered.
	r.outcome = errors.New("wrong losses")
	warnings := r.open(t, fast, "", "on the host: wrong losses", 2, 1)
	r.open(t, fast, "", "on the host: wrong losses", 2, 0)
	r.open(t, backend.Options{TryLoops: r.try}, repeatable+" "+graphs, backend.LoopsOnGPU, 2, 0)
	if want := "loops run on the host, which is slower, because a trial on the GPU failed: wrong losses; to try again, remove " +
		r.file + ".loops.json"; warnings[0] != want {
		t.Errorf("found %q, expected %q", warnings[0], want)
	}
}

func TestUserDecidesAboutLoops(t *testing.T) {
	g, r := newTrials(t)
	g.Pin(t)
	t.Setenv("XLA_FLAGS", "--xla_gpu_enable_command_buffer=FUSION --xla_gpu_autotune_level=1")
	b, _, err := backend.Open(context.Background(), "xla:"+r.file, backend.Options{TryLoops: r.try})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	want := "--xla_gpu_enable_command_buffer=FUSION --xla_gpu_autotune_level=1 " +
		"--xla_gpu_enable_triton_gemm=false --xla_gpu_exclude_nondeterministic_ops=true"
	if withoutFolder(b.Info.XLAFlags) != want || b.Info.Loops != "as XLA_FLAGS says" || !b.Info.Nondeterministic || len(r.names) > 0 {
		t.Errorf("found %+v and trials %q, expected flags %q", b.Info, r.names, want)
	}
}

// What ends a trial from outside is no outcome.
func TestInterruptedTrial(t *testing.T) {
	g, r := newTrials(t)
	g.Pin(t)
	t.Setenv("XLA_FLAGS", "")
	ctx, cancel := context.WithCancel(context.Background())
	b, _, err := backend.Open(ctx, "xla:"+r.file, backend.Options{TryLoops: func(context.Context, string, string) error {
		cancel()
		return errors.New("killed")
	}})
	if !errors.Is(err, context.Canceled) || b != nil {
		t.Fatalf("found error %v, expected context canceled", err)
	}
	r.open(t, backend.Options{TryLoops: r.try}, repeatable+" "+graphs, backend.LoopsOnGPU, 1, 0)
}
