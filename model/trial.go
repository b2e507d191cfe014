package model

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"regexp"
	"syscall"
	"time"

	"epochal/dataset"
	"epochal/model/backend"
)

// TrialVariable is the environment variable that holds a backend string in the child
// process of [TryLoops]: a program that finds it calls [Trial] and does nothing else.
const TrialVariable = "EPOCHAL_TRIAL"

// maxTrial is how long a trial may take: a first start from a cold disk takes half a minute.
const maxTrial = 3 * time.Minute

// TryLoops runs [Trial] in a child process with these XLA_FLAGS, because what is wrong with
// them may crash or hang it. The error says how it failed.
func TryLoops(ctx context.Context, name, flags string) error {
	if os.Getenv(TrialVariable) != "" {
		return errors.New("a trial does not start another one")
	}
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("%w: %w", backend.ErrNotTried, err)
	}
	limited, stop := context.WithTimeout(ctx, maxTrial)
	defer stop()
	child := exec.CommandContext(limited, program)
	child.Env = append(os.Environ(), TrialVariable+"="+name, "XLA_FLAGS="+flags)
	child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for this process alone, which then ends the child
	child.Cancel = func() error { return syscall.Kill(-child.Process.Pid, syscall.SIGKILL) }
	child.WaitDelay = 3 * time.Second
	_, err = child.Output()
	if limited.Err() != nil {
		return cmp.Or(ctx.Err(), fmt.Errorf("it took longer than %v", maxTrial))
	}
	exit, ended := errors.AsType[*exec.ExitError](err)
	switch {
	case err == nil:
		return nil
	case !ended:
		return fmt.Errorf("%w: %w", backend.ErrNotTried, err)
	case exit.ExitCode() == NotTried:
		return fmt.Errorf("%w: %.400s", backend.ErrNotTried, lastWords.Find(exit.Stderr))
	default:
		return fmt.Errorf("%v: %.400s", err, lastWords.Find(exit.Stderr))
	}
}

// NotTried is the exit code of a trial whose error is [backend.ErrNotTried].
const NotTried = 75 // EX_TEMPFAIL of sysexits.h

// lastWords finds where XLA, Go's runtime or Trial gave up.
var lastWords = regexp.MustCompile(`(?m)^(F\d{4} |SIG[A-Z]+: |fatal error: |panic: |epochal: ).*$`)

// Trial trains and evaluates the post's network on a backend, twice with many steps in a
// call and once with a call for each step, which needs no loop. It is an error if they do
// not agree, and [backend.ErrNotTried] if what needs no loop fails.
func Trial(ctx context.Context, name string) error {
	b, _, err := backend.Open(ctx, name, backend.Options{Nondeterministic: true}) // XLA_FLAGS has all that is wanted
	if err != nil {
		return fmt.Errorf("%w: %w", backend.ErrNotTried, err)
	}
	defer b.Close()
	const images, classes = 1100, 10
	set := dataset.Set{Rows: 28, Columns: 28, Pixels: make([]uint8, images*28*28), Labels: make([]uint8, images)}
	for i := range images {
		set.Labels[i] = uint8(i % classes)
		for row := range 28 { // a bright column at the label's place
			set.Pixels[(i*28+row)*28+2*(i%classes)] = 255
		}
	}
	resident, err := Upload(b, Unnormalized(), set)
	if err != nil {
		return fmt.Errorf("%w: %w", backend.ErrNotTried, err)
	}
	defer resident.Close()
	architecture := FullyConnected{Rows: 28, Columns: 28, Hidden: []int{512, 512}, Classes: classes, Activation: ActivationReLU}
	steps, err := trialLosses(ctx, b, Program{Architecture: architecture, BatchSize: 64, SingleSteps: true}, resident, images)
	if err != nil {
		return fmt.Errorf("%w: %w", backend.ErrNotTried, err)
	}
	loops, err := trialLosses(ctx, b, Program{Architecture: architecture, BatchSize: 64}, resident, images)
	if err != nil {
		return err
	}
	for i, expected := range steps {
		if !(math.Abs(loops[i]-expected) <= 1e-3*expected) {
			return fmt.Errorf("loss number %d: found %v with many steps in a call, expected %v as with one", i, loops[i], expected)
		}
	}
	return nil
}

// trialLosses are the losses of an epoch's steps, trained in two parts, and of two evaluations after it.
func trialLosses(ctx context.Context, b *backend.Backend, p Program, images *Images, count int) (losses []float64, err error) {
	network, err := Compile(b, p, count)
	if err != nil {
		return nil, err
	}
	defer network.Close()
	if err := network.SetWeights(Initialize(p.parameters(), 0)); err != nil {
		return nil, err
	}
	epoch, err := network.BeginEpoch(images, dataset.Order(0, 1, count))
	if err != nil {
		return nil, err
	}
	defer epoch.Close()
	for _, steps := range []int{epoch.Steps() / 3, epoch.Steps()} {
		some, err := epoch.Train(ctx, steps, 0.1)
		if err != nil {
			return nil, err
		}
		for _, loss := range some {
			losses = append(losses, float64(loss))
		}
	}
	for range 2 {
		evaluation, err := network.Evaluate(ctx, images, 0)
		if err != nil {
			return nil, err
		}
		losses = append(losses, evaluation.Loss)
	}
	return losses, nil
}
