package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"epochal/dataset/regular"
	"epochal/dataset/regular/regulartest"
	"epochal/experiments/record"
)

func init() { regulartest.Run() }

// without runs this binary as epochal in a folder where the file system lacks services.
func without(t *testing.T, lacking regulartest.Lacking, folder string, args ...string) *process {
	t.Helper()
	command := regulartest.Command(t, lacking, program(t), args...)
	command.Env, command.Dir = append(command.Env, "LC_ALL=C"), folder
	p := &process{Cmd: command}
	command.Stdout, command.Stderr = &p.stdout, &p.stderr
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { command.Process.Kill() })
	return p
}

const noLocks = "epochal: warning: the file system has no locks: " +
	"only the file .claim keeps a second process from writing into the folder at the same time\n"

// What a file system lacks is said once, and the runs are the same; what fails is an error.
func TestWithoutServices(t *testing.T) {
	folder := dataFolder(t)
	if alone := start(t, folder, append([]string{program(t)}, append(manyEpochs("alone"), "--epochs", "6")...)...); alone.code(t) != 0 {
		t.Fatal(alone.stderr.String())
	}
	mine := "name: mine\nsettings: {data: d, layer_sizes: [4], epochs: 2}\n"
	plan := "settings: {data: d, layer_sizes: [4], epochs: 2}\ngrid: {learning_rate: [0.1, 0.2]}\nseeds: 2\nvalidation: 70\n" +
		"stop: {rule: median, at: [1]}\n"
	for file, text := range map[string]string{"mine.yaml": mine, "plan.yaml": plan} {
		if err := os.WriteFile(filepath.Join(folder, file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	noSync, noRename := "epochal: warning: "+regular.NoSync+"\n", "epochal: warning: "+regular.NoRename+"\n"
	all := regulartest.Lacking{"flock": syscall.ENOSYS, "fsync": syscall.ENOSYS, "statfs": syscall.ENOSYS,
		"rename": syscall.EXDEV, "chmod": syscall.EPERM}
	for name, c := range map[string]struct {
		lacking  regulartest.Lacking
		warnings string
	}{
		"nfs":           {regulartest.Lacking{"flock": syscall.ENOLCK}, noLocks},
		"lustre":        {regulartest.Lacking{"flock": syscall.EOPNOTSUPP, "statfs": syscall.ENOSYS}, noLocks},
		"shared folder": {regulartest.Lacking{"fsync": syscall.EINVAL, "chmod": syscall.EPERM}, noSync},
		"overlay":       {regulartest.Lacking{"rename": syscall.EXDEV}, noRename},
		"sandbox":       {all, noLocks + noRename + noSync},
	} {
		t.Run(name, func(t *testing.T) {
			expect := func(what string, args ...string) {
				t.Helper()
				p := without(t, c.lacking, folder, args...)
				if code := p.code(t); code == regulartest.NoFilter {
					t.Skip(p.stderr.String())
				} else if code != 0 {
					t.Fatalf("%s: found exit code %d: %s", what, code, p.stderr.String())
				}
				for _, warning := range []string{noLocks, noSync, noRename} {
					want := strings.Count(c.warnings, warning)
					if found := strings.Count(p.stderr.String(), warning); found != want {
						t.Errorf("%s: found %d times %q, expected %d:\n%s", what, found, warning, want, p.stderr.String())
					}
				}
			}
			expect("train", append(manyEpochs(name), "--epochs", "3")...)
			expect("train --resume", "train", "--resume", name, "--epochs", "6")
			sameRun(t, filepath.Join(folder, name), filepath.Join(folder, "alone"))
			if name == "sandbox" { // its figures take time
				expect("reproduce", "reproduce", "--experiment", "mine.yaml", "--quick", "--backend", "go", "--out", "results")
			}
			if name == "nfs" || name == "sandbox" {
				sweep := []string{"sweep", "plan.yaml", "--backend", "go", "--jobs", "2", "--out", "swept-" + name}
				expect("sweep --shard", append(sweep, "--shard", "1/2")...)
				expect("sweep", sweep...)
			}
			for _, out := range []string{name, "results", "swept-" + name} {
				if claims, _ := filepath.Glob(filepath.Join(folder, out, record.ClaimFile+"*")); len(claims) > 0 {
					t.Errorf("found %q after the process ended", claims)
				}
			}
		})
	}
	for name, c := range map[string]struct {
		lacking regulartest.Lacking
		want    string
	}{
		"flock": {regulartest.Lacking{"flock": syscall.EIO}, "input/output error\n"},
		"fsync": {regulartest.Lacking{"fsync": syscall.ENOSPC}, "no space left on device\n"},
		"quota": {regulartest.Lacking{"rename": syscall.EDQUOT}, "disk quota exceeded\n"},
	} {
		p := without(t, c.lacking, folder, append(manyEpochs("failed-"+name), "--epochs", "1")...)
		if code := p.code(t); code != regulartest.NoFilter && (code != 1 || !strings.Contains(p.stderr.String(), c.want)) {
			t.Errorf("%s: found exit code %d and %q, expected %q", name, code, p.stderr.String(), c.want)
		}
	}
}

// Without locks a claim holds a folder: for others, until its process is gone.
func TestClaims(t *testing.T) {
	folder := dataFolder(t)
	lacking := regulartest.Lacking{"flock": syscall.ENOLCK}
	if filtered := without(t, lacking, folder, "version"); filtered.code(t) == regulartest.NoFilter {
		t.Skip(filtered.stderr.String())
	}
	run := filepath.Join(folder, "r")
	p := without(t, lacking, folder, append(manyEpochs("r"), "--epochs", "100000")...)
	waitFor(t, func() bool { return checkpoints(run) != "" })
	resume := []string{"train", "--resume", "r", "--epochs", "100001"}
	refused := func(p *process, holder string) {
		t.Helper()
		code, text := p.code(t), p.stderr.String()
		for _, want := range []string{"epochal: resume: r: process ", holder + " has been using the folder since ",
			"\nhint: wait until it ends, stop it, or choose another folder; if it was killed or its machine failed, try again after 3 minutes\n"} {
			if code != 1 || !strings.Contains(text, want) {
				t.Errorf("found exit code %d and %q, expected %q", code, text, want)
			}
		}
	}
	host, _ := os.Hostname()
	refused(without(t, lacking, folder, resume...), " on "+host)
	refused(start(t, folder, append([]string{program(t)}, resume...)...), " on "+host) // which has locks
	if listed := start(t, folder, program(t), "runs", "."); listed.code(t) != 0 || !strings.Contains(listed.stdout.String(), "running") {
		t.Errorf("found %s, expected a run under way", listed.stdout.String())
	}

	// Killed, it leaves its claim, which is taken over at once on the same machine alone.
	p.Process.Kill()
	p.Wait()
	claim := filepath.Join(run, record.ClaimFile)
	text, err := os.ReadFile(claim)
	if err != nil {
		t.Fatal(err)
	}
	change := func(key string, value any) {
		t.Helper()
		var fields map[string]any
		if err := json.Unmarshal(text, &fields); err != nil {
			t.Fatal(err)
		}
		fields[key] = value
		changed, _ := json.Marshal(fields)
		if err := os.WriteFile(claim, changed, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	change("host", "node7")
	refused(without(t, lacking, folder, resume...), " on node7")
	change("machine", "another container")
	refused(without(t, lacking, folder, resume...), " on "+host)
	change("pid", os.Getpid()) // the number is another process's now
	before := checkpoints(run)
	resumed := without(t, lacking, folder, resume...)
	waitFor(t, func() bool { return checkpoints(run) != before })
	resumed.Process.Signal(os.Interrupt)
	if code := resumed.code(t); code != exitInterrupted {
		t.Errorf("found exit code %d: %s", code, resumed.stderr.String())
	}
	if _, err := os.Lstat(claim); err == nil {
		t.Error("found the claim after the end")
	}

	// A shard of a sweep has its own, and all of the sweep waits for it.
	sweep := []string{"sweep", "--data", "d", "--validation", "70", "--layer-sizes", "4", "--batch-size", "8,16", "--epochs", "100000",
		"--backend", "go", "--out", "s"}
	shard := without(t, lacking, folder, append(sweep, "--shard", "0/2")...)
	waitFor(t, func() bool {
		_, err := os.Stat(filepath.Join(folder, "s", record.ClaimFile+"-0-of-2"))
		return err == nil
	})
	for _, whole := range []*process{without(t, lacking, folder, sweep...), start(t, folder, append([]string{program(t)}, sweep...)...)} {
		code, text := whole.code(t), whole.stderr.String()
		want := "epochal: results: shard 0/2 is being made: s: process "
		if code != 1 || !strings.Contains(text, want) || !strings.Contains(text, "after 3 minutes\n") {
			t.Errorf("found exit code %d and %q, expected %q", code, text, want)
		}
	}
	shard.Process.Signal(os.Interrupt)
	if code := shard.code(t); code != exitInterrupted {
		t.Errorf("found exit code %d: %s", code, shard.stderr.String())
	}
}
