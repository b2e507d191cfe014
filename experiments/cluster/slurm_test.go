package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"epochal/experiments/cluster"

	"github.com/google/go-cmp/cmp"
)

// fake puts a program, which is a shell script, into a folder that comes first in PATH.
func fake(t *testing.T, name, script string) {
	t.Helper()
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, name), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", folder+string(filepath.ListSeparator)+os.Getenv("PATH"))
}

// folderSum is the part of a job's name that the folder decides.
var folderSum = regexp.MustCompile(`epochal-[0-9a-f]{8}-`)

// Whatever stands in the arguments, sbatch gets it as it is, and the shell that it starts
// calls the command with it.
func TestScript(t *testing.T) {
	t.Chdir(t.TempDir())
	fake(t, "scontrol", `echo "MaxArraySize            = 4"`)
	fake(t, "squeue", "")
	// It notes its arguments and runs the command of task 1, as an array of this size has.
	fake(t, "sbatch", `
echo sbatch >>log
for a; do
	case $a in
	--wrap=*) SLURM_ARRAY_TASK_ID=1 sh -c "${a#--wrap=}" >>log ;;
	*) echo "  $a" >>log ;;
	esac
done
echo "$(wc -l <log);cluster"`)
	fake(t, "it's epochal", `for a; do echo "  [$a]"; done`)
	s := cluster.Slurm{
		Command: []string{"it's epochal", "plan $1\n%`", "--out=50% done"}, Report: []string{"it's epochal", "$HOME"},
		Folder: "50% done", Shards: 10, Parallel: 2, Arguments: []string{"--partition=gpu", "--comment=a 'b' #"},
	}
	jobs, err := s.Submit(t.Context(), []int{0, 1, 3, 6, 9})
	if err != nil || !slices.Equal(jobs, []string{"14;cluster", "28;cluster", "42;cluster", "52;cluster"}) {
		t.Fatalf("found the jobs %q (%v)", jobs, err)
	}
	if _, err := os.Stat("50% done/slurm"); err != nil {
		t.Error(err)
	}
	log, err := os.ReadFile("log")
	if err != nil {
		t.Fatal(err)
	}
	const task = `
sbatch
  --parsable
  --job-name=epochal-F-10-shards%s
  --array=%s%%2
  --requeue
  --open-mode=append
  --output=50%%%% done/slurm/%%A_%%a.log
  --partition=gpu
  --comment=a 'b' #
  [plan $1
%%` + "`" + `]
  [--out=50%% done]
  [--shard]
  [%d/10]`
	want := fmt.Sprintf(task, "", "0-1,3", 1) + fmt.Sprintf(task, "-from-4", "2", 5) + fmt.Sprintf(task, "-from-8", "1", 9) + `
sbatch
  --parsable
  --job-name=epochal-F-report
  --requeue
  --open-mode=append
  --output=50%% done/slurm/%j.log
  --partition=gpu
  --comment=a 'b' #
  [$HOME]
  --dependency=afterany:14:28:42
`
	if different := cmp.Diff(strings.TrimPrefix(want, "\n"), folderSum.ReplaceAllString(string(log), "epochal-F-")); different != "" {
		t.Errorf("the log says (-want +found):\n%s", different)
	}
}

// What squeue has is neither submitted again nor mistaken for somebody else's, and is
// followed to its end, also over failures of squeue.
func TestQueue(t *testing.T) {
	t.Chdir(t.TempDir())
	fake(t, "sbatch", `for a; do case $a in --array=*) echo "$a" >>log;; --job-name=*-4-shards) echo "${a#*=}" >name;; esac; done; echo 7`)
	s := cluster.Slurm{Command: []string{"epochal"}, Folder: ".", Shards: 4}
	fake(t, "squeue", "echo mine N/A RUNNING; echo epochal-00000000-6-shards 3 PENDING")
	if jobs, err := s.Submit(t.Context(), []int{0, 1, 2, 3}); err != nil || !slices.Equal(jobs, []string{"7"}) {
		t.Fatalf("found the jobs %q (%v)", jobs, err)
	}
	name, err := os.ReadFile("name")
	if err != nil {
		t.Fatal(err)
	}
	fake(t, "squeue", `
n=$(cat polls 2>/dev/null || echo 0)
echo $((n + 1)) >polls
case $n in
0) echo "`+strings.TrimSpace(string(name))+` 1 RUNNING" ; echo "`+strings.TrimSpace(string(name))+` 2 PENDING";;
1) echo "`+strings.TrimSuffix(strings.TrimSpace(string(name)), "4-shards")+`report N/A PENDING";;
2) echo "slurm_load_jobs error: Unable to contact slurm controller" >&2; exit 1;;
esac`)
	if jobs, err := s.Submit(t.Context(), []int{1, 2, 3}); err != nil || !slices.Equal(jobs, []string{"7"}) {
		t.Fatalf("found the jobs %q (%v)", jobs, err)
	}
	log, err := os.ReadFile("log")
	if want := "--array=0-3\n--array=3\n"; err != nil || string(log) != want {
		t.Errorf("found the arrays %s (%v), expected %s", log, err, want)
	}
	if err := os.Remove("polls"); err != nil {
		t.Fatal(err)
	}
	var seen []cluster.Queue
	err = s.Follow(t.Context(), time.Millisecond, func(q cluster.Queue) error {
		seen = append(seen, q)
		return nil
	})
	want := []cluster.Queue{{Shards: []int{1, 2}, Running: 1}, {Report: true}, {}}
	if different := cmp.Diff(want, seen); different != "" || err != nil {
		t.Errorf("%v; progress says (-want +found):\n%s", err, different)
	}
	if err := os.Remove("polls"); err != nil {
		t.Fatal(err)
	}
	s.Shards = 3
	_, err = s.Submit(t.Context(), []int{2})
	const refusal = "slurm: found tasks of 4 shards waiting or running for ., expected none but of 3; wait for them or cancel them"
	if err == nil || err.Error() != refusal {
		t.Errorf("found the error %v, expected %s", err, refusal)
	}
}

func TestTroubleWithSlurm(t *testing.T) {
	s := cluster.Slurm{Command: []string{"epochal"}, Report: []string{"epochal"}, Folder: t.TempDir(), Shards: 2}
	t.Run("no Slurm", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		_, err := s.Submit(t.Context(), []int{0, 1})
		var hinted interface{ Hint() string }
		want := "slurm: found no squeue, expected Slurm's commands on this machine"
		if err == nil || err.Error() != want || !errors.As(err, &hinted) {
			t.Errorf("found the error %v, expected %s", err, want)
		}
	})
	t.Run("refused", func(t *testing.T) {
		fake(t, "squeue", "")
		fake(t, "sbatch", `case "$*" in *report*) echo "sbatch: error: invalid partition specified: gpu" >&2; exit 1;; esac; echo 41`)
		jobs, err := s.Submit(t.Context(), []int{0, 1})
		want := "slurm: sbatch: error: invalid partition specified: gpu; job 41 was submitted before that"
		if err == nil || err.Error() != want || !slices.Equal(jobs, []string{"41"}) {
			t.Errorf("found the jobs %q and the error %v, expected %s", jobs, err, want)
		}
	})
	t.Run("controller gone", func(t *testing.T) {
		fake(t, "squeue", `echo "Unable to contact slurm controller" >&2; exit 1`)
		err := s.Follow(t.Context(), time.Millisecond, func(cluster.Queue) error { return nil })
		if want := "slurm: Unable to contact slurm controller"; err == nil || err.Error() != want {
			t.Errorf("found the error %v, expected %s", err, want)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		fake(t, "squeue", "echo nothing of ours")
		ctx, cancel := context.WithCancel(t.Context())
		err := s.Follow(ctx, time.Hour, func(cluster.Queue) error { cancel(); return nil })
		if err != nil { // nothing is queued: it had ended
			t.Errorf("found the error %v", err)
		}
		if _, err := s.Submit(ctx, []int{0}); err == nil {
			t.Error("found no error")
		}
	})
}
