// Package quiet keeps klog, through which GoMLX and go-xla log, off standard
// error. It takes effect when it is initialized, because go-xla logs in its own:
// Go initializes packages in the order of their import paths where the
// dependencies leave a choice, and this one comes before github.com/gomlx.
package quiet

import (
	"flag"
	"io"
	"strings"
	"sync"

	"k8s.io/klog/v2"
)

func init() {
	flags := flag.NewFlagSet("klog", flag.ContinueOnError)
	klog.InitFlags(flags)
	for name, value := range map[string]string{
		"logtostderr":     "false",
		"stderrthreshold": "FATAL",
		"one_output":      "true",
		"skip_headers":    "true",
	} {
		// A klog without one of these flags would only log more than wanted.
		_ = flags.Set(name, value)
	}
	klog.SetOutput(io.Discard)
	klog.SetOutputBySeverity("WARNING", &messages)
	klog.SetOutputBySeverity("ERROR", &messages)
}

var messages collector

// collector keeps the warnings and errors that are logged while it is on.
type collector struct {
	mutex sync.Mutex
	on    bool
	lines []string
}

func (c *collector) Write(text []byte) (int, error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.on {
		c.lines = append(c.lines, strings.TrimSpace(string(text)))
	}
	return len(text), nil
}

// Collect keeps what is logged from now on as a warning or an error, until the
// function that it returns is called, which returns the messages in order. One
// collection at a time: a second Collect empties the first.
func Collect() (stop func() []string) {
	messages.mutex.Lock()
	defer messages.mutex.Unlock()
	messages.on, messages.lines = true, nil
	return func() []string {
		messages.mutex.Lock()
		defer messages.mutex.Unlock()
		lines := messages.lines
		messages.on, messages.lines = false, nil
		return lines
	}
}
