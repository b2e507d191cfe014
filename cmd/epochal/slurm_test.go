package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// sweepPlan is of 24 runs.
const sweepPlan = `settings: {data: d, layer_sizes: [8], epochs: 40}
grid:
  learning_rate: [0.01, 0.03, 0.1, 0.3]
  batch_size: [2, 4]
seeds: 3
validation: 70
rank_by: validation_loss
`

// racePlan stops settings after two of the epochs.
const racePlan = `settings: {data: d, layer_sizes: [8], epochs: 4}
grid: {learning_rate: [0.01, 0.03, 0.1, 0.3, 0.5, 0.7, 0.9, 1.1]}
seeds: 2
validation: 70
stop: {rule: halving, at: [1, 2]}
`

// sweepTimes are the numbers of results.json that differ from run to run.
var sweepTimes = regexp.MustCompile(`"[a-z_]*(seconds|started|command)": ?("[^"]*"|[0-9.e+-]+)`)

// On a real Slurm of two nodes, a sweep as an array of 6 survives a task that is cancelled
// and a node whose daemon is killed: the same command once more, and the results are those
// of one machine. It takes root, Debian's slurm-wlm and munge, and EPOCHAL_SLURM=1.
func TestSweepOnSlurm(t *testing.T) {
	if os.Getenv("EPOCHAL_SLURM") != "1" {
		t.Skip("EPOCHAL_SLURM is not 1")
	}
	program, err := exec.LookPath("epochal")
	if err != nil {
		t.Fatal(err)
	}
	script, err := filepath.Abs("../../experiments/cluster/testdata/slurm.sh")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(dataFolder(t))
	if err := os.WriteFile("plan.yaml", []byte(sweepPlan), 0o644); err != nil {
		t.Fatal(err)
	}
	shell := func(name string, args ...string) string {
		t.Helper()
		command := exec.Command(name, args...)
		var stderr bytes.Buffer
		command.Stderr = &stderr
		output, err := command.Output()
		if err != nil {
			t.Fatalf("%s %q: %v\n%s%s", name, args, err, output, stderr.Bytes())
		}
		t.Logf("%s %s: %s%s", filepath.Base(name), strings.Join(args, " "), output, stderr.Bytes())
		return string(output)
	}
	sweepOf := func(plan string, args ...string) string {
		t.Helper()
		return shell(program, append([]string{"sweep", plan, "--backend", "go"}, args...)...)
	}
	sweep := func(args ...string) string {
		t.Helper()
		return sweepOf("plan.yaml", args...)
	}
	eventually := func(what string, is func() bool) {
		t.Helper()
		for begun := time.Now(); !is(); time.Sleep(100 * time.Millisecond) {
			if time.Since(begun) > 3*time.Minute {
				queue, _ := exec.Command("squeue").CombinedOutput()
				t.Fatalf("waited for 3 minutes until %s\n%s", what, queue)
			}
		}
	}
	runs := func() int {
		complete, _ := filepath.Glob("many/runs/*")
		return len(complete)
	}

	sweep("--out", "one")
	if err := os.WriteFile("race.yaml", []byte(racePlan), 0o644); err != nil {
		t.Fatal(err)
	}
	sweepOf("race.yaml", "--out", "race-one")
	folder := t.TempDir() // of Slurm; a socket's path has to be short
	shell(script, "start", folder)
	t.Cleanup(func() { exec.Command(script, "stop", folder).Run() })
	t.Setenv("SLURM_CONF", filepath.Join(folder, "slurm.conf"))

	printed := sweep("--out", "many", "--slurm", "6", "--print")
	if !regexp.MustCompile(`--array=[0-5,-]+ `).MatchString(printed) || runs() > 0 {
		t.Fatalf("found the script\n%s", printed)
	}
	jobs := strings.Fields(sweep("--out", "many", "--slurm", "6"))
	if len(jobs) != 2 {
		t.Fatalf("found the jobs %q, expected an array and a report", jobs)
	}
	if again := sweep("--out", "many", "--slurm", "6"); again != "" {
		t.Errorf("found the jobs %s although Slurm has all shards", again)
	}
	eventually("the first run is complete", func() bool { return runs() > 0 })
	running := func(node string) string {
		output, _ := exec.Command("squeue", "-h", "-r", "-t", "RUNNING", "-w", node, "-o", "%F_%K").Output()
		return strings.TrimSpace(string(output))
	}
	eventually("both nodes are busy", func() bool { return running("node1") != "" && running("node2") != "" })
	shell("scancel", running("node1"))
	text, err := os.ReadFile(filepath.Join(folder, "node2.pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually("Slurm has nothing more to do", func() bool {
		output, err := exec.Command("squeue", "-h").Output()
		return err == nil && len(output) == 0
	})
	if runs() == 24 {
		t.Error("found all runs although a task was cancelled")
	}
	followed := sweep("--out", "many", "--slurm", "6", "--follow")
	if !regexp.MustCompile(`^[0-9]+\n[0-9]+\nRANK `).MatchString(followed) {
		t.Errorf("found\n%s\nexpected an array of what is missing, a report and the ranking", followed)
	}
	if found := runs(); found != 24 {
		t.Errorf("found %d runs, expected 24", found)
	}
	results := func(folder string) string {
		text, err := os.ReadFile(filepath.Join(folder, "results.json"))
		if err != nil {
			t.Fatal(err)
		}
		return sweepTimes.ReplaceAllString(string(text), "")
	}
	if one, many := results("one"), results("many"); one != many {
		t.Errorf("found other results than on one machine:\n%s\n%s", many, one)
	}

	// A race goes on from rung to rung.
	followed = sweepOf("race.yaml", "--out", "race-many", "--slurm", "3", "--follow")
	if !regexp.MustCompile(`^([0-9]+\n){4,}RANK `).MatchString(followed) {
		t.Errorf("found\n%s\nexpected several arrays and the ranking", followed)
	}
	if one, many := results("race-one"), results("race-many"); one != many {
		t.Errorf("found other results of the race than on one machine:\n%s\n%s", many, one)
	}
}
