package bench

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"epochal/dataset"
	"epochal/experiments/record"
	"epochal/experiments/report/words"
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

// peerEpochs are the epochs of a measured training. The first includes compiling.
const peerEpochs = 4

// Peer is the same work in Python.
type Peer struct {
	Name  string
	About string // what it is, for a list of peers

	program   string
	arguments []string
	onCUDA    []string // further arguments on a GPU
	packages  []string // that it imports
}

// Peers are all peers. A new one is a row here and its program in the folder peers.
var Peers = []Peer{
	{
		"torch-loader", "PyTorch with torchvision's DataLoader, as in the post",
		"torch_loop.py", []string{"--feed=loader"}, []string{"--device=cuda"}, []string{"torch", "torchvision", "numpy"},
	},
	{
		"torch-memory", "PyTorch with the whole training set as one tensor",
		"torch_loop.py", []string{"--feed=memory"}, []string{"--device=cuda"}, []string{"torch", "numpy"},
	},
	{
		"torch-tuned", "torch-memory, backward by hand, in place; convolutions NHWC",
		"torch_loop.py", []string{"--feed=memory", "--tuned"}, []string{"--device=cuda"}, []string{"torch", "numpy"},
	},
	{
		"jax", "JAX, an epoch as one compiled scan; convolutions step by step",
		"jax_epoch.py", nil, nil, []string{"jax", "jaxlib", "numpy"},
	},
	{
		"jax-tuned", "jax, batches ahead, threads chosen; convolutions as products",
		"jax_epoch.py", []string{"--tuned"}, nil, []string{"jax", "jaxlib", "numpy"},
	},
}

// PeerNames are the names of all peers.
func PeerNames() []string {
	names := make([]string, len(Peers))
	for i, peer := range Peers {
		names[i] = peer.Name
	}
	return names
}

// peerBackend is what the peers are compared with: the CPU, unless only a GPU was
// asked for.
func (o Options) peerBackend() string {
	if len(o.Backends) > 0 && !slices.ContainsFunc(o.Backends, func(name string) bool { return !isCUDA(name) }) {
		return o.Backends[0]
	}
	return backend.XLACPU
}

// addPeers adds a result and a job for every peer, network and batch size, or only
// a result that says what is missing. Their files are put into folder; available are
// the backends that are measured.
func (r *benchmark) addPeers(ctx context.Context, folder string, available []string) error {
	if err := errors.Join(
		os.CopyFS(filepath.Join(folder, "mnist"), dataset.MNISTFiles()),
		os.CopyFS(folder, peerFiles),
	); err != nil {
		return fmt.Errorf("peers: %w", err)
	}
	// There is room for all, so that appending moves none of the results that jobs point to.
	r.results.Peers = make([]PeerResult, 0, len(Peers)*len(r.networks())*len(r.BatchSizes))
	for _, peer := range Peers {
		if !slices.Contains(r.Options.Peers, peer.Name) {
			continue
		}
		versions, err := r.versions(ctx, folder, peer)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if ours := r.peerBackend(); err == nil && !slices.Contains(available, ours) && !ready(ours) {
			err = fmt.Errorf("%s, which it is compared with, is not available", ours)
		}
		failure := ""
		if err != nil {
			failure = err.Error()
			r.missing = append(r.missing, peer.Name+": "+failure)
			r.Observer(Failed{What: peer.Name, Reason: failure})
		}
		for _, n := range r.networks() {
			for _, batch := range r.BatchSizes {
				r.results.Peers = append(r.results.Peers, PeerResult{
					Peer: peer.Name, LayerSizes: n.LayerSizes, ConvChannels: n.ConvChannels, BatchSize: batch,
					Versions: versions, Rounds: []PeerRound{}, Failure: failure,
				})
				if failure != "" {
					continue
				}
				result := &r.results.Peers[len(r.results.Peers)-1]
				r.jobs = append(r.jobs, &job{
					what:    fmt.Sprintf("%s %s batch %d", peer.Name, network(n.ConvChannels, n.LayerSizes), batch),
					failure: &result.Failure,
					measure: func(ctx context.Context, round int) error { return r.pair(ctx, folder, peer, result, round) },
				})
			}
		}
	}
	return nil
}

// ready reports whether a backend that is not measured itself is installed.
func ready(name string) bool {
	return slices.ContainsFunc(backend.List(), func(s backend.Status) bool {
		return s.Name == name && s.State == backend.StateReady
	})
}

// python is the command that runs a peer's program on the device of the comparison.
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

// howToInstall says how to get missing packages.
const howToInstall = "to install them: python3 -m venv peers && epochal bench --peer-requirements > requirements.txt && " +
	"peers/bin/pip install -r requirements.txt, then pass --python peers/bin/python"

// versions asks Python for the versions of a peer's packages, without importing
// them: that takes seconds.
func (r *benchmark) versions(ctx context.Context, folder string, peer Peer) (string, error) {
	p, err := r.process(ctx, func(ctx context.Context) *exec.Cmd { return r.python(ctx, folder, "versions.py", peer.packages...) }, nil)
	if err != nil {
		return "", fmt.Errorf("--python %s: %w; %s", r.Python, err, howToInstall)
	}
	var found struct {
		Python   string             `json:"python"`
		Packages map[string]*string `json:"packages"`
	}
	if err := json.Unmarshal(p.output, &found); err != nil {
		return "", fmt.Errorf("--python %s: returned %s, expected the versions of its packages", r.Python, excerpt(p.output))
	}
	text := "Python " + found.Python
	var missing []string
	for _, name := range peer.packages {
		version := found.Packages[name]
		if version == nil {
			missing = append(missing, name)
			continue
		}
		text += fmt.Sprintf(", %s %s", name, *version)
		// PyTorch's wheels for the CPU have versions such as 2.15.0+cpu.
		public, _, _ := strings.Cut(*version, "+")
		if pinned := pinnedVersion(name); pinned != "" && public != pinned {
			r.warn(fmt.Sprintf("the peers use %s %s, expected %s as in their requirements", name, *version, pinned))
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
func (r *benchmark) pair(ctx context.Context, folder string, peer Peer, result *PeerResult, round int) error {
	var found PeerRound
	sides := []func() error{
		func() (err error) {
			if found.Ours, err = once(func(epochs int) (processed, error) { return r.train(ctx, result, epochs) }); err != nil {
				err = fmt.Errorf("epochal: %w", err)
			}
			return err
		},
		func() (err error) {
			found.Peers, err = once(func(epochs int) (processed, error) { return r.trainPeer(ctx, folder, peer, result, epochs) })
			return err
		},
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

// once measures one side of a pair with two processes: one that trains for several
// epochs, and one that trains for one. run's output has a line of JSON per epoch.
func once(run func(epochs int) (processed, error)) (ProcessTimes, error) {
	measured := func(count int) (p processed, epochs []epochTimes, err error) {
		if p, err = run(count); err == nil {
			epochs, err = parseEpochs(p.output, count)
		}
		return p, epochs, err
	}
	training, epochs, err := measured(peerEpochs)
	if err != nil {
		return ProcessTimes{}, err
	}
	whole, _, err := measured(1)
	if err != nil {
		return ProcessTimes{}, err
	}
	var train, evaluate []float64
	for _, epoch := range epochs[1:] {
		train, evaluate = append(train, epoch.Train), append(evaluate, epoch.Evaluate)
	}
	return ProcessTimes{
		Train: Summarize(train).Median, Evaluate: Summarize(evaluate).Median,
		Process: whole.seconds, Memory: max(training.memory, whole.memory),
	}, nil
}

// train runs `epochal train`, whose output is its metrics.jsonl.
func (r *benchmark) train(ctx context.Context, result *PeerResult, epochs int) (p processed, err error) {
	folder, err := os.MkdirTemp("", "epochal-train-")
	if err != nil {
		return p, err
	}
	defer os.RemoveAll(folder)
	run := filepath.Join(folder, "run")
	arguments := []string{"train", "--backend=" + r.peerBackend(), "--layer-sizes=" + widths(result.LayerSizes),
		"--conv-channels=" + words.Widths(result.ConvChannels, ","),
		fmt.Sprintf("--batch-size=%d", result.BatchSize), fmt.Sprintf("--epochs=%d", epochs), "--out=" + run}
	if epochs > 1 { // their times count, not what a user gets
		arguments = append(arguments, fmt.Sprintf("--steps-per-call=%d", WholeEpoch), "--checkpoint-every=0")
	}
	p, err = r.process(ctx, func(ctx context.Context) *exec.Cmd { return r.Command(ctx, arguments...) }, nil)
	if err == nil {
		p.output, err = os.ReadFile(filepath.Join(run, record.MetricsFile))
	}
	return p, err
}

// trainPeer runs the peer's program.
func (r *benchmark) trainPeer(ctx context.Context, folder string, peer Peer, result *PeerResult, epochs int) (processed, error) {
	arguments := append(slices.Clone(peer.arguments), "--data="+filepath.Join(folder, "mnist"),
		"--layer-sizes="+words.Widths(result.LayerSizes, ","), "--conv-channels="+words.Widths(result.ConvChannels, ","),
		fmt.Sprintf("--batch-size=%d", result.BatchSize), fmt.Sprintf("--epochs=%d", epochs))
	if isCUDA(r.peerBackend()) {
		arguments = append(arguments, peer.onCUDA...)
	}
	return r.process(ctx, func(ctx context.Context) *exec.Cmd { return r.python(ctx, folder, peer.program, arguments...) }, nil)
}

// epochTimes are the seconds of one epoch of a training process.
type epochTimes struct {
	Train    float64 `json:"train_seconds"`
	Evaluate float64 `json:"eval_seconds"` // both sets
	Event    string  `json:"event"`        // "step" where the line is of a step, as only epochal writes
}

// parseEpochs reads the times of a training's epochs from its lines of JSON.
func parseEpochs(output []byte, epochs int) ([]epochTimes, error) {
	var times []epochTimes
	for line := range bytes.Lines(output) {
		var epoch epochTimes
		err := json.Unmarshal(line, &epoch)
		if epoch.Event == "step" {
			continue
		}
		if err != nil || epoch.Train <= 0 {
			return nil, fmt.Errorf("returned %s, expected one line of JSON per epoch", excerpt(line))
		}
		times = append(times, epoch)
	}
	if len(times) != epochs {
		return nil, fmt.Errorf("returned results for %d epochs, expected %d", len(times), epochs)
	}
	return times, nil
}

// PeerRatios compare a peer with epochal, pair by pair.
type PeerRatios struct {
	Train         Summary // an epoch
	TrainEvaluate Summary // an epoch and what its evaluation adds, which may run beside the next one's training
	Process       Summary // a process of one epoch from start to exit
	Memory        Summary // peak resident bytes
	OursTrain     Summary // the other way round: epochal's epoch over the peer's
}

// Ratios are the peer's numbers over epochal's: 2 means that the peer takes twice as
// long, or twice the memory.
func (p PeerResult) Ratios() PeerRatios {
	ratios := func(of func(ours, peers ProcessTimes) float64) Summary {
		all := make([]float64, len(p.Rounds))
		for i, round := range p.Rounds {
			all[i] = of(round.Ours, round.Peers)
		}
		return Summarize(all)
	}
	return PeerRatios{
		Train: ratios(func(ours, peers ProcessTimes) float64 { return peers.Train / ours.Train }),
		TrainEvaluate: ratios(func(ours, peers ProcessTimes) float64 {
			return (peers.Train + peers.Evaluate) / (ours.Train + ours.Evaluate)
		}),
		Process:   ratios(func(ours, peers ProcessTimes) float64 { return peers.Process / ours.Process }),
		Memory:    ratios(func(ours, peers ProcessTimes) float64 { return float64(peers.Memory) / float64(ours.Memory) }),
		OursTrain: ratios(func(ours, peers ProcessTimes) float64 { return ours.Train / peers.Train }),
	}
}
