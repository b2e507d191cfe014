package backend

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"

	"epochal/dataset/regular"

	"github.com/gomlx/compute"
)

// trialVariable makes a process one that only opens the backend that it names: XLA
// ends the process that gives it flags it does not know, so a child has to try them.
const trialVariable = "EPOCHAL_TRY_XLA_FLAGS"

func init() {
	if name := os.Getenv(trialVariable); name != "" {
		try(name)
		os.Exit(0)
	}
}

// try opens a backend and compiles a program. What fails in an ordinary way will
// fail in the parent as well.
func try(name string) {
	b, _, err := Open(context.Background(), name, Options{})
	if err != nil {
		return
	}
	program := b.Builder("try_xla_flags")
	one, err := program.Main().Constant([]float32{1})
	if err == nil && program.Main().Return([]compute.Value{one}, nil) == nil {
		_, _ = program.Compile()
	}
}

// flagsError reports a value of XLA_FLAGS that the user set and XLA refuses.
type flagsError struct{ error }

// Hint says what the user can do.
func (e *flagsError) Hint() string { return "correct " + xlaFlags + ", or unset it" }

// Guarded by opening: the value that was left in XLA_FLAGS for CUDA, and those that a
// plugin accepted.
var (
	leftFlags  string
	leftLoops  string // Info.Loops of whoever left them
	triedFlags = map[string]bool{}
)

// maxFlags is the most bytes of a file of flags.
const maxFlags = 64 << 10

// tryUserFlags tries the flags that the user set, if any, with what go-xla is to be
// given. Those in a file, whose name the variable may have instead, come into the
// variable: go-xla appends to it.
func tryUserFlags(ctx context.Context, config string) error {
	user := strings.TrimSpace(os.Getenv(xlaFlags))
	if user == "" || user == leftFlags || os.Getenv(trialVariable) != "" {
		return nil
	}
	if user[0] != '-' {
		content, err := regular.Read(user, maxFlags)
		if err != nil {
			return &flagsError{fmt.Errorf("%s, the name of a file of flags: %w", xlaFlags, err)}
		}
		flags := strings.TrimSpace(string(content))
		if flags != "" && flags[0] != '-' {
			return &flagsError{fmt.Errorf("%s names the file %s: found %.40q, expected flags such as --xla_dump_to=x", xlaFlags, user, flags)}
		}
		user = flags
		os.Setenv(xlaFlags, user)
	}
	key := config + "\x00" + user
	if user == "" || triedFlags[key] {
		return nil
	}
	program, err := os.Executable()
	if err != nil {
		return nil // nothing to try them with
	}
	child := exec.CommandContext(ctx, program)
	child.Env = append(os.Environ(), trialVariable+"=xla:"+config, "TF_CPP_MIN_LOG_LEVEL=2")
	var said bytes.Buffer
	child.Stderr, child.Stdout = &said, io.Discard
	if err = child.Run(); err == nil {
		triedFlags[key] = true
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if _, ended := errors.AsType[*exec.ExitError](err); !ended {
		return nil // it did not start, which says nothing of the flags
	}
	reason := fmt.Sprintf("XLA ends the process with %q: %v", user, err)
	if found := refused.FindStringSubmatch(said.String()); found != nil {
		reason = "XLA says: " + strings.TrimSuffix(strings.Replace(found[1], " in "+xlaFlags, "", 1), ".")
	}
	return &flagsError{fmt.Errorf("%s: %s", xlaFlags, reason)}
}

// refused finds an unknown flag, or an impossible value, in what XLA says.
var refused = regexp.MustCompile(`_flags(?:_from_env)?\.cc:\d+\] (Unknown flags? in .*|.* value .*)`)
