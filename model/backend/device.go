package backend

import (
	"cmp"
	"fmt"
	"os"
	"runtime"
	"strings"
)

// processor describes the machine's processor: its model and the number of
// threads that this process may use on it.
func processor(threads int) string {
	model := cmp.Or(field("/proc/cpuinfo", "model name"), runtime.GOARCH+" processor")
	if threads == 1 {
		return model + ", 1 thread"
	}
	return fmt.Sprintf("%s, %d threads", model, threads)
}

// field returns the value of the first "key: value" line with that key in a file,
// or nothing where there is none.
func field(file, key string) string {
	content, _ := os.ReadFile(file)
	for line := range strings.Lines(string(content)) {
		if found, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(found) == key {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
