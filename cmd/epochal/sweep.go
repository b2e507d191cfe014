package main

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"epochal/dataset/regular"
	"epochal/experiments"
	"epochal/experiments/record"
	"epochal/experiments/report"
	"epochal/experiments/report/words"
	"epochal/experiments/study"
	"epochal/experiments/sweep"
	"epochal/experiments/train"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// shownSettings is how many settings of a sweep are printed; the files have all.
const shownSettings = 20

// newSweep is `epochal sweep`.
func newSweep(t *terminal) *cobra.Command {
	defaults := sweep.Defaults()
	o := sweep.Options{Options: study.Options{
		Backend: defaults.Base.Backend, Deterministic: defaults.Base.Deterministic}}
	var merge []string
	var shard, export string
	var dryRun, board bool
	var onCluster clusterFlags
	lists := settingLists{plan: defaults, values: map[string]*[]string{}}
	command := &cobra.Command{
		Use:   "sweep [plan.yaml]",
		Short: "Try many settings with several seeds each, and rank them",
		Long: `Run a plan of settings, each with several seeds, and rank them by a validation
split. The plan is a file, or the flags of settings, each with several values.
The test accuracy is shown once, at the end, for the best setting alone; the
records of all runs have theirs.

The folder keeps every run, finished or interrupted, by its settings, data and
seed: the same command continues, a larger plan runs only what is new, and a run
that diverges is a result. results.json, results.csv, results.md, report.html
and figures/ are written there when all runs are made.

--shard i/N makes one of N parts of the runs, on any machine that has the
folder; afterwards the same command without --shard makes what is missing, ranks
and reports. --merge copies the runs of other folders first, where the machines
share none.

A plan file is YAML; grid or random is needed, all else can be left out:
  name: widths                          # of the folder (default: of the file)
  settings: {epochs: 20, data: mnist}   # what all runs have in common
  grid: {layer_sizes: [[128], [512, 512]], normalize: [true, false]}
  random:                               # draws, each with all of the grid
    count: 20
    seed: 1
    parameters:
      learning_rate: {log_uniform: [0.001, 1]}
      batch_size: {choice: [32, 64]}    # or uniform: [16, 128]
  seeds: 3                              # or a list
  validation: 5000                      # training images to rank by
  rank_by: validation_accuracy          # or validation_loss
  stop: {rule: halving, at: [5, 10], eta: 2}  # or rule: median
The rules stop bad settings after the epochs in at: successive halving keeps one
in eta, median those that are no worse than the median of all settings. Every
shard ends there; when all have ended, run all of them again, once for each
epoch in at. --slurm N --follow does that by itself.`,
		Example: `  epochal sweep --learning-rate 0.01,0.1 --layer-sizes 128 --layer-sizes 512,512
  epochal sweep plan.yaml --dry-run
  epochal sweep plan.yaml --export best.yaml
  epochal sweep plan.yaml --shard 0/4`,
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			plan, err := lists.read(c.Flags(), args)
			if err != nil {
				return err
			}
			o.Folder = cmp.Or(o.Folder, filepath.Join("sweeps", plan.Name))
			if err := readShard(c.Flags(), shard, &o.Options); err != nil {
				return err
			}
			if export != "" {
				if err := regular.CanWrite(export); err != nil {
					return fmt.Errorf("--export: %w", record.Unwritable(err))
				}
			}
			o.Command = recordedCommand()
			printer := &sweepPrinter{terminal: t, plan: plan}
			o.Observer, o.WantCUDA = printer.observe, t.wantCUDA
			if dryRun {
				return printForecast(t, c, plan, o)
			}
			_, err = plan.Check()
			watch := func() (*study.Watch, error) { return sweep.Watch(c.Context(), plan, o) }
			if err := mergeStudies(t, o.Folder, merge, errors.Join(err, o.Validate()), watch); err != nil {
				return err
			}
			handled, err := onCluster.run(c, t, clusterWork{folder: o.Folder, rungs: plan.Stop.At, watch: watch})
			if handled || err != nil {
				return err
			}
			if board {
				o.RunObserver = t.tensorBoard
			}
			results, err := sweep.Run(c.Context(), plan, o)
			t.end()
			if err != nil && (c.Context().Err() != nil || errors.As(err, new(train.Stopped))) {
				return again{err, commandLine(os.Args[1:]...), runsSaved}
			} else if err != nil {
				return err
			}
			if o.ReadOnly && len(results.Backends) == 0 {
				return fmt.Errorf("%s: found none of the %s of the sweep, expected at least one to report",
					o.Folder, words.Counted(results.Runs, "run"))
			}
			if o.Shard.Count > 0 {
				noteShard(t, o.Shard, results.Missing, len(plan.Stop.At) > 0)
				return nil
			}
			return finishSweep(t, results, o.Folder, export)
		},
	}
	flags := command.Flags()
	flags.SortFlags = false
	lists.add(flags)
	flags.IntVar(&o.Jobs, "jobs", o.Jobs, "`runs` in parallel, each on the next GPU; 0: one per core, or one per GPU")
	flags.StringVar(&o.Folder, "out", "", "`folder` of the sweep (default sweeps/<name>)")
	flags.BoolVar(&dryRun, "dry-run", false, "print the settings, and how long the missing runs will take by a few seconds of measuring")
	flags.StringVar(&export, "export", "", "write the best setting to `file` as an experiment for reproduce --experiment")
	addShardFlags(flags, &shard, &merge)
	onCluster.add(flags)
	flags.BoolVar(&board, "tensorboard", false, tensorBoardUsage)
	flags.BoolVar(&o.ReadOnly, reportOnly, false, "make no runs: rank and report those that are there, also while shards run")
	flags.StringVar(&o.Backend, "backend", o.Backend, "auto, xla:cpu, xla:cuda, go, or any GoMLX backend `string`")
	flags.BoolVar(&o.TF32, "tf32", o.TF32, "allow TF32 matrix products on CUDA: faster, less exact")
	flags.BoolVar(&o.Deterministic, "deterministic", o.Deterministic, deterministicUsage)
	return command
}

// settingLists are the flags of a plan.
type settingLists struct {
	plan   sweep.Plan
	values map[string]*[]string // by flag: what it was given
	seeds  string
	name   string
}

// add adds a flag for every field that settings can differ in, which takes several values,
// and those of the rest of the plan.
func (l *settingLists) add(flags *pflag.FlagSet) {
	usual := pflag.NewFlagSet("", pflag.ContinueOnError)
	c := l.plan.Base
	addConfigFlags(usual, &c)
	usual.SortFlags = false
	usual.VisitAll(func(flag *pflag.Flag) {
		if !slices.ContainsFunc(sweep.Fields(), func(field string) bool { return flagName(field) == flag.Name }) {
			return
		}
		if flag.Name == "init" {
			flag.Usage = "safetensors `file` with the initial weights (default: drawn from the seed)"
		}
		texts := new([]string)
		l.values[flag.Name] = texts
		if flag.Value.Type() == (*layerSizes)(nil).Type() {
			several := "; may be repeated, for several networks"
			if flag.DefValue != "" {
				several += " (default " + flag.DefValue + ")"
			}
			flags.StringArrayVar(texts, flag.Name, nil, flag.Usage+several)
			return
		}
		several := "; several values are separated by commas"
		if !strings.Contains(flag.Usage, "`") {
			several = "; several `values` are separated by commas"
		}
		if flag.DefValue != "" && !strings.Contains(flag.Usage, "(default") {
			several += " (default " + flag.DefValue + ")"
		}
		flags.StringSliceVar(texts, flag.Name, nil, flag.Usage+several)
		if flag.Value.Type() == "bool" {
			flags.Lookup(flag.Name).NoOptDefVal = "true"
		}
	})
	p := &l.plan
	flags.StringVar(&l.name, "name", "", "`name` of the sweep, its title and its folder in sweeps/ (default: that of the plan, or\n"+
		"made from the flags, so that other flags have another folder)")
	addDataFlags(flags, dataFlags{&p.Base.Data, &p.Base.Split, &p.Base.Transpose, &p.Base.TestShare}, dataUsage)
	flags.StringVar(&l.seeds, "seeds", strconv.Itoa(len(p.Seeds)), "`number` of seeds per setting, or several seeds separated by commas")
	flags.IntVar(&p.Base.Validation, "validation", p.Base.Validation, "training `images` to hold out and rank by")
	flags.StringVar(&p.RankBy, "rank-by", p.RankBy, "`metric` to rank by: validation_loss or validation_accuracy")
	flags.StringVar(&p.Stop.Rule, "stop", "", "`rule` by which bad settings stop early: median or halving (default none)")
	flags.IntSliceVar(&p.Stop.At, "stop-at", nil, "`epochs` after which settings are compared to stop some, separated by commas")
	flags.IntVar(&p.Stop.Eta, "stop-eta", p.Stop.Eta, "with --stop halving, one setting of so many goes on")
}

// planFlagNames are the flags of a plan that are no settings.
var planFlagNames = append([]string{"seeds", "validation", "rank-by", "stop", "stop-at", "stop-eta"}, dataFlagNames...)

func flagName(field string) string { return strings.ReplaceAll(field, "_", "-") }

// read is the plan of the file among the arguments, or else of the flags.
func (l *settingLists) read(flags *pflag.FlagSet, args []string) (sweep.Plan, error) {
	if err := l.spaced(flags, args); err != nil {
		return sweep.Plan{}, err
	}
	if len(args) > 1 {
		return sweep.Plan{}, usageError{err: fmt.Errorf("sweep: found %d arguments, expected at most one plan file", len(args))}
	}
	if flags.Changed("name") {
		if err := sweep.CheckName(l.name); err != nil {
			return sweep.Plan{}, err
		}
	}
	if len(args) == 1 {
		var err error
		flags.Visit(func(flag *pflag.Flag) {
			if l.values[flag.Name] != nil || slices.Contains(planFlagNames, flag.Name) {
				err = usageError{err: fmt.Errorf("--%s: found it beside the plan %s, expected it in the plan", flag.Name, args[0])}
			}
		})
		if err != nil {
			return sweep.Plan{}, err
		}
		p, err := sweep.Load(args[0])
		p.Name = cmp.Or(l.name, p.Name)
		return p, err
	}
	p := l.plan
	if err := l.readSeeds(&p); err != nil {
		return p, err
	}
	for _, field := range sweep.Fields() {
		texts := l.values[flagName(field)]
		if texts == nil || !flags.Changed(flagName(field)) {
			continue
		}
		axis := sweep.Axis{Name: field}
		for _, text := range *texts {
			c := p.Base
			parser := pflag.NewFlagSet("", pflag.ContinueOnError)
			addConfigFlags(parser, &c)
			if err := parser.Set(flagName(field), text); err != nil {
				return p, usageError{err: flagError(err, configLimit), hint: "run 'epochal sweep --help' for the flags"}
			}
			axis.Values = append(axis.Values, sweep.Value(c, field))
		}
		if len(axis.Values) == 1 {
			sweep.Set(&p.Base, field, axis.Values[0])
		} else if len(axis.Values) > 1 {
			p.Grid = append(p.Grid, axis)
		}
	}
	if len(p.Grid) == 0 {
		return p, usageError{
			err:  errors.New("sweep: found no setting with several values, expected a plan file or flags such as --learning-rate 0.01,0.1"),
			hint: "run 'epochal sweep --help' for both",
		}
	}
	p.Name = cmp.Or(l.name, l.nameOf(flags, p.Swept()))
	return p, nil
}

// spaced reports values such as true,false that are written after a space, where they are no part of a flag.
func (l *settingLists) spaced(flags *pflag.FlagSet, args []string) error {
	for _, arg := range args {
		if strings.Trim(strings.NewReplacer("true", "", "false", "").Replace(arg), ",") != "" {
			continue
		}
		var right []string
		flags.Visit(func(flag *pflag.Flag) {
			if l.values[flag.Name] != nil && flag.NoOptDefVal != "" {
				right = append(right, "--"+flag.Name+"="+arg)
			}
		})
		if len(right) > 0 {
			return usageError{err: fmt.Errorf("sweep: found %q after a space, expected an equals sign before it", arg),
				hint: "write " + strings.Join(right, " or ")}
		}
	}
	return nil
}

// nameOf is a name for the plan of the flags: what it varies, and a checksum of all that decides its runs and their
// ranking, so that no two plans have the same.
func (l *settingLists) nameOf(flags *pflag.FlagSet, swept []string) string {
	others := append([]string{"backend", "tf32", "deterministic"}, planFlagNames...)
	var given []string
	flags.Visit(func(flag *pflag.Flag) {
		if l.values[flag.Name] != nil || slices.Contains(others, flag.Name) {
			given = append(given, flag.Name+" "+flag.Value.String())
		}
	})
	slices.Sort(given)
	sum := fmt.Sprintf("-%.3x", sha256.Sum256([]byte(strings.Join(given, "\n"))))
	name := flagName(strings.Join(swept, "-"))
	return strings.TrimRight(name[:min(len(name), sweep.MaxName-len(sum))], "-") + sum
}

func (l *settingLists) readSeeds(p *sweep.Plan) error {
	texts := strings.Split(l.seeds, ",")
	var seeds []uint64
	for _, text := range texts {
		seed, err := strconv.ParseUint(strings.TrimSpace(text), 10, 64)
		if err != nil {
			return experiments.Problem{Field: "seeds", Found: strconv.Quote(l.seeds),
				Expected: "a number of seeds, or several seeds separated by commas"}
		}
		seeds = append(seeds, seed)
	}
	if len(seeds) == 1 {
		if seeds[0] < 1 || seeds[0] > sweep.MaxSeeds {
			return experiments.Problem{Field: "seeds", Found: l.seeds, Expected: fmt.Sprintf("1 to %d", sweep.MaxSeeds)}
		}
		seeds = sweep.FirstSeeds(int(seeds[0]))
	}
	p.Seeds = seeds
	return nil
}

// addShardFlags adds the flags of studies that are made on several machines.
func addShardFlags(flags *pflag.FlagSet, shard *string, merge *[]string) {
	flags.StringVar(shard, "shard", "", "make only part `i/N` of the runs, such as 0/4; to be called for every i from 0 to N-1")
	flags.StringArrayVar(merge, "merge", nil, "first copy the finished runs of another `folder` of the same kind; may be repeated")
}

// readShard reads --shard and reports what does not go with it.
func readShard(flags *pflag.FlagSet, text string, o *study.Options) (err error) {
	if flags.Changed("shard") {
		for _, other := range []string{"merge", "report-only", "export"} {
			if flags.Changed(other) {
				return usageError{err: fmt.Errorf("--shard and --%s: found both, expected one; a shard only makes runs", other)}
			}
		}
		o.Shard, err = study.ParseShard(text)
	}
	return err
}

// mergeStudies copies the runs of other folders, unless the command is wrong. watch looks for the runs of the command.
func mergeStudies(t *terminal, folder string, from []string, wrong error, watch func() (*study.Watch, error)) error {
	if len(from) == 0 || wrong != nil {
		return wrong
	}
	copied, err := study.Merge(folder, from, time.Now)
	if err != nil {
		return record.Unwritable(err)
	}
	watched, err := watch()
	if err == nil {
		_, err = watched.Look()
	}
	if err != nil {
		return err
	}
	uses := ""
	if ours := watched.Plans(copied); ours < len(copied) {
		uses = fmt.Sprintf("; this command uses %d of them", ours)
	}
	t.note("copied %s from %s%s", words.Counted(len(copied), "run"), strings.Join(from, ", "), uses)
	return nil
}

// noteShard says what is left to do after a shard, which has rungs where it waits for others.
func noteShard(t *terminal, s study.Shard, missing int, rungs bool) {
	if missing == 0 {
		t.note("shard %v is done, and no run of another shard is missing; the same command without --shard reports", s)
		return
	}
	next := ""
	if rungs {
		next = "; what comes next can be made when they are there"
	}
	t.note("shard %v has no run left to make now; %s of other shards %s missing%s", s,
		words.Counted(missing, "run"), map[bool]string{true: "is", false: "are"}[missing == 1], next)
}

// finishSweep writes the report and prints the ranking.
func finishSweep(t *terminal, r sweep.Results, folder, export string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return record.Unwritable(err)
	}
	if err := report.WriteSweep(folder, r); err != nil {
		return record.Unwritable(err)
	}
	table := report.SweepTable(r, shownSettings)
	for i, cell := range table[0] {
		table[0][i] = strings.ToUpper(cell)
	}
	t.table("", 1+len(r.Swept), table...)
	if hidden := len(r.Settings) - shownSettings; hidden > 0 {
		t.printf("and %s more in %s\n", words.Thousands(hidden), filepath.Join(folder, report.TableFile))
	}
	t.printf("\n")
	for _, sentence := range report.SweepFindings(r) {
		t.printf("%s\n", fold(sentence, columns(t.out)))
	}
	failed := t.printf("\n%s\n", filepath.Join(folder, report.PageFile))
	if export != "" {
		text, err := r.Export()
		if err == nil {
			err = regular.Write(export, text)
		}
		if err != nil {
			return fmt.Errorf("--export: %w", record.Unwritable(err))
		}
	}
	return failed
}

// printForecast prints what a sweep would do.
func printForecast(t *terminal, c *cobra.Command, p sweep.Plan, o sweep.Options) error {
	f, err := sweep.Estimate(c.Context(), p, o)
	t.end()
	if err != nil {
		return err
	}
	swept := p.Swept()
	rows := [][]string{append([]string{"SETTING"}, swept...)}
	for _, s := range f.Settings {
		row := []string{strconv.Itoa(s.Number)}
		for _, name := range swept {
			row = append(row, words.Printable(sweep.Format(sweep.Value(s.Config, name))))
		}
		rows = append(rows, row)
	}
	for i, cell := range rows[0] {
		rows[0][i] = strings.ToUpper(cell)
	}
	t.table("", 1, rows...)
	t.printf("\n%s x %s = %s, %s of them to be made", words.Counted(len(f.Settings), "setting"), words.Counted(len(p.Seeds), "seed"),
		words.Counted(f.Runs, "run"), words.Thousands(f.Missing))
	if f.Missing > 0 {
		about := "about"
		if p.Stop.Rule != "" {
			about = "at most about"
		}
		t.printf(": %s %v, %d side by side", about, roughly(f.Time), f.Jobs)
	}
	t.printf("\n")
	for _, m := range f.Measured {
		t.printf("measured: setting %d, %.3g s an epoch, %.2g s to start a run\n", m.Setting.Number, m.EpochSeconds, m.StartSeconds)
	}
	return t.failed
}

// roughly rounds a time to what a forecast can tell.
func roughly(d time.Duration) time.Duration {
	switch {
	case d < time.Minute:
		return d.Round(time.Second)
	case d < time.Hour:
		return d.Round(10 * time.Second)
	default:
		return d.Round(time.Minute)
	}
}

// sweepPrinter prints the progress of a sweep. It shows no number of the test set.
type sweepPrinter struct {
	*terminal
	plan     sweep.Plan
	planned  study.Planned
	rung     int // how many times it was planned
	jobs     int
	done     int
	best     float64
	bestName string
	epochs   map[string]int // that the runs under way are in, by what identifies them
	said     time.Time      // when a line was last printed
}

// quiet is how long a sweep prints nothing in a pipe.
const quiet = time.Minute

func (p *sweepPrinter) observe(event study.Event) {
	switch e := event.(type) {
	case study.Planned:
		p.planned, p.done = e, e.Done
		rung := ""
		if p.rung < len(p.plan.Stop.At) {
			rung = fmt.Sprintf("up to epoch %d: ", p.plan.Stop.At[p.rung])
		}
		p.rung++
		p.note("%s%d runs, %d of them already complete", rung, e.Runs, e.Done)
	case study.Working:
		p.end()
		p.jobs = e.Jobs
		p.note("running on %s (%s), %d in parallel", e.Backend.Name, e.Backend.Device, e.Jobs)
		p.epochs, p.said = map[string]int{}, time.Now()
	case study.Progress:
		p.epochs[p.key(e.Run)] = e.Epoch
		text := p.status(e)
		p.progress("%s", text)
		if !p.redraws && time.Since(p.said) >= quiet {
			p.note("%s", text)
			p.said = time.Now()
		}
	case study.RunEnded:
		delete(p.epochs, p.key(e.Run))
		p.done, p.said = e.Done, time.Now()
		p.note("%d/%d %s seed %d: %s, %.1f s", e.Done, e.Runs, p.plan.Describe(e.Run.Config), e.Run.Config.Seed, p.outcome(e), e.Record.Seconds)
	case study.Other:
		p.observeStudy(e)
	}
}

func (p *sweepPrinter) key(r study.Run) string { return fmt.Sprint(r.Name, " ", r.Config.Seed) }

// status says how far the sweep is.
func (p *sweepPrinter) status(e study.Progress) string {
	left := p.planned.Runs - p.done
	running := min(p.jobs, left)
	first, last := e.Epoch, e.Epoch
	for _, epoch := range p.epochs {
		first, last = min(first, epoch), max(last, epoch)
	}
	in := fmt.Sprintf("epoch %d", first)
	if first < last {
		in = fmt.Sprintf("epochs %d to %d", first, last)
	}
	best := ""
	if p.bestName != "" {
		best = fmt.Sprintf("; best so far %s: %s", p.metric(p.best), p.bestName)
	}
	return fmt.Sprintf("%.0f%%, %v left; runs: %d done, %d running (%s), %d left%s",
		100*e.Share, e.Left.Round(time.Second), p.done, running, in, left-running, best)
}

// outcome says how a run ended, and remembers the best.
func (p *sweepPrinter) outcome(e study.RunEnded) string {
	if d := e.Record.Diverged; d != nil {
		return fmt.Sprintf("diverged in epoch %d", d.Epoch)
	}
	value, better := lastMetric(e.Record, p.plan.RankBy)
	if p.bestName == "" || better(value, p.best) {
		p.best, p.bestName = value, p.plan.Describe(e.Run.Config)
	}
	return "validation " + p.metric(value)
}

func (p *sweepPrinter) metric(value float64) string {
	if p.plan.RankBy == sweep.ValidationLoss {
		return fmt.Sprintf("loss %.4f", value)
	}
	return "accuracy " + words.Percent(value, 2)
}

// lastMetric is the metric of the last epoch, and what is better than what.
func lastMetric(r record.Record, metric string) (float64, func(a, b float64) bool) {
	last := r.Epochs[len(r.Epochs)-1]
	if metric == sweep.ValidationLoss {
		return *last.ValidationLoss, func(a, b float64) bool { return a < b }
	}
	return *last.ValidationAccuracy, func(a, b float64) bool { return a > b }
}
