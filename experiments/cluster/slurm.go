package cluster

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"epochal/experiments/report/words"
)

// Slurm is a command whose shards are tasks of an array job.
type Slurm struct {
	Command   []string // that makes all runs, without --shard; relative paths in it are those of the working folder
	Report    []string // that reports afterwards; empty for none
	Folder    string   // where the records are, shared by all nodes; logs go to LogsFolder in it
	Shards    int      // 1 or more
	Parallel  int      // tasks of an array at one time, 0 for as many as Slurm allows
	Arguments []string // of sbatch, passed on to it: --partition=gpu
}

// LogsFolder is where what tasks print goes, below the folder of the records.
const LogsFolder = "slurm"

// defaultArray is Slurm's own MaxArraySize, where the cluster does not say its.
const defaultArray = 1001

// name is what all jobs of a folder begin with, so that they are known again: the folder
// by its checksum.
func (s Slurm) name() (string, error) {
	folder, err := filepath.Abs(s.Folder)
	return fmt.Sprintf("epochal-%.4x-", sha256.Sum256([]byte(folder))), err
}

// Script is a shell script that submits some of the shards, in ascending order, as an
// array job (or as several, where MaxArraySize of the cluster asks for that), and then
// the report. It prints the number of each job.
func (s Slurm) Script(ctx context.Context, shards []int) (string, error) {
	name, err := s.name()
	if err != nil {
		return "", err
	}
	size := arraySize(ctx)
	logs := filepath.Join(s.Folder, LogsFolder)
	output := strings.ReplaceAll(logs, "%", "%%") + string(filepath.Separator)
	sbatch := func(log, command string, options ...string) string {
		all := append(options, "--requeue", "--open-mode=append", "--output="+output+log)
		all = append(append(all, s.Arguments...), "--wrap=exec "+command)
		return "sbatch --parsable " + words.Shell(all...)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "#!/bin/sh\nset -eu\nmkdir -p -- %s\n", words.Shell(logs))
	dependency := "afterany"
	for begin := 0; begin < len(shards); {
		// The tasks of an array are numbered from the first of its shards.
		first, end := shards[begin]/size*size, begin
		var tasks []int
		for ; end < len(shards) && shards[end] < first+size; end++ {
			tasks = append(tasks, shards[end]-first)
		}
		begin = end
		array := ranges(tasks)
		if s.Parallel > 0 {
			array += "%" + strconv.Itoa(s.Parallel)
		}
		shard := "$SLURM_ARRAY_TASK_ID"
		if first > 0 {
			shard = fmt.Sprintf("$((SLURM_ARRAY_TASK_ID + %d))", first)
		}
		command := fmt.Sprintf("%s --shard %s/%d", words.Shell(s.Command...), shard, s.Shards)
		fmt.Fprintf(&b, "job%d=$(%s)\necho \"$job%d\"\n", first,
			sbatch("%A_%a.log", command, "--job-name="+name+s.arrayName(first), "--array="+array), first)
		dependency += fmt.Sprintf(":${job%d%%%%;*}", first)
	}
	if len(s.Report) > 0 {
		fmt.Fprintf(&b, "%s --dependency=\"%s\"\n", sbatch("%j.log", words.Shell(s.Report...), "--job-name="+name+reportJob), dependency)
	}
	return b.String(), nil
}

// arrayName ends the name of an array job whose first task is the shard first.
func (s Slurm) arrayName(first int) string {
	if first == 0 {
		return fmt.Sprintf("%d-shards", s.Shards)
	}
	return fmt.Sprintf("%d-shards-from-%d", s.Shards, first)
}

// reportJob ends the name of the job that reports.
const reportJob = "report"

// arraySize is the number of tasks that an array of the cluster may have.
func arraySize(ctx context.Context) int {
	text, _ := output(exec.CommandContext(ctx, "scontrol", "show", "config"))
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(line, "=")
		if size, err := strconv.Atoi(strings.TrimSpace(value)); strings.TrimSpace(name) == "MaxArraySize" && err == nil && size > 0 {
			return size
		}
	}
	return defaultArray
}

// ranges writes numbers in ascending order as Slurm reads them: "1,5,9-12".
func ranges(numbers []int) string {
	var parts []string
	for begin := 0; begin < len(numbers); {
		end := begin
		for end+1 < len(numbers) && numbers[end+1] == numbers[end]+1 {
			end++
		}
		part := strconv.Itoa(numbers[begin])
		if end > begin {
			part += "-" + strconv.Itoa(numbers[end])
		}
		parts, begin = append(parts, part), end+1
	}
	return strings.Join(parts, ",")
}

// Submit runs the script for those of the shards that Slurm does not have already, and
// returns the numbers of the jobs, none if there is nothing to submit. It refuses while
// Slurm has tasks of the same folder that are divided into another number of shards.
func (s Slurm) Submit(ctx context.Context, shards []int) (jobs []string, err error) {
	queue, err := s.Queue(ctx)
	if err != nil {
		return nil, err
	}
	shards = slices.DeleteFunc(slices.Clone(shards), func(shard int) bool { return slices.Contains(queue.Shards, shard) })
	if len(shards) == 0 {
		return nil, nil
	}
	script, err := s.Script(ctx, shards)
	if err != nil {
		return nil, err
	}
	text, err := output(exec.CommandContext(ctx, "sh", "-c", script))
	jobs = strings.Fields(text)
	if err != nil {
		err = fmt.Errorf("slurm: %w", err)
		if len(jobs) > 0 {
			err = fmt.Errorf("%w; job %s was submitted before that", err, strings.Join(jobs, ", "))
		}
	}
	return jobs, err
}

// Queue is what Slurm has of a command.
type Queue struct {
	Shards  []int // that wait or run
	Running int   // of them
	Report  bool  // the report waits or runs
}

// Queue asks squeue once.
func (s Slurm) Queue(ctx context.Context) (Queue, error) {
	var q Queue
	prefix, err := s.name()
	if err != nil {
		return q, err
	}
	text, err := output(exec.CommandContext(ctx, "squeue", "--me", "--noheader", "--array", "--format=%j %K %T"))
	if err != nil {
		return q, fmt.Errorf("slurm: %w", err)
	}
	for line := range strings.Lines(text) {
		name, rest, ours := strings.Cut(line, prefix)
		if !ours || name != "" {
			continue
		}
		var first, shards, task int
		var state string
		if strings.HasPrefix(rest, reportJob) {
			q.Report = true
			continue
		}
		name, rest, _ = strings.Cut(rest, " ")
		named, _ := fmt.Sscanf(name, "%d-shards-from-%d", &shards, &first) // the second is left out for 0
		if _, err := fmt.Sscanf(rest, "%d %s", &task, &state); err != nil || named == 0 {
			return q, fmt.Errorf("slurm: found the line %q of squeue, expected a name, the number of a task and a state", line)
		}
		if shards != s.Shards {
			return q, fmt.Errorf("slurm: found tasks of %d shards waiting or running for %s, expected none but of %d; wait for them or cancel them",
				shards, s.Folder, s.Shards)
		}
		q.Shards = append(q.Shards, first+task)
		if state == "RUNNING" || state == "COMPLETING" {
			q.Running++
		}
	}
	return q, nil
}

// patience is how many times in a row squeue may fail while [Slurm.Follow] goes on, for
// controllers of Slurm are restarted and are slow at times.
const patience = 10

// Follow returns when Slurm has nothing of the command any more. Every interval it asks
// squeue once and calls progress with the answer, which counts the records.
func (s Slurm) Follow(ctx context.Context, interval time.Duration, progress func(Queue) error) error {
	failures := 0
	for {
		queue, err := s.Queue(ctx)
		switch {
		case err == nil:
			failures = 0
			if err := progress(queue); err != nil {
				return err
			}
			if len(queue.Shards) == 0 && !queue.Report {
				return nil
			}
		case ctx.Err() != nil:
			return ctx.Err()
		default:
			if failures++; failures == patience {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(interval):
		}
	}
}

// output is what a command of Slurm prints. Its error says what the command said.
func output(command *exec.Cmd) (string, error) {
	var stderr bytes.Buffer
	command.Stderr = &stderr
	text, err := command.Output()
	switch said := strings.TrimSpace(stderr.String()); {
	case errors.Is(err, exec.ErrNotFound):
		err = missing{fmt.Errorf("found no %s, expected Slurm's commands on this machine", command.Args[0])}
	case err != nil && said != "":
		err = errors.New(said)
	}
	return string(text), err
}

// missing is the error of a machine without Slurm.
type missing struct{ error }

// Hint says what helps.
func (missing) Hint() string {
	return "call it on a node from which jobs are submitted; --print shows the script without submitting it"
}
