package published

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"reflect"
	"slices"

	"epochal/dataset/regular"
	"epochal/experiments"
	"epochal/experiments/evaluate"
	"epochal/experiments/record"
	"epochal/experiments/study"
	"epochal/experiments/trained"
	"epochal/model"
)

// MaxSeeds is the most seeds of an experiment.
const MaxSeeds = 1000

// QuickEpochs is the number of epochs of a smoke test.
const QuickEpochs = 2

// quickImages is the number of training images of a smoke test of the group on convolutions.
const quickImages = 2000

// ResultsFile is where the results are in their folder. It is at most
// maxResults long.
const (
	ResultsFile = "results.json"
	maxResults  = 1 << 30
)

// Options say how experiments are reproduced.
type Options struct {
	study.Options
	Seeds   int    // seeds 0 to Seeds-1 of every experiment, 1 to MaxSeeds
	Quick   bool   // one seed, QuickEpochs epochs, no claims judged
	Command string // what makes the results, for the record
}

// Validate reports impossible options as [experiments.Problems].
func (o Options) Validate() error {
	err := o.Options.Validate()
	if o.Seeds < 1 || o.Seeds > MaxSeeds {
		problems := experiments.Problems{{Field: "seeds", Found: fmt.Sprint(o.Seeds), Expected: fmt.Sprintf("1 to %d", MaxSeeds)}}
		others, _ := errors.AsType[experiments.Problems](err)
		return append(problems, others...)
	}
	return err
}

// warn tells the observer, if there is one.
func (o Options) warn(format string, about ...any) {
	if o.Observer != nil {
		o.Observer(study.Other{Event: experiments.Warning{Text: fmt.Sprintf(format, about...)}})
	}
}

// Reproduce runs the chosen experiments, except for the runs that its folder holds
// already, and judges their claims. It must be given every experiment that these
// claims refer to.
//
// Experiments in the folder's existing results.json that are not chosen now are part
// of the results as well, with their own seeds and as they were judged. One whose
// runs are gone is left out, and the observer is told so. Nothing runs if that file
// is of another version, or if one of the two is a smoke test and the other is not.
//
// With o.ReadOnly, nothing is run and evaluated: chosen experiments whose runs are missing, or those of
// an experiment that their claims refer to, are treated as if they were not chosen.
func Reproduce(ctx context.Context, chosen []Experiment, o Options) (Results, error) {
	if o.Quick {
		o.Seeds, chosen = 1, quick(chosen)
	}
	if err := o.Validate(); err != nil {
		return Results{}, err
	}
	before, err := readResults(o.Folder, o.Quick)
	if err != nil {
		return Results{}, err
	}
	r := Results{Schema: Schema, Command: o.Command, Quick: o.Quick}
	for seed := range o.Seeds {
		r.Seeds = append(r.Seeds, uint64(seed))
	}
	made, err := study.Do(ctx, runsOf(chosen, o.Seeds), o.Options)
	if err == nil && o.ReadOnly {
		chosen, made, err = complete(chosen, made, o)
	}
	if err != nil {
		return Results{}, err
	}
	all := map[string]ExperimentResult{}
	for i, e := range chosen {
		result := ExperimentResult{
			Name: e.Name, Title: e.Title, Why: e.Why, Twin: e.Twin, Normalized: e.Config.Normalize,
			Own: e.Twin == "" && e.Group == "", Group: e.Group,
			Config: e.Config, Command: o.Command, Claims: []ClaimResult{},
		}
		if err := result.summarize(made[i*o.Seeds : (i+1)*o.Seeds]); err != nil {
			return Results{}, err
		}
		if e.Distort {
			kept, _ := before.Find(e.Name)
			if err := result.distort(ctx, kept.Runs, o); err != nil {
				return Results{}, err
			}
		}
		all[e.Name] = result
	}
	for _, e := range chosen {
		result := all[e.Name]
		for _, claim := range e.Claims {
			result.Claims = append(result.Claims, judge(claim, result, all[claim.Reference]))
		}
		all[e.Name] = result
	}
	for _, e := range before.Experiments {
		if _, again := all[e.Name]; again {
			r.Experiments = append(r.Experiments, all[e.Name])
			delete(all, e.Name)
		} else if err := e.reread(o.Folder); err == nil {
			r.Experiments = append(r.Experiments, e)
		} else {
			o.warn("%s is no longer in the results: %v", e.Name, err)
		}
	}
	for _, e := range chosen {
		if result, isNew := all[e.Name]; isNew {
			r.Experiments = append(r.Experiments, result)
		}
	}
	r.finish()
	return r, nil
}

// complete are the experiments whose runs are all there, with those of the experiments that
// their claims refer to, and these runs. The observer is told which are not.
func complete(chosen []Experiment, made []study.Result, o Options) (there []Experiment, runs []study.Result, err error) {
	missing := map[string]int{}
	for i, run := range made {
		if run.Folder == "" {
			missing[chosen[i/o.Seeds].Name]++
		}
	}
	for range chosen { // what a claim refers to can lack what its own claims refer to
		for _, e := range chosen {
			for _, claim := range e.Claims {
				missing[e.Name] = max(missing[e.Name], missing[claim.Reference])
			}
		}
	}
	for i, e := range chosen {
		if lacking := missing[e.Name]; lacking == 0 {
			there, runs = append(there, e), append(runs, made[i*o.Seeds:(i+1)*o.Seeds]...)
		} else {
			o.warn("%s is left out: %d of the runs that it needs %s missing",
				e.Name, lacking, map[bool]string{true: "is", false: "are"}[lacking == 1])
		}
	}
	if len(there) == 0 {
		err = fmt.Errorf("results: %s: found no experiment with all of its runs, expected at least one to report", o.Folder)
	}
	return there, runs, err
}

// ReproduceShard makes those runs of the chosen experiments that are of o.Shard, and
// returns how many runs of others are missing. It judges and writes nothing else.
func ReproduceShard(ctx context.Context, chosen []Experiment, o Options) (missing int, err error) {
	if o.Quick {
		o.Seeds, chosen = 1, quick(chosen)
	}
	if err := o.Validate(); err != nil {
		return 0, err
	}
	made, err := study.Do(ctx, runsOf(chosen, o.Seeds), o.Options)
	for _, run := range made {
		if run.Folder == "" {
			missing++
		}
	}
	return missing, err
}

// Watch looks for the runs of the chosen experiments that other processes make.
func Watch(ctx context.Context, chosen []Experiment, o Options) (*study.Watch, error) {
	if o.Quick {
		o.Seeds, chosen = 1, quick(chosen)
	}
	if err := o.Validate(); err != nil {
		return nil, err
	}
	runs := runsOf(chosen, o.Seeds)
	return study.NewWatch(o.Options, func(s *study.Study) error {
		_, err := s.Do(ctx, runs)
		return err
	})
}

// quick are experiments as a smoke test runs them.
func quick(chosen []Experiment) []Experiment {
	chosen = slices.Clone(chosen)
	for i := range chosen {
		c := &chosen[i].Config
		c.Epochs, chosen[i].Claims = min(c.Epochs, QuickEpochs), nil
		if chosen[i].Group == Convolution { // whose networks are not small
			c.TrainImages = min(cmp.Or(c.TrainImages, quickImages), quickImages)
		}
	}
	return chosen
}

// runsOf are the runs of experiments with so many seeds each.
func runsOf(chosen []Experiment, seeds int) (runs []study.Run) {
	for _, e := range chosen {
		for seed := range seeds {
			e.Config.Seed = uint64(seed)
			runs = append(runs, study.Run{Name: e.Name, Config: e.Config})
		}
	}
	return runs
}

// readResults reads the results that a folder holds already, none if it is new.
func readResults(folder string, quick bool) (Results, error) {
	var before Results
	path := filepath.Join(folder, ResultsFile)
	text, err := regular.Read(path, maxResults)
	if errors.Is(err, fs.ErrNotExist) {
		return before, nil
	} else if err != nil {
		return before, fmt.Errorf("results: %w", err)
	}
	kind := map[bool]string{true: "a smoke test", false: "a full reproduction"}
	switch err = json.Unmarshal(text, &before); {
	case err != nil:
		err = fmt.Errorf("%w; another program wrote it: choose another folder", err)
	case before.Schema != Schema:
		err = fmt.Errorf("found schema %d, expected %d; another version wrote it: choose another folder", before.Schema, Schema)
	case before.Quick != quick:
		err = fmt.Errorf("found the results of %s, expected those of %s; choose another folder", kind[before.Quick], kind[quick])
	default:
		return before, nil
	}
	return before, fmt.Errorf("results: %s: %w", path, err)
}

// reread reads the records of an experiment of the results that a folder holds.
func (e *ExperimentResult) reread(folder string) error {
	e.Kept = true
	if len(e.Runs) == 0 {
		return errors.New("found no run, expected at least one")
	}
	var runs []study.Result
	for _, run := range e.Runs {
		if !filepath.IsLocal(run.Folder) {
			return fmt.Errorf("found the run folder %q, expected one below %s", run.Folder, folder)
		}
		one, err := record.Read(filepath.Join(folder, run.Folder))
		if err != nil {
			return err
		}
		runs = append(runs, study.Result{Folder: run.Folder, Record: one})
	}
	kept := e.Runs
	err := e.summarize(runs)
	for i := range e.Runs {
		e.Runs[i].Distorted = kept[i].Distorted
	}
	return err
}

// distort evaluates the networks on distorted test images, except for those of kept runs that were.
func (e *ExperimentResult) distort(ctx context.Context, kept []RunResult, o Options) error {
	left := 0
	for i := range e.Runs {
		run := &e.Runs[i]
		for _, before := range kept {
			if before.Folder == run.Folder && reflect.DeepEqual(before.Epochs, run.Epochs) {
				run.Distorted = before.Distorted
			}
		}
		if run.Diverged != nil || run.Distorted != nil {
			continue
		}
		if o.ReadOnly {
			left++
			continue
		}
		network, err := trained.Open(filepath.Join(o.Folder, run.Folder), model.Hints{})
		if err != nil {
			return err
		}
		result, err := evaluate.Run(ctx, network, evaluate.Options{
			Backend: o.Backend, Distort: true, Warn: func(text string) { o.warn("%s", text) },
		})
		if err != nil {
			return err
		}
		run.Distorted = result.Distorted
	}
	if left > 0 {
		o.warn("%s: %s not evaluated on distorted test images, which the command without --report-only does", e.Name, plural(left, "run"))
	}
	return nil
}
