package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// The bounds of what is kept of a process's output.
const (
	maxAnswer = 1 << 20 // more than that on standard output is rubbish
	maxError  = 8 << 10 // of the beginning and of the end of standard error each
	maxReason = 400     // characters of a reason
)

// killDelay is how long a process that was killed may take to go, and one that
// ended may leave its output open.
const killDelay = 3 * time.Second

// processed is a process that ended well.
type processed struct {
	output  []byte
	seconds float64 // from its start to its exit
	memory  int64   // peak resident bytes
}

// Why a process was stopped.
var (
	errTimeout = errors.New("timeout")
	errTooMuch = errors.New("too much output")
)

// process runs a command to its end and kills it, with all that it started, when
// ctx is done, when the timeout is over, or when it writes too much. input goes
// to its standard input, which stays open: its end tells a child that this
// process is gone.
//
// An error is ctx's own, or says what happened to the process.
func (o Options) process(ctx context.Context, command func(context.Context) *exec.Cmd, input []byte) (p processed, err error) {
	if err := ctx.Err(); err != nil {
		return p, err
	}
	running, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	limited, stop := context.WithTimeoutCause(running, o.Timeout, errTimeout)
	defer stop()

	c := command(limited)
	output := &bounded{limit: maxAnswer, exceeded: func() { cancel(errTooMuch) }}
	diagnostics := &ends{limit: maxError}
	c.Stdout, c.Stderr = output, diagnostics
	// A group of its own: Ctrl-C at the terminal comes to this process alone, and
	// the child goes with all that it started.
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	c.WaitDelay = killDelay
	var stdin io.WriteCloser
	if input != nil {
		if stdin, err = c.StdinPipe(); err != nil {
			return p, err
		}
	}
	start := o.Now()
	if err := c.Start(); err != nil {
		return p, fmt.Errorf("did not start: %w", err)
	}
	if stdin != nil {
		// Whoever does not read it has its reason, which its exit tells.
		_, _ = stdin.Write(input)
	}
	err = c.Wait()
	p.seconds = o.Now().Sub(start).Seconds()
	if errors.Is(err, exec.ErrWaitDelay) {
		// Somebody of its group still holds the output.
		_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
		err = nil
	}
	if ctx.Err() != nil {
		return p, ctx.Err()
	}
	switch cause := context.Cause(limited); {
	case cause == errTooMuch || output.over:
		return p, fmt.Errorf("wrote more than %d bytes to standard output, expected less", maxAnswer)
	case cause == errTimeout && err != nil:
		return p, fmt.Errorf("took longer than %v and was killed", o.Timeout)
	case err != nil:
		return p, ended(err, diagnostics.String())
	}
	p.output = output.kept.Bytes()
	if usage, ok := c.ProcessState.SysUsage().(*syscall.Rusage); ok {
		p.memory = residentBytes(usage)
	}
	return p, nil
}

// ended says how a process ended that did not end well.
func ended(err error, diagnostics string) error {
	how := err.Error()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			how = "killed by a signal: " + status.Signal().String()
		}
	}
	why := telling(diagnostics)
	if own, found := strings.CutPrefix(why, "epochal: "); found {
		return errors.New(own)
	}
	if why != "" {
		how += ": " + why
	}
	return errors.New(how)
}

// telling is the line of a standard error that tells most: where a runtime gave
// up, else the last one.
func telling(diagnostics string) string {
	last := ""
	for line := range strings.Lines(diagnostics) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "hint: ") {
			continue
		}
		last = line
		if strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") || strings.Contains(line, "Check failed") {
			break
		}
	}
	if runes := []rune(strings.ToValidUTF8(last, "?")); len(runes) > maxReason {
		return string(runes[:maxReason]) + "..."
	}
	return strings.ToValidUTF8(last, "?")
}

// bounded keeps what is written to it up to a limit, and tells when there is more.
type bounded struct {
	kept     bytes.Buffer // not embedded: its ReadFrom would pass by Write
	limit    int
	over     bool
	exceeded func()
}

// Write never fails: a process that may not write would die of that, and not of
// what it did wrong.
func (b *bounded) Write(data []byte) (int, error) {
	if room := b.limit - b.kept.Len(); len(data) > room {
		b.kept.Write(data[:room])
		if !b.over {
			b.over = true
			b.exceeded()
		}
		return len(data), nil
	}
	return b.kept.Write(data)
}

// ends keeps the beginning and the end of what is written to it.
type ends struct {
	limit      int
	head, tail []byte
}

func (e *ends) Write(data []byte) (int, error) {
	room := min(e.limit-len(e.head), len(data))
	e.head = append(e.head, data[:room]...)
	e.tail = append(e.tail, data[room:]...)
	if surplus := len(e.tail) - e.limit; surplus > 0 {
		e.tail = append(e.tail[:0], e.tail[surplus:]...)
	}
	return len(data), nil
}

func (e *ends) String() string { return string(e.head) + string(e.tail) }
