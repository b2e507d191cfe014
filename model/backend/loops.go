package backend

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"epochal/dataset/regular"
	"epochal/model/backend/install"
)

// LoopsOnGPU is Info.Loops where a call is one CUDA graph.
const LoopsOnGPU = "on the GPU"

// ErrNotTried is the error of a trial that could not be made. It says nothing of the
// loops, and the next process tries again.
var ErrNotTried = errors.New("the trial could not be made")

// cudaFlags returns the flags that are set for CUDA's pinned plugin in file, and who runs its
// loops, as in Info.Loops. config opens the backend, device describes the GPU and its
// driver. A trial that fails is a warning.
func (o Options) cudaFlags(ctx context.Context, config, device, file string) (flags []string, loops, warning string, err error) {
	if !o.Nondeterministic {
		flags = slices.Clone(repeatable)
	}
	user := os.Getenv(xlaFlags)
	switch {
	case leftFlags != "" && user == leftFlags: // XLA reads them once: those of the first GPU hold for the others
		return nil, leftLoops, "", nil
	case strings.Contains(user, graphLoops): // in the trial
		return append(flags, graphLoops), LoopsOnGPU, "", nil
	case sets(user, graphLoops):
		return flags, "as XLA_FLAGS says", "", nil
	case o.TryLoops == nil:
		return flags, "on the host: not tried", "", nil
	}
	with := append(flags, graphLoops)
	known := outcomes{file: file + ".loops.json"}
	key := fmt.Sprintf("plugin %s, %s, %s, %s", install.CUDASHA256(), device, strings.TrimPrefix(config, file), composeFlags(user, with))
	failed, found := known.read()[key]
	if !found {
		err := o.TryLoops(ctx, "xla:"+config, composeFlags(user, with))
		if ctx.Err() != nil {
			return nil, "", "", context.Cause(ctx)
		}
		if err != nil {
			failed = err.Error()
			warning = "loops run on the host, which is slower, because a trial on the GPU failed: " + failed
		}
		if !errors.Is(err, ErrNotTried) {
			known.add(key, failed)
			if err != nil {
				warning += "; to try again, remove " + known.file
			}
		}
	}
	if failed != "" {
		return flags, "on the host: " + failed, warning, nil
	}
	return with, LoopsOnGPU, "", nil
}

// isRepeatable reports whether XLA_FLAGS has all flags that make two runs on a GPU the same.
func isRepeatable(flags string) bool {
	return !slices.ContainsFunc(repeatable, func(flag string) bool { return !slices.Contains(strings.Fields(flags), flag) })
}

// outcomes are what trials found, kept in a file: by what was tried, why it failed, "" where it did not.
type outcomes struct{ file string }

// read returns what is known. A file that cannot be read knows nothing.
func (o outcomes) read() (known map[string]string) {
	const most = 1 << 20
	text, err := regular.Read(o.file, most)
	if err != nil || json.Unmarshal(text, &known) != nil || known == nil {
		return map[string]string{}
	}
	return known
}

// add keeps an outcome. Where the folder is read-only, every process tries again.
func (o outcomes) add(key, failed string) {
	known := o.read()
	known[key] = failed
	if text, err := json.MarshalIndent(known, "", "  "); err == nil {
		_ = regular.Write(o.file, append(text, '\n'))
	}
}
