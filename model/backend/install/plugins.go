package install

import (
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gomlx/go-xla/installer"
	"github.com/gomlx/go-xla/pjrt"
)

// Directory returns the folder that plugins are installed into,
// ~/.local/lib/go-xla on Linux. Without a home folder it is an error.
func Directory() (string, error) {
	library, err := installer.DefaultHomeLibPath()
	if err != nil {
		return "", err
	}
	return filepath.Join(library, "go-xla"), nil
}

// Find returns the absolute path of the plugin of a kind: "cpu", "cuda", or the
// name of any plugin. It looks in the folders of PJRT_PLUGIN_LIBRARY_PATH, then
// in [Directory], then, if the variable is not set, in the system's folders and
// those of LD_LIBRARY_PATH. It loads nothing.
func Find(kind string) (file string, found bool) {
	for _, folder := range folders() {
		if name, found := findIn(folder, kind); found {
			file, err := filepath.Abs(filepath.Join(folder, name))
			return file, err == nil
		}
	}
	return "", false
}

// folders lists where plugins may be, in go-xla's order.
func folders() []string {
	chosen := filepath.SplitList(os.Getenv(pjrt.PJRTPluginPathsEnv))
	all := chosen
	library, err := installer.DefaultHomeLibPath()
	if err == nil {
		all = append(all, filepath.Join(library, "go-xla"), filepath.Join(library, "go-xla", "nvidia"))
	}
	if len(chosen) > 0 {
		return all
	}
	if err == nil {
		// Where earlier versions of go-xla looked, on Linux and on macOS.
		all = append(all, filepath.Join(library, "gomlx", "pjrt"), filepath.Join(library, "GoMLX", "PJRT"))
	}
	all = append(all, "/usr/local/lib/go-xla", "/usr/local/lib/go-xla/nvidia", "/usr/local/lib/gomlx/pjrt", "/usr/local/lib")
	for _, variable := range []string{"DYLD_LIBRARY_PATH", "LD_LIBRARY_PATH"} {
		for _, folder := range filepath.SplitList(os.Getenv(variable)) {
			if filepath.IsAbs(folder) {
				all = append(all, folder)
			}
		}
	}
	return all
}

// findIn returns the name of the best plugin of a kind in one folder: a pinned
// one, else one with exactly that name, else the last of the versioned ones.
func findIn(folder, kind string) (name string, found bool) {
	if folder == "" {
		return "", false // of PJRT_PLUGIN_LIBRARY_PATH, not the current folder
	}
	var patterns []string
	if kind == "cpu" {
		for _, pin := range pins {
			patterns = append(patterns, pin.file())
		}
	}
	for _, version := range []string{"", "_v*"} {
		for _, extension := range []string{".so", ".dylib"} {
			patterns = append(patterns,
				"pjrt-plugin-"+kind+version+extension,
				"pjrt_plugin_"+kind+version+extension,
				"pjrt_c_api_"+kind+version+"_plugin"+extension)
		}
	}
	files := os.DirFS(folder)
	for _, pattern := range patterns {
		names, _ := fs.Glob(files, pattern)
		for i := len(names) - 1; i >= 0; i-- {
			if info, err := fs.Stat(files, names[i]); err == nil && info.Mode().IsRegular() {
				return names[i], true
			}
		}
	}
	return "", false
}
