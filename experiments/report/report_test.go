package report_test

import (
	"encoding/xml"
	"flag"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"epochal/dataset"
	"epochal/experiments"
	"epochal/experiments/evaluate"
	"epochal/experiments/published"
	"epochal/experiments/record"
	"epochal/experiments/report"
	"epochal/model/backend"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var update = flag.Bool("update", false, "write the golden files anew")

// images is a dataset of 3 classes and 3x5 pixels.
func images() *dataset.Dataset {
	set := func(count int) dataset.Set {
		set := dataset.Set{Rows: 3, Columns: 5}
		for i := range count {
			set.Labels = append(set.Labels, byte(i%3))
			for j := range set.Rows * set.Columns {
				set.Pixels = append(set.Pixels, byte(i*15+j))
			}
		}
		return set
	}
	return &dataset.Dataset{
		Name: "little", Train: set(90), Test: set(30), Classes: 3,
		Files: []dataset.File{{Name: "train-images", SHA256: strings.Repeat("ab", 32)}, {Name: "test-images", SHA256: strings.Repeat("cd", 32)}},
	}
}

// run is a made-up run that ends at some number of right test images out of 30.
func run(c experiments.Config, e record.Environment, right int) record.Record {
	r := record.Record{Config: c, Environment: e}
	for epoch := 1; epoch <= c.Epochs; epoch++ {
		accuracy := float64(right-2*(c.Epochs-epoch)) / 30
		r.Epochs = append(r.Epochs, experiments.EpochMetrics{
			Event: "epoch", Epoch: epoch, TrainLoss: 0.5 / float64(epoch), TrainAccuracy: accuracy - 1.0/64,
			TestLoss: 0.625 / float64(epoch), TestAccuracy: accuracy,
			TrainSeconds: 1.5, EvalSeconds: 0.5,
		})
		r.Seconds += 2
	}
	wrong := 30 - right
	r.Test = record.TestEvaluation{
		Confusion: [][]int{{10, 0, 0}, {wrong - 1, 10 - wrong, 1}, {0, 0, 10}},
		Mistakes: []record.Mistake{
			{Image: 4, Label: 1, Predicted: 0, Confidence: 0.75}, {Image: 1, Label: 1, Predicted: 2, Confidence: 0.5},
		},
	}
	return r
}

// diverged is a made-up run whose loss was not finite in the second epoch.
func diverged(c experiments.Config, e record.Environment) record.Record {
	r := run(c, e, 20)
	r.Epochs, r.Test, r.Seconds = r.Epochs[:1], record.TestEvaluation{}, 2
	r.Diverged = &experiments.Diverged{Epoch: 2, Step: 7, Loss: math.NaN()}
	return r
}

// experiment puts runs together, one for each seed.
func experiment(name string, c experiments.Config, runs ...record.Record) published.ExperimentResult {
	e := published.ExperimentResult{
		Name: name, Title: "About " + name, Why: "To see " + name + ".", Normalized: c.Normalize, Config: c,
		Claims: []published.ClaimResult{}, Records: runs,
	}
	var train, test []float64
	for seed, r := range runs {
		one := published.RunResult{
			Seed: uint64(seed), Folder: fmt.Sprintf("runs/%s-seed%d", name, seed),
			Seconds: r.Seconds, Epochs: r.Epochs, Confusion: r.Test.Confusion,
		}
		if r.Diverged != nil {
			metrics := r.Diverged.Metrics()
			one.Diverged = &metrics
			e.Diverged++
		} else {
			last := r.Epochs[len(r.Epochs)-1]
			train, test = append(train, last.TrainAccuracy), append(test, last.TestAccuracy)
		}
		e.Runs = append(e.Runs, one)
		e.Seconds += r.Seconds / float64(len(runs))
	}
	e.TrainAccuracy, e.TestAccuracy = interval(train), interval(test)
	return e
}

// interval is an interval of round numbers, which no machine rounds in another way.
func interval(values []float64) published.Interval {
	i := published.Interval{N: len(values)}
	for _, value := range values {
		i.Mean += value
	}
	i.Mean = math.Round(i.Mean/float64(max(1, len(values)))*1024) / 1024
	i.Low, i.High = i.Mean, i.Mean
	if i.N > 1 {
		i.Low, i.High, i.Deviation = i.Mean-1.0/128, i.Mean+1.0/128, 1.0/256
	}
	return i
}

// results are 2 seeds of an experiment, of its twin, and of one that mostly diverged.
func results() published.Results {
	environment := record.Environment{
		Version: "v1.2.3", Revision: "0123abc", Go: "go1.26.5", GoMLX: "v0.28.8", GoXLA: "v0.4.5",
		OperatingSystem: "linux", Architecture: "amd64", Cores: 2,
		Backend: backend.Info{
			Name: "xla:cpu", Version: "PJRT 0.67", Device: "a processor (2 threads)", Threads: 1,
			PluginFile: "/home/somebody/lib/plugin.so", PluginSHA256: strings.Repeat("ef", 32),
		},
		Data: images().Files, Started: time.Date(2025, 11, 23, 17, 1, 2, 0, time.UTC),
	}
	config := experiments.Defaults()
	config.Epochs = 3
	normalized, wild := config, config
	normalized.Normalize = true
	wild.LayerSizes, wild.LearningRate, wild.Activation = []int{}, 12.5, "tanh"

	plain := experiment("attempt-1", config, run(config, environment, 25), run(config, environment, 26))
	twin := experiment("attempt-1-normalized", normalized, run(normalized, environment, 27), run(normalized, environment, 28))
	plain.Twin, twin.Twin = twin.Name, plain.Name
	plain.Claims = []published.ClaimResult{
		{
			Claim: "final test accuracy", Kind: published.FinalTestAccuracy, Value: 0.845, Tolerance: 0.015,
			Published: "84.5% ± 1.5", Ours: "84.96% (84.18% to 85.74%)", Source: "about 84.5%", Expected: true,
			Judgement: published.Judgement{
				Verdict: published.Holds, Reason: "the interval is within 83% to 86%",
				Interval: plain.TestAccuracy, Values: []float64{0.8125, 0.875},
			},
		},
		{
			Claim: "accuracy of digit 1", Published: "97% ± 1", Ours: "55.00% (48.65% to 61.35%)", Expected: true,
			Judgement: published.Judgement{
				Verdict: published.Fails, Reason: "the interval is outside 96% to 98%",
				Interval: published.Interval{N: 2, Mean: 0.5}, Values: []float64{0.5, 0.5},
			},
		},
	}
	twin.Claims = []published.ClaimResult{{
		Claim: "final test accuracy", Kind: published.FinalTestAccuracy, Value: 0.845, Tolerance: 0.015,
		Published: "84.5% ± 1.5", Ours: "91.7%",
		Judgement: published.Judgement{
			Verdict: published.Fails, Reason: "the interval is outside 83% to 86%",
			Interval: twin.TestAccuracy, Values: []float64{0.875, 0.9375},
		},
	}}
	mixed := experiment("wider", wild, diverged(wild, environment), run(wild, environment, 24))
	mixed.Claims = []published.ClaimResult{{
		Claim: "final test accuracy against attempt-1", Published: "above attempt-1", Ours: "-2.00 points",
		Source: "slightly better", Expected: true,
		Judgement: published.Judgement{
			Verdict: published.Undecided, Reason: "1 of 2 seeds diverged; 1 seed",
			Interval: published.Interval{N: 1, Mean: -0.0625, Low: -0.0625, High: -0.0625}, Values: []float64{-0.0625}, Diverged: 1,
		},
	}}
	lost := experiment("narrower", wild, diverged(wild, environment), diverged(wild, environment))

	return published.Results{
		Schema: published.Schema, Command: "epochal reproduce attempt-1 attempt-1-normalized wider narrower --seeds 2",
		Seeds: []uint64{0, 1}, Backends: []string{"xla:cpu"},
		Environment: environment, Experiments: []published.ExperimentResult{plain, twin, mixed, lost},
	}
}

// write returns the files of a report by their names.
func write(t *testing.T, r published.Results, data *dataset.Dataset) map[string]string {
	t.Helper()
	folder := t.TempDir()
	if err := report.Write(folder, r, data); err != nil {
		t.Fatal(err)
	}
	files := contents(t, folder)
	checkPage(t, files[report.PageFile])
	return files
}

// page is the page without figures.
func page(t *testing.T, r published.Results) string {
	t.Helper()
	return write(t, r, nil)[report.PageFile]
}

// texts are the page without figures and the same as Markdown.
func texts(t *testing.T, r published.Results) map[string]string {
	t.Helper()
	files := write(t, r, nil)
	delete(files, report.ResultsFile)
	return files
}

var (
	void     = regexp.MustCompile(`<(meta|br|img)([^>]*)>`)
	cssLoads = regexp.MustCompile(`url\(|@import|@font-face`)
)

// checkPage checks what is true of every page: each element is closed where it should
// be, nothing can run, nothing is loaded, links lead somewhere, and headings, images
// and table heads are as readers of a screen expect them.
func checkPage(t *testing.T, page string) {
	t.Helper()
	xhtml := strings.ReplaceAll(void.ReplaceAllString(page, "<$1$2/>"), "\x1b", "") // which XML cannot have
	decoder := xml.NewDecoder(strings.NewReader(xhtml))
	decoder.Entity = xml.HTMLEntity
	ids, links := map[string]bool{}, map[string]bool{}
	heading := 0
	for {
		token, err := decoder.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("found a page that is not well-formed: %v", err)
		}
		element, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		attributes := map[string]string{}
		for _, a := range element.Attr {
			attributes[a.Name.Local] = a.Value
			if strings.HasPrefix(a.Name.Local, "on") || cssLoads.MatchString(a.Value) {
				t.Errorf("found %s=%q in a %s", a.Name.Local, a.Value, element.Name.Local)
			}
		}
		switch name := element.Name.Local; name {
		case "script", "link", "iframe", "object", "embed", "base", "form", "svg":
			t.Errorf("found a %s element", name)
		case "img":
			if !strings.HasPrefix(attributes["src"], "data:image/svg+xml;base64,") || attributes["alt"] == "" || attributes["width"] == "" {
				t.Errorf("found an image with src %.40q, alt %q, width %q", attributes["src"], attributes["alt"], attributes["width"])
			}
		case "th":
			if attributes["scope"] == "" {
				t.Error("found a table head without a scope")
			}
		case "h1", "h2", "h3", "h4", "h5", "h6":
			level := int(name[1] - '0')
			if level > heading+1 || level == 1 && heading != 0 {
				t.Errorf("found h%d after h%d", level, heading)
			}
			heading = level
		}
		if id, ok := attributes["id"]; ok {
			if ids[id] {
				t.Errorf("found the id %q twice", id)
			}
			ids[id] = true
		}
		if link, ok := attributes["href"]; ok {
			links[link] = true
		}
	}
	for link := range links {
		if id, ok := strings.CutPrefix(link, "#"); !ok || !ids[id] {
			t.Errorf("found a link to %q", link)
		}
	}
	style := page[strings.Index(page, "<style>"):strings.Index(page, "</style>")]
	if found := cssLoads.FindString(style); found != "" {
		t.Errorf("found %q in the style sheet", found)
	}
	if strings.Contains(page, "ZgotmplZ") || strings.Contains(page, "<no value>") {
		t.Error("found that a value was refused by html/template")
	}
}

// checkGolden compares a text with a golden file.
func checkGolden(t *testing.T, name, found string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(found), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	expected, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(expected), "\n"), strings.Split(found, "\n")); diff != "" {
		t.Errorf("differs from %s; go test -update writes it anew (-expected +found):\n%s", path, diff)
	}
}

func TestReport(t *testing.T) {
	for name, found := range write(t, results(), nil) {
		checkGolden(t, name, found)
	}
}

// unescaped are the pipes that part the cells of a row.
var unescaped = regexp.MustCompile(`(^|[^\\])\|`)

// TestHostile puts texts of a user's file, and of a device, into everything.
func TestHostile(t *testing.T) {
	const hostile = "<script>alert('x')</script> | \"`\\ </style> {{.}} https://example.com\n# x\x1b[31m &amp; <img src=x onerror=y>"
	r := results()
	r.Command = hostile
	r.Backends = []string{hostile}
	r.Environment.Version, r.Environment.Backend.Device, r.Environment.Backend.Name = hostile, hostile, hostile
	r.Environment.Data = []dataset.File{{Name: hostile, SHA256: hostile}}
	for i := range r.Experiments {
		e := &r.Experiments[i]
		e.ClassNames = []string{hostile, "\x1b[31m|", ""}
		e.Title, e.Why = hostile, hostile // names are checked where they are read
		e.Config.Data, e.Config.Init, e.Config.Activation = hostile, hostile, hostile
		for j := range e.Claims {
			c := &e.Claims[j]
			c.Claim, c.Published, c.Ours, c.Source, c.Judgement.Reason = hostile, hostile, hostile, hostile, hostile
		}
		for j := range e.Runs {
			e.Runs[j].Folder = hostile
			if e.Runs[j].Diverged != nil {
				e.Runs[j].Diverged.Loss = hostile
			}
		}
	}
	files := write(t, r, images())
	if strings.Count(files[report.PageFile], "</style>") != 1 {
		t.Error("found that the style sheet ends twice")
	}

	columns := 0
	for line := range strings.Lines(files[report.MarkdownFile]) {
		if strings.Contains(line, "\x1b") {
			t.Errorf("found what a terminal obeys: %q", line)
		}
		if strings.HasPrefix(line, "    ") {
			continue // as it is
		}
		if strings.Contains(line, "<") && !strings.Contains(line, `\<`) {
			t.Errorf("found HTML: %q", line)
		}
		if !strings.HasPrefix(line, "|") {
			columns = 0
			continue
		}
		count := len(unescaped.FindAllString(line, -1))
		if columns > 0 && count != columns {
			t.Errorf("found %d columns, expected %d: %q", count, columns, line)
		}
		columns = count
	}
}

func TestQuick(t *testing.T) {
	r := results()
	r.Quick = true
	for i := range r.Experiments {
		r.Experiments[i].Claims = []published.ClaimResult{}
	}
	for name, found := range texts(t, r) {
		if !strings.Contains(found, "Smoke test: one seed and a few epochs") {
			t.Errorf("%s: found no mark of a smoke test", name)
		}
		for _, unexpected := range []string{"Verdict", "expected to hold", "nearer", "ublished"} {
			if strings.Contains(found, unexpected) {
				t.Errorf("%s: found %q in a smoke test", name, unexpected)
			}
		}
	}
}

// The group on convolutions is answered in a sentence, a figure and a table.
func TestAnswer(t *testing.T) {
	r := results()
	c, environment := r.Experiments[0].Config, r.Environment
	network := func(name string, right int) published.ExperimentResult {
		e := experiment(name, c, run(c, environment, right), run(c, environment, right+1))
		e.Group = published.Convolution
		for i := range e.Runs {
			e.Runs[i].Distorted = evaluate.Distortions()
		}
		return e
	}
	convolution := network("conv-35k", 28)
	convolution.Claims = []published.ClaimResult{{Reference: "dense-35k", Source: "equal parameters", Claim: "it is better",
		Kind: published.BetterThan, Judgement: published.Judgement{Verdict: published.Holds, Interval: interval([]float64{0.125, 0.125})}}}
	r.Experiments = []published.ExperimentResult{convolution, network("dense-35k", 24)}
	files := write(t, r, images())
	for _, want := range []string{"How different are convolutions?", "better than the fully connected network in 1 of 1 comparison"} {
		if !strings.Contains(files["report.html"], want) || !strings.Contains(files["results.md"], want[:20]) {
			t.Errorf("found no %q in the page and the text", want)
		}
	}
	if len(files["figures/answer.svg"]) == 0 || !strings.Contains(files["figures/answer.svg"], "fully connected") {
		t.Error("found no figure of the answer")
	}
	checkPage(t, files["report.html"])
}

func TestOneSeed(t *testing.T) {
	r := results()
	r.Seeds = r.Seeds[:1]
	for i, e := range r.Experiments {
		r.Experiments[i] = experiment(e.Name, e.Config, e.Records[0])
	}
	found := page(t, r)
	for _, expected := range []string{
		"4 experiments ran with 1 seed on xla:cpu.", "They make no claims.", "test 83.30%, n = 1", "One seed, so no interval.", "all diverged",
	} {
		if !strings.Contains(found, expected) {
			t.Errorf("found no %q", expected)
		}
	}
	for _, unexpected := range []string{"±", `id="verdicts"`, `id="normalize"`} {
		if strings.Contains(found, unexpected) {
			t.Errorf("found %q", unexpected)
		}
	}
}

func TestOneOfTwins(t *testing.T) {
	r := results()
	r.Experiments = r.Experiments[:1]
	const expected = "No experiment ran in both forms. To compare them: epochal reproduce attempt-1 attempt-1-normalized"
	for name, found := range texts(t, r) {
		if !strings.Contains(found, expected) {
			t.Errorf("%s: found no %q", name, expected)
		}
	}
}

func TestWrite(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "new", "results")
	if err := report.Write(folder, results(), images()); err != nil {
		t.Fatal(err)
	}
	first := contents(t, folder)
	expectFiles(t, first,
		"batch", "comparison", "attempt-1-confusion", "attempt-1-curves", "attempt-1-mistakes",
		"attempt-1-normalized-confusion", "attempt-1-normalized-curves", "attempt-1-normalized-mistakes",
		"narrower-curves", "wider-confusion", "wider-curves", "wider-mistakes")
	checkPage(t, first["report.html"])
	if found := strings.Count(first["report.html"], "<img "); found != 12 {
		t.Errorf("found %d figures in the page, expected 12", found)
	}

	if err := report.Write(folder, results(), images()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first, contents(t, folder)); diff != "" {
		t.Error("found other files the second time")
	}
}

// expectFiles checks that there are the files of a report with figures of those names.
func expectFiles(t *testing.T, files map[string]string, figures ...string) {
	t.Helper()
	expected := []string{"results.json", "results.md", "report.html"}
	for _, figure := range figures {
		expected = append(expected, "figures/"+figure+".png", "figures/"+figure+".svg")
	}
	found := slices.Collect(maps.Keys(files))
	if diff := cmp.Diff(expected, found, cmpopts.SortSlices(strings.Compare)); diff != "" {
		t.Errorf("found other files (-expected +found):\n%s", diff)
	}
}

// contents are the files of a folder.
func contents(t *testing.T, folder string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(folder, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		name, _ := filepath.Rel(folder, path)
		files[filepath.ToSlash(name)] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// An experiment of one's own has its own title and none of the post's words.
func TestOwnExperiment(t *testing.T) {
	r := results()
	r.Experiments = r.Experiments[2:3]
	r.Experiments[0].Name, r.Experiments[0].Twin, r.Experiments[0].Own = "mine", "", true
	for name, found := range texts(t, r) {
		if !strings.Contains(found, "About wider") {
			t.Errorf("%s: found no title of the experiment", name)
		}
		for _, unexpected := range []string{"post", "ublished", "attempt 1", "Normalize"} {
			if strings.Contains(found, unexpected) {
				t.Errorf("%s: found %q", name, unexpected)
			}
		}
	}
}

// A figure of mistakes needs the images that were mistaken. What an earlier report
// wrote and this one does not is removed, what the user put there is not.
func TestWriteAgainWithLess(t *testing.T) {
	folder := t.TempDir()
	if err := report.Write(folder, results(), images()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "figures", "mine.png"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	r := results()
	r.Experiments = r.Experiments[:1]
	other := images()
	other.Files[1].SHA256 = strings.Repeat("00", 32)
	if err := report.Write(folder, r, other); err != nil {
		t.Fatal(err)
	}
	found := contents(t, folder)
	if _, kept := found["figures/mine.png"]; !kept {
		t.Error("found that the user's file is gone")
	}
	delete(found, "figures/mine.png")
	expectFiles(t, found, "batch", "comparison", "attempt-1-confusion", "attempt-1-curves")
}

func TestWriteFails(t *testing.T) {
	little := results()
	little.Experiments = little.Experiments[2:3] // few figures
	for name, test := range map[string]struct {
		file    string // in the way
		folder  string
		results published.Results
	}{
		"the folder is a file":        {"results", "results", little},
		"its parent is a file":        {"parent", "parent/results", little},
		"figures is a file":           {"results/figures", "results", little},
		"a figure's name is a folder": {"results/figures/wider-curves.svg/x", "results", little},
	} {
		t.Run(name, func(t *testing.T) {
			parent := t.TempDir()
			path := filepath.Join(parent, test.file)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte("mine"), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := report.Write(filepath.Join(parent, test.folder), test.results, images()); err == nil {
				t.Fatal("found no error")
			}
			for name, text := range contents(t, parent) {
				if name == filepath.ToSlash(test.file) {
					if text != "mine" {
						t.Errorf("found another text in %s", name)
					}
				} else if !strings.HasPrefix(name, "results/figures/") || strings.HasPrefix(filepath.Base(name), ".") {
					t.Errorf("found %s", name)
				}
			}
		})
	}
}
