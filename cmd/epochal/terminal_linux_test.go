package main

import (
	"io"
	"strings"
	"testing"
)

// Escape codes are for a terminal that says what it is, and is not dumb.
func TestEscapeCodes(t *testing.T) {
	folder := dataFolder(t)
	for kind, redraws := range map[string]bool{"": false, "dumb": false, "xterm": true} {
		p := prepare(t, folder, append([]string{program(t)}, append(manyEpochs("kind-"+kind), "--epochs", "2")...)...)
		p.Env = append(p.Env, "TERM="+kind, "LC_ALL=C")
		screen, process := newTerminalPair(t)
		p.Stderr = process
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		code := p.code(t)
		process.Close()
		text, _ := io.ReadAll(screen) // ends with an error, as there is nobody at the other end
		if code != exitDone || strings.Contains(string(text), "\x1b") != redraws || !strings.Contains(string(text), "training on go") {
			t.Errorf("TERM=%s: found exit code %d and %q, expected escape codes: %v", kind, code, text, redraws)
		}
	}
}
