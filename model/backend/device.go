package backend

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// processor describes the machine's processor: its model and the number of
// threads that this process may use.
func processor() string {
	model := runtime.GOARCH + " processor"
	if file, err := os.Open("/proc/cpuinfo"); err == nil {
		defer file.Close()
		if found := field(file, "model name"); found != "" {
			model = found
		}
	}
	if runtime.NumCPU() == 1 {
		return model + ", 1 thread"
	}
	return fmt.Sprintf("%s, %d threads", model, runtime.NumCPU())
}

// card describes the first NVIDIA GPU as its driver does, or is empty.
func card() string {
	files, _ := filepath.Glob("/proc/driver/nvidia/gpus/*/information")
	for _, name := range files {
		file, err := os.Open(name)
		if err != nil {
			continue
		}
		model := field(file, "Model")
		file.Close()
		if model != "" {
			return model
		}
	}
	return ""
}

// field returns the value of the first "key: value" line with that key.
func field(r io.Reader, key string) string {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		if found, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(found) == key {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
