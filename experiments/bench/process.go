package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// maxReason is how many characters of a process's output a failure quotes.
const maxReason = 400

// killDelay is how long a killed process may take to exit, and how long something
// that an ended process started may keep its output open.
const killDelay = 3 * time.Second

// processed is a process that succeeded.
type processed struct {
	output  []byte
	seconds float64 // from its start to its exit
	memory  int64   // peak resident bytes
}

// process runs a command to its end, and kills it with everything that it started
// when ctx is done or the timeout has expired. input goes to its standard input, which
// stays open: its end tells a child that this process is gone.
//
// An error is ctx's own, or says what happened to the process.
func (o Options) process(ctx context.Context, command func(context.Context) *exec.Cmd, input []byte) (p processed, err error) {
	if err := ctx.Err(); err != nil {
		return p, err
	}
	limited, stop := context.WithTimeout(ctx, o.Timeout)
	defer stop()
	c := command(limited)
	// A group of its own: Ctrl-C at the terminal reaches this process alone, and the
	// child is killed together with everything that it started.
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	c.WaitDelay = killDelay
	if input != nil {
		stdin, feed, err := os.Pipe()
		if err != nil {
			return p, err
		}
		defer stdin.Close()
		defer feed.Close()
		// A task is far smaller than a pipe, so this never blocks.
		if _, err := feed.Write(input); err != nil {
			return p, err
		}
		c.Stdin = stdin
	}
	start := time.Now()
	p.output, err = c.Output()
	p.seconds = time.Since(start).Seconds()
	if errors.Is(err, exec.ErrWaitDelay) {
		// It ended, but one of its group still holds the output.
		_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
		err = nil
	}
	switch {
	case ctx.Err() != nil:
		return p, ctx.Err()
	case err == nil:
	case limited.Err() != nil:
		return p, fmt.Errorf("took longer than %v and was killed", o.Timeout)
	case c.Process == nil:
		return p, fmt.Errorf("did not start: %w", err)
	default:
		return p, ended(err)
	}
	if usage, ok := c.ProcessState.SysUsage().(*syscall.Rusage); ok {
		p.memory = residentBytes(usage)
	}
	return p, nil
}

// ended says how a process failed.
func ended(err error) error {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return err
	}
	how := err.Error()
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		how = "killed by a signal: " + status.Signal().String()
	}
	why := telling(string(exit.Stderr))
	if own, found := strings.CutPrefix(why, "epochal: "); found {
		return errors.New(own)
	}
	if why != "" {
		how += ": " + why
	}
	return errors.New(how)
}

// telling is the most telling line of a standard error: where a runtime gave up,
// else the last one.
func telling(diagnostics string) string {
	last := ""
	for line := range strings.Lines(strings.ToValidUTF8(diagnostics, "?")) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "hint: ") {
			continue
		}
		last = line
		if strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") || strings.Contains(line, "Check failed") {
			break
		}
	}
	if runes := []rune(last); len(runes) > maxReason {
		return string(runes[:maxReason]) + "..."
	}
	return last
}
