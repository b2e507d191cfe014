package bench

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"epochal/dataset"
	"epochal/model/backend"
)

// The peers' programs, which run from a copy in a temporary folder.
//
//go:embed peers
var peerFiles embed.FS

//go:embed peers/requirements.txt
var peerRequirements string

// PeerRequirements is what pip needs to install the peers' packages, as a
// requirements file: the versions that they were measured with.
func PeerRequirements() string { return peerRequirements }

// peerEpochs are the epochs of a measured training; the first has the compiling in it.
const peerEpochs = 4

// peer is how a peer is run.
type peer struct {
	program   string
	arguments []string
	packages  []string // that it imports
}

// peerPrograms are the peers by their names.
var peerPrograms = map[string]peer{
	PeerTorchLoader: {"torch_loop.py", []string{"--feed=loader"}, []string{"torch", "torchvision", "numpy"}},
	PeerTorchMemory: {"torch_loop.py", []string{"--feed=memory"}, []string{"torch", "numpy"}},
	PeerJAX:         {"jax_epoch.py", nil, []string{"jax", "jaxlib", "numpy"}},
}

// peerBackend is what the peers are compared with: the CPU, unless the card
// alone was asked for.
func (o Options) peerBackend() string {
	if len(o.Backends) > 0 && !slices.ContainsFunc(o.Backends, func(name string) bool { return !isCUDA(name) }) {
		return o.Backends[0]
	}
	return backend.XLACPU
}

// addPeers makes a result and a job for every peer, network and batch size, or
// a result that says what is missing. cleanup removes its files.
func (r *benchmark) addPeers(ctx context.Context, available []string) (cleanup func(), err error) {
	cleanup = func() {}
	if len(r.Options.Peers) == 0 {
		return cleanup, nil
	}
	folder, err := os.MkdirTemp("", "epochal-peers-")
	if err != nil {
		return cleanup, fmt.Errorf("peers: %w", err)
	}
	cleanup = func() { os.RemoveAll(folder) }
	if err := errors.Join(
		os.CopyFS(filepath.Join(folder, "mnist"), dataset.MNISTFiles()),
		os.CopyFS(folder, peerFiles),
	); err != nil {
		return cleanup, fmt.Errorf("peers: %w", err)
	}
	ours := r.peerBackend()
	var names []string
	for _, name := range r.Options.Peers {
		if slices.Contains(names, name) {
			continue
		}
		names = append(names, name)
		versions, err := r.versions(ctx, folder, name)
		if ctx.Err() != nil {
			return cleanup, ctx.Err()
		}
		if err == nil && !slices.Contains(available, ours) && !(ours == backend.XLACPU && r.ready(ctx, ours)) {
			err = fmt.Errorf("%s, which it is compared with, is not available", ours)
		}
		if err != nil {
			r.missing = append(r.missing, fmt.Sprintf("%s: %v", name, err))
			r.Observer(Failed{What: name, Reason: err.Error()})
		}
		for _, layers := range r.LayerSizes {
			for _, batch := range r.BatchSizes {
				result := PeerResult{Peer: name, LayerSizes: layers, BatchSize: batch, Versions: versions, Rounds: []PeerRound{}}
				if err != nil {
					result.Failure = err.Error()
				}
				r.results.Peers = append(r.results.Peers, result)
			}
		}
	}
	for i := range r.results.Peers {
		result := &r.results.Peers[i]
		if result.Failure != "" {
			continue
		}
		r.jobs = append(r.jobs, &job{
			what:    fmt.Sprintf("%s %s batch %d", result.Peer, widths(result.LayerSizes), result.BatchSize),
			failure: &result.Failure,
			measure: func(ctx context.Context, round int) error { return r.pair(ctx, folder, ours, result, round) },
		})
	}
	return cleanup, nil
}

// ready tells whether a backend that is not measured itself is installed.
func (r *benchmark) ready(ctx context.Context, name string) bool {
	return slices.ContainsFunc(backend.List(), func(s backend.Status) bool {
		return s.Name == name && s.State == backend.StateReady
	})
}

// python is the command that runs a peer's program, on the device that it is
// compared on.
func (r *benchmark) python(ctx context.Context, folder, program string, arguments ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, r.Python, append([]string{filepath.Join(folder, "peers", program)}, arguments...)...)
	c.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
	if isCUDA(r.peerBackend()) {
		c.Env = append(c.Env, "JAX_PLATFORMS=cuda")
	} else {
		c.Env = append(c.Env, "JAX_PLATFORMS=cpu", "CUDA_VISIBLE_DEVICES=")
	}
	return c
}

// howToInstall is what one does about absent packages.
const howToInstall = "to install: python3 -m venv peers && epochal bench --peer-requirements > requirements.txt && " +
	"peers/bin/pip install -r requirements.txt, then give --python peers/bin/python"

// versions asks Python for the versions of a peer's packages. They are asked
// for by name, not imported: that takes seconds.
func (r *benchmark) versions(ctx context.Context, folder, name string) (string, error) {
	packages := peerPrograms[name].packages
	p, err := r.process(ctx, func(ctx context.Context) *exec.Cmd { return r.python(ctx, folder, "versions.py", packages...) }, nil)
	if err != nil {
		return "", fmt.Errorf("--python %s: %w; %s", r.Python, err, howToInstall)
	}
	var found struct {
		Python   string             `json:"python"`
		Packages map[string]*string `json:"packages"`
	}
	if err := json.Unmarshal(p.output, &found); err != nil {
		return "", fmt.Errorf("--python %s: answered %s, expected the versions of its packages", r.Python, excerpt(p.output))
	}
	text := "Python " + found.Python
	var missing []string
	for _, name := range packages {
		version := found.Packages[name]
		if version == nil {
			missing = append(missing, name)
			continue
		}
		text += fmt.Sprintf(", %s %s", name, *version)
		// PyTorch's wheels for the CPU are 2.15.0+cpu.
		public, _, _ := strings.Cut(*version, "+")
		if pinned := pinnedVersion(name); pinned != "" && public != pinned {
			r.warn(fmt.Sprintf("the peers have %s %s, expected %s as in their requirements", name, *version, pinned))
		}
	}
	if len(missing) > 0 {
		return text, fmt.Errorf("--python %s has no %s; %s", r.Python, strings.Join(missing, ", "), howToInstall)
	}
	return text, nil
}

// pinnedVersion is that of a package in the requirements, "" if it is not there.
func pinnedVersion(name string) string {
	for line := range strings.Lines(peerRequirements) {
		if version, found := strings.CutPrefix(strings.TrimSpace(line), name+"=="); found {
			return version
		}
	}
	return ""
}

// pair measures both sides once, and begins every second round with the peer.
func (r *benchmark) pair(ctx context.Context, folder, ours string, result *PeerResult, round int) error {
	var found PeerRound
	sides := []func() error{
		func() (err error) {
			if found.Ours, err = r.oursOnce(ctx, ours, result); err != nil {
				err = fmt.Errorf("epochal: %w", err)
			}
			return err
		},
		func() (err error) { found.Peers, err = r.peerOnce(ctx, folder, result); return err },
	}
	if round%2 == 0 {
		slices.Reverse(sides)
	}
	for _, side := range sides {
		if err := side(); err != nil {
			return err
		}
	}
	result.Rounds = append(result.Rounds, found)
	return nil
}

// oursOnce measures this program: a training of several epochs in a child, and
// a whole `train` of one.
func (r *benchmark) oursOnce(ctx context.Context, name string, result *PeerResult) (ProcessTimes, error) {
	answer, training, err := r.child(ctx, Task{Schema: Schema, Training: &TrainingTask{
		Backend: name, LayerSizes: result.LayerSizes, BatchSize: result.BatchSize, Epochs: peerEpochs,
	}})
	if err != nil {
		return ProcessTimes{}, err
	}
	out, err := os.MkdirTemp("", "epochal-train-")
	if err != nil {
		return ProcessTimes{}, err
	}
	defer os.RemoveAll(out)
	whole, err := r.process(ctx, func(ctx context.Context) *exec.Cmd {
		return r.Command(ctx, "train", "--epochs=1", "--backend="+name, "--layer-sizes="+widths(result.LayerSizes),
			fmt.Sprintf("--batch-size=%d", result.BatchSize), "--out="+filepath.Join(out, "run"))
	}, nil)
	if err != nil {
		return ProcessTimes{}, err
	}
	return processTimes(answer.Epochs, training, whole)
}

// peerOnce measures the peer in the same way.
func (r *benchmark) peerOnce(ctx context.Context, folder string, result *PeerResult) (ProcessTimes, error) {
	program := peerPrograms[result.Peer]
	run := func(epochs int) ([]EpochTimes, processed, error) {
		arguments := append(slices.Clone(program.arguments), "--data="+filepath.Join(folder, "mnist"),
			"--layer-sizes="+strings.Trim(widths(result.LayerSizes), "[]"),
			fmt.Sprintf("--batch-size=%d", result.BatchSize), fmt.Sprintf("--epochs=%d", epochs))
		if program.program == "torch_loop.py" && isCUDA(r.peerBackend()) {
			arguments = append(arguments, "--device=cuda")
		}
		p, err := r.process(ctx, func(ctx context.Context) *exec.Cmd { return r.python(ctx, folder, program.program, arguments...) }, nil)
		if err != nil {
			return nil, p, err
		}
		times, err := parseEpochs(p.output, epochs)
		return times, p, err
	}
	times, training, err := run(peerEpochs)
	if err != nil {
		return ProcessTimes{}, err
	}
	_, whole, err := run(1)
	if err != nil {
		return ProcessTimes{}, err
	}
	return processTimes(times, training, whole)
}

// parseEpochs reads a peer's output, a JSON line per epoch.
func parseEpochs(output []byte, epochs int) ([]EpochTimes, error) {
	var times []EpochTimes
	for line := range bytes.Lines(output) {
		var epoch EpochTimes
		if err := json.Unmarshal(line, &epoch); err != nil {
			return nil, fmt.Errorf("answered %s, expected a JSON line per epoch", excerpt(line))
		}
		times = append(times, epoch)
	}
	if len(times) != epochs {
		return nil, fmt.Errorf("answered for %d epochs, expected %d", len(times), epochs)
	}
	return times, nil
}

// processTimes puts together what a training of several epochs and a process of
// one epoch tell.
func processTimes(epochs []EpochTimes, training, whole processed) (ProcessTimes, error) {
	if len(epochs) < 2 {
		return ProcessTimes{}, fmt.Errorf("answered for %d epochs, expected %d", len(epochs), peerEpochs)
	}
	var train, evaluate []float64
	for _, epoch := range epochs[1:] {
		train, evaluate = append(train, epoch.Train), append(evaluate, epoch.Evaluate)
	}
	times := ProcessTimes{
		Train: Summarize(train).Median, Evaluate: Summarize(evaluate).Median,
		Process: whole.seconds, Memory: max(training.memory, whole.memory),
	}
	for _, value := range []float64{times.Train, times.Evaluate, times.Process} {
		if !(value > 0) || math.IsInf(value, 0) {
			return times, fmt.Errorf("answered with times of %v, %v and %v s, expected more than 0", times.Train, times.Evaluate, times.Process)
		}
	}
	return times, nil
}
