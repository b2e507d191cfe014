package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"epochal/experiments"
	"epochal/experiments/cluster"
	"epochal/experiments/report/words"
	"epochal/experiments/study"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// clusterFlags hand the shards of a command to a cluster.
type clusterFlags struct {
	slurm      cluster.Slurm
	kubernetes cluster.Kubernetes
	parallel   int
	show       bool
	follow     bool
}

// The names of the flags, by what they belong to.
var (
	slurmFlags      = []string{"sbatch-arg", "print", "follow"}
	kubernetesFlags = []string{"image", "claim", "cpu", "memory", "gpu", "queue"}
	allClusterFlags = slices.Concat([]string{"slurm", "kubernetes", "parallel"}, slurmFlags, kubernetesFlags)
)

func (f *clusterFlags) add(flags *pflag.FlagSet) {
	flags.IntVar(&f.slurm.Shards, "slurm", 0, "submit the runs to Slurm as an array job of this many `shards`, and a job that reports")
	flags.StringArrayVar(&f.slurm.Arguments, "sbatch-arg", nil,
		"`argument` that is passed on to sbatch, such as --partition=gpu; may be repeated")
	flags.BoolVar(&f.show, "print", false, "with --slurm, only print the shell script that would submit the jobs")
	flags.BoolVar(&f.follow, "follow", false,
		"with --slurm, wait until all jobs have ended, and report; with --stop, submit those that go on each time")
	flags.IntVar(&f.kubernetes.Shards, "kubernetes", 0, "print a Kubernetes job of this many `shards`, for kubectl apply -f -")
	flags.StringVar(&f.kubernetes.Image, "image", "", "container `image` that has epochal, for --kubernetes")
	flags.StringVar(&f.kubernetes.Claim, "claim", "",
		"`name` of the ReadWriteMany volume claim for --kubernetes; relative paths are those of its volume")
	flags.StringVar(&f.kubernetes.CPU, "cpu", "2", "`cores` of each pod")
	flags.StringVar(&f.kubernetes.Memory, "memory", "2Gi", "`memory` of each pod")
	flags.IntVar(&f.kubernetes.GPUs, "gpu", 0, "`number` of NVIDIA GPUs of each pod")
	flags.StringVar(&f.kubernetes.Queue, "queue", "", "`queue` of Kueue that starts the job")
	flags.IntVar(&f.parallel, "parallel", 0, "most `shards` at a time, with --slurm or --kubernetes; 0: all")
}

// clusterWork is what a command gives to a cluster.
type clusterWork struct {
	folder string                       // of its records
	watch  func() (*study.Watch, error) // looks for its runs
	rungs  []int                        // epochs after which shards wait for each other
}

// reportOnly is the flag of the command that reports what its shards made.
const reportOnly = "report-only"

// run does what the flags ask for. It returns false where nothing is left for a cluster:
// then the command does its work itself.
func (f *clusterFlags) run(c *cobra.Command, t *terminal, w clusterWork) (handled bool, err error) {
	slurm, kubernetes := c.Flags().Changed("slurm"), c.Flags().Changed("kubernetes")
	if err := f.validate(c.Flags(), slurm, kubernetes); err != nil || !slurm && !kubernetes {
		return false, err
	}
	args := withoutFlags(c.Flags(), os.Args[1:], allClusterFlags...)
	if kubernetes {
		k := f.kubernetes
		k.Name, k.Parallel = fmt.Sprintf("epochal-%.4x", sha256.Sum256([]byte(w.folder))), f.parallel
		k.Command = append([]string{"epochal"}, args...)
		manifest, err := k.Manifest()
		if err != nil {
			return true, err
		}
		for _, rung := range w.rungs {
			t.note("the runs wait for each other after epoch %d: when the job has ended there, delete it and apply it again", rung)
		}
		t.commands("when the job has ended, this reports, in the folder of the volume:", "epochal "+words.Shell(args...))
		return true, t.printf("%s", manifest)
	}
	program, err := thisProgram()
	if err != nil {
		return true, err
	}
	s := f.slurm
	s.Folder, s.Parallel = w.folder, f.parallel
	s.Command = append([]string{program}, args...)
	s.Report = append(slices.Clone(s.Command), "--"+reportOnly)
	watch, err := w.watch()
	if err != nil {
		return true, err
	}
	look, err := watch.Look()
	for err == nil && len(look.Missing) > 0 {
		shards := shardsOf(look, s.Shards)
		if f.show {
			script, err := s.Script(c.Context(), shards)
			if err != nil {
				return true, err
			}
			return true, t.printf("%s", script)
		}
		jobs, err := s.Submit(c.Context(), shards)
		if err != nil {
			return true, err
		}
		if len(jobs) == 0 {
			t.note("Slurm has all shards with missing runs already")
		}
		for _, job := range jobs {
			t.printf("%s\n", job)
		}
		if t.failed != nil {
			return true, t.failed
		}
		if !f.follow {
			w.next(t, look)
			return true, nil
		}
		before := look.Round
		if look, err = follow(c.Context(), t, s, watch); err != nil {
			return true, err
		}
		if len(look.Missing) > 0 && look.Round == before {
			return true, again{fmt.Errorf("slurm: found %d of %d runs when all jobs had ended, expected all; %s says why",
				look.Done(), look.Runs, filepath.Join(w.folder, cluster.LogsFolder)), commandLine(os.Args[1:]...), ""}
		}
	}
	return err != nil, err
}

// shardsOf are the shards with missing runs, in ascending order.
func shardsOf(look study.Look, count int) []int {
	var shards []int
	for _, identity := range look.Missing {
		shards = append(shards, study.ShardOf(identity, count))
	}
	slices.Sort(shards)
	return slices.Compact(shards)
}

// next says what to do when the jobs that were submitted have ended.
func (w clusterWork) next(t *terminal, look study.Look) {
	what := "submits what is still missing then, or reports"
	if look.Round < len(w.rungs) {
		t.note("the jobs make the runs up to epoch %d, after which it is decided which of them go on", w.rungs[look.Round])
		what = "submits those then; --follow does so by itself"
	}
	t.commands(fmt.Sprintf("when the jobs have ended, the same command %s:", what), commandLine(os.Args[1:]...))
}

// follow prints how far the runs are until Slurm has none of the shards any more.
func follow(ctx context.Context, t *terminal, s cluster.Slurm, watch *study.Watch) (look study.Look, err error) {
	printed := study.Look{Round: -1}
	err = s.Follow(ctx, followEvery, func(q cluster.Queue) (err error) {
		if look, err = watch.Look(); err != nil {
			return err
		}
		if !t.redraws && (look.Done() != printed.Done() || look.Round != printed.Round) {
			t.note("%d of %d runs complete", look.Done(), look.Runs)
		}
		printed = look
		t.progress("%d of %d runs complete; shards: %d running, %d waiting", look.Done(), look.Runs, q.Running, len(q.Shards)-q.Running)
		return nil
	})
	t.end()
	return look, err
}

// followEvery is how long --follow waits between two looks.
const followEvery = 5 * time.Second

// validate reports flags that do not go together.
func (f *clusterFlags) validate(flags *pflag.FlagSet, slurm, kubernetes bool) error {
	both := func(a, b string) error {
		return usageError{err: fmt.Errorf("--%s and --%s: found both, expected one", a, b)}
	}
	only := func(needed bool, with string, names ...string) error {
		for _, name := range names {
			if flags.Changed(name) && !needed {
				return usageError{err: fmt.Errorf("--%s: found it without %s, expected both", name, with)}
			}
		}
		return nil
	}
	var problems experiments.Problems
	check := func(ok bool, field, found, expected string) {
		if !ok {
			problems = append(problems, experiments.Problem{Field: field, Found: found, Expected: expected})
		}
	}
	for field, shards := range map[string]int{"slurm": f.slurm.Shards, "kubernetes": f.kubernetes.Shards} {
		check(!flags.Changed(field) || shards >= 1 && shards <= study.MaxShards, field, fmt.Sprint(shards),
			fmt.Sprintf("1 to %d shards", study.MaxShards))
	}
	check(f.parallel >= 0, "parallel", fmt.Sprint(f.parallel), "0 (all) or more shards")
	check(f.kubernetes.GPUs >= 0, "gpu", fmt.Sprint(f.kubernetes.GPUs), "0 or more")
	if kubernetes {
		check(f.kubernetes.Image != "", "image", "none", "the container image that has epochal")
		check(f.kubernetes.Claim != "", "claim", "none", "the name of the volume claim with the records")
	}
	switch {
	case slurm && kubernetes:
		return both("slurm", "kubernetes")
	case f.show && f.follow:
		return both("print", "follow")
	case flags.Changed("shard") && (slurm || kubernetes):
		return both("shard", map[bool]string{true: "slurm", false: "kubernetes"}[slurm])
	case len(problems) > 0:
		return problems
	}
	if err := only(slurm, "--slurm", slurmFlags...); err != nil {
		return err
	}
	if err := only(kubernetes, "--kubernetes", kubernetesFlags...); err != nil {
		return err
	}
	return only(slurm || kubernetes, "--slurm or --kubernetes", "parallel")
}

// thisProgram is the path of this program, as other machines find it as well.
func thisProgram() (string, error) {
	path, err := exec.LookPath(os.Args[0])
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err == nil && strings.Contains(path, string(filepath.Separator)+"go-build") {
		err = usageError{err: fmt.Errorf("--slurm: found the program of go run, which is gone when it ends, expected one that stays"),
			hint: "build it where all nodes find it: go build ./cmd/epochal"}
	}
	return path, err
}

// withoutFlags are the arguments of a command without some of its flags and their values.
func withoutFlags(flags *pflag.FlagSet, args []string, names ...string) (rest []string) {
	for i := 0; i < len(args); {
		count := 1
		text, isFlag := strings.CutPrefix(args[i], "--")
		name, _, valued := strings.Cut(text, "=")
		if flag := flags.Lookup(name); isFlag && !valued && flag != nil && flag.NoOptDefVal == "" {
			count = min(2, len(args)-i)
		}
		if !isFlag || !slices.Contains(names, name) {
			rest = append(rest, args[i:i+count]...)
		}
		i += count
	}
	return rest
}
