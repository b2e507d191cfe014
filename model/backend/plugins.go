package backend

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"epochal/dataset/regular"

	"github.com/gomlx/go-xla/installer"
	"github.com/gomlx/go-xla/pjrt"
)

// Plugins says where PJRT plugins are looked for and how they are installed.
// The zero value is ready to use.
type Plugins struct {
	Directory   string              // install folder; default ~/.local/lib/go-xla (Linux)
	Index       string              // package index with PyPI's JSON interface; default https://pypi.org/pypi
	Client      *http.Client        // default: dialing and TLS within 10 s each, response headers within 30 s
	Progress    func(Progress)      // may be nil; called often and from the installing goroutine
	Environment func(string) string // default os.Getenv; PJRT_PLUGIN_LIBRARY_PATH, LD_LIBRARY_PATH
	HashRecord  string              // file that remembers plugins' SHA-256; default epochal/plugins.json in the user's cache folder

	pinned   []pin         // default: pins on linux/amd64, none elsewhere
	releases string        // default: where go-xla's own CPU plugins are
	platform string        // default: as in linux_amd64
	stall    time.Duration // longest wait for the next bytes; default 30 s
	nvidia   func() bool   // default: installer.HasNvidiaGPU
}

// The stages of an installation.
const (
	StageDownload = "download"
	StageUnpack   = "unpack"
	StageWait     = "wait for another process"
)

// Progress tells how far an installation is.
type Progress struct {
	Stage       string // one of the Stage constants
	File        string // base name of what is downloaded, unpacked or waited for
	Done, Total int64  // bytes; Total is 0 when unknown
}

// withDefaults fills the empty fields. Without a home folder, Directory stays empty.
func (p Plugins) withDefaults() Plugins {
	if p.Directory == "" {
		if folder, err := installer.DefaultHomeLibPath(); err == nil {
			p.Directory = filepath.Join(folder, "go-xla")
		}
	} else if folder, err := filepath.Abs(p.Directory); err == nil {
		p.Directory = folder
	}
	if p.Index == "" {
		p.Index = "https://pypi.org/pypi"
	}
	if p.Client == nil {
		p.Client = defaultClient()
	}
	if p.Progress == nil {
		p.Progress = func(Progress) {}
	}
	if p.Environment == nil {
		p.Environment = os.Getenv
	}
	if p.HashRecord == "" {
		if folder, err := os.UserCacheDir(); err == nil {
			p.HashRecord = filepath.Join(folder, "epochal", "plugins.json")
		}
	}
	if p.platform == "" {
		p.platform = runtime.GOOS + "_" + runtime.GOARCH
	}
	if p.pinned == nil && p.platform == "linux_amd64" {
		p.pinned = pins
	}
	if p.releases == "" {
		p.releases = "https://github.com/" + installer.BinaryCPUReleasesRepo + "/releases/download"
	}
	if p.stall == 0 {
		p.stall = 30 * time.Second
	}
	if p.nvidia == nil {
		p.nvidia = installer.HasNvidiaGPU
	}
	return p
}

func defaultClient() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DialContext = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	transport.TLSHandshakeTimeout = 10 * time.Second
	transport.ResponseHeaderTimeout = 30 * time.Second
	return &http.Client{Transport: transport, CheckRedirect: func(request *http.Request, via []*http.Request) error {
		if len(via) >= 10 {
			return errors.New("more than 10 redirects")
		}
		// Where no hash is known, the encrypted connection is what vouches for the file.
		if via[0].URL.Scheme == "https" && request.URL.Scheme != "https" {
			return fmt.Errorf("redirected to %s, expected an https address", request.URL)
		}
		return nil
	}}
}

// Find returns the absolute path of the plugin of a kind ("cpu", "cuda", or the
// name of any plugin), without loading it. It looks in the folders of
// PJRT_PLUGIN_LIBRARY_PATH, then in p.Directory, then, if the variable is not
// set, where go-xla does and in its order: the home folder's libraries, the
// system's, LD_LIBRARY_PATH and the folders of /etc/ld.so.conf.
func (p Plugins) Find(kind string) (path string, found bool) {
	p = p.withDefaults()
	for _, folder := range p.folders() {
		if path, found := p.findIn(folder, kind); found {
			return path, true
		}
	}
	return "", false
}

// folders lists where plugins may be, each folder once and absolute.
func (p Plugins) folders() []string {
	chosen := filepath.SplitList(p.Environment(pjrt.PJRTPluginPathsEnv))
	all := slices.Clone(chosen)
	if p.Directory != "" {
		all = append(all, p.Directory, filepath.Join(p.Directory, "nvidia"))
	}
	if len(chosen) == 0 {
		all = append(all, systemFolders(p.Environment)...)
	}
	var folders []string
	for _, folder := range all {
		absolute, err := filepath.Abs(folder)
		if folder != "" && err == nil && !slices.Contains(folders, absolute) {
			folders = append(folders, absolute)
		}
	}
	return folders
}

// systemFolders lists where go-xla looks when PJRT_PLUGIN_LIBRARY_PATH is not set.
func systemFolders(environment func(string) string) []string {
	var folders []string
	if home, err := installer.DefaultHomeLibPath(); err == nil {
		older := filepath.Join("gomlx", "pjrt")
		if runtime.GOOS == "darwin" {
			older = filepath.Join("GoMLX", "PJRT")
		}
		folders = append(folders, filepath.Join(home, "go-xla"), filepath.Join(home, "go-xla", "nvidia"), filepath.Join(home, older))
	}
	folders = append(folders, "/usr/local/lib/go-xla", "/usr/local/lib/go-xla/nvidia", "/usr/local/lib/gomlx/pjrt")
	variables := []string{"LD_LIBRARY_PATH"}
	if runtime.GOOS == "darwin" {
		variables = []string{"DYLD_LIBRARY_PATH", "LD_LIBRARY_PATH"}
	}
	for _, variable := range variables {
		for _, folder := range filepath.SplitList(environment(variable)) {
			if filepath.IsAbs(folder) {
				folders = append(folders, folder)
			}
		}
	}
	if runtime.GOOS == "linux" {
		folders = append(folders, linkerFolders("/etc/ld.so.conf")...)
	}
	return folders
}

// Limits on the files in the format of /etc/ld.so.conf, which include each other.
const (
	maxLinkerFile  = 1 << 20 // bytes of one
	maxLinkerFiles = 1000
)

// linkerFolders lists the folders of a file in the format of /etc/ld.so.conf,
// with the files that it includes, each once.
func linkerFolders(file string) (folders []string) {
	seen := map[string]bool{}
	var read func(file string)
	read = func(file string) {
		if seen[file] || len(seen) == maxLinkerFiles {
			return
		}
		seen[file] = true
		content, err := regular.Read(file, maxLinkerFile)
		if err != nil {
			return
		}
		for line := range strings.Lines(string(content)) {
			line, _, _ = strings.Cut(line, "#")
			line = strings.TrimSpace(line)
			if pattern, ok := strings.CutPrefix(line, "include"); ok {
				pattern = strings.TrimSpace(pattern)
				if !filepath.IsAbs(pattern) {
					pattern = filepath.Join(filepath.Dir(file), pattern)
				}
				included, _ := filepath.Glob(pattern)
				for _, file := range included {
					read(file)
				}
			} else if filepath.IsAbs(line) {
				folders = append(folders, line)
			}
		}
	}
	read(file)
	return folders
}

// The file names of plugins, in go-xla's order of preference.
var pluginFiles = []*regexp.Regexp{
	regexp.MustCompile(`^pjrt-plugin-(.+)\.(?:so|dylib)$`),
	regexp.MustCompile(`^pjrt_plugin_(.+)\.(?:so|dylib)$`),
	regexp.MustCompile(`^pjrt_c_api_(.+)_plugin\.(?:so|dylib)$`),
}

// pluginName returns the name that go-xla gives to a plugin file, or "", and
// the place of its pattern in pluginFiles.
func pluginName(file string) (name string, pattern int) {
	for i, pattern := range pluginFiles {
		if parts := pattern.FindStringSubmatch(filepath.Base(file)); parts != nil {
			return parts[1], i
		}
	}
	return "", 0
}

// findIn returns the best plugin of a kind in one folder: a pinned one, else
// one with exactly that name, else the last of the versioned ones.
func (p Plugins) findIn(folder, kind string) (path string, found bool) {
	type candidate struct {
		rank int
		file string
	}
	var candidates []candidate
	for _, file := range pluginsIn(folder, kind) {
		name, pattern := pluginName(file)
		rank := len(p.pinned) + pattern
		if pinned := p.pinOf(file); pinned >= 0 {
			rank = pinned
		} else if name != kind {
			rank = len(p.pinned) + len(pluginFiles)
		}
		candidates = append(candidates, candidate{rank, file})
	}
	if len(candidates) == 0 {
		return "", false
	}
	return slices.MinFunc(candidates, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), strings.Compare(b.file, a.file))
	}).file, true
}

// pluginsIn lists the files in a folder that go-xla would take for a kind.
func pluginsIn(folder, kind string) []string {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil
	}
	var files []string
	for _, entry := range entries {
		name, _ := pluginName(entry.Name())
		if name == "" || name != kind && !strings.HasPrefix(name, kind+"_v") {
			continue
		}
		file := filepath.Join(folder, entry.Name())
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
			files = append(files, file)
		}
	}
	return files
}

// The states of a backend.
const (
	StateReady    = "ready"            // its plugin loads
	StateMissing  = "not installed"    // no plugin was found
	StateNoDevice = "no NVIDIA device" // neither /dev/nvidia* nor a working nvidia-smi
	StateBroken   = "does not load"    // a plugin was found that does not work
	StateDamaged  = "damaged"          // an installed plugin was found whose SHA-256 is no longer its pin's
)

// Status says whether a backend can be used on this machine.
type Status struct {
	Name    string `json:"name"`  // xla:cuda, xla:cpu or go
	State   string `json:"state"` // one of the State constants
	Version string `json:"version,omitempty"`
	Device  string `json:"device,omitempty"`
	File    string `json:"file,omitempty"`   // the plugin
	SHA256  string `json:"sha256,omitempty"` // of the plugin, where it is recorded or had to be checked
	Hint    string `json:"hint,omitempty"`   // a command that helps, or why the plugin does not load
}

// List returns the state of each backend, best first. It loads the plugins that
// it finds but opens no device and writes nothing. A context that is done stops
// the loading: the plugins that are left count as they were found. A plugin that
// is damaged is not loaded.
func (p Plugins) List(ctx context.Context) []Status {
	cuda, cpu := Status{Name: XLACUDA, State: StateMissing, Hint: hintCUDA}, Status{Name: XLACPU, State: StateMissing, Hint: hintCPU}
	p = p.withDefaults()
	if file, found := p.Find("cuda"); found {
		cuda.File, cuda.State, cuda.Hint = file, StateReady, ""
	}
	if !p.nvidia() {
		cuda.State, cuda.Hint = StateNoDevice, ""
	} else {
		cuda.Device = card()
	}
	if file, found := p.Find("cpu"); found {
		cpu.File, cpu.State, cpu.Hint, cpu.Device = file, StateReady, "", processor()
	}
	for _, status := range []*Status{&cuda, &cpu} {
		if status.File != "" {
			status.SHA256, _ = hashRecord(p.HashRecord).known(status.File)
		}
		if status.State == StateReady && ctx.Err() == nil {
			p.load(ctx, status)
		}
	}
	return []Status{cuda, cpu, {Name: Go, State: StateReady, Version: goVersion(), Device: processor()}}
}

// load loads the plugin of a status that is ready, and says there how that went.
func (p Plugins) load(ctx context.Context, status *Status) {
	if status.SHA256 == "" && p.pinOf(status.File) >= 0 {
		// Past the record, because listing writes nothing.
		status.SHA256, _ = hashFile(ctx, status.File)
		if ctx.Err() != nil {
			return
		}
	}
	if p.checkPinned(status.File, status.SHA256) != nil {
		status.State, status.Hint = StateDamaged, hintCPU
		return
	}
	version, err := loadVersion(status.File)
	if err != nil {
		status.State, status.Hint = StateBroken, err.Error()
		return
	}
	status.Version = version
}

// loadVersion loads a plugin and returns its version.
func loadVersion(file string) (version string, err error) {
	if err := checkWhole(file); err != nil {
		return "", err
	}
	opening.Lock()
	defer opening.Unlock()
	flags, wasSet := os.LookupEnv(xlaFlags)
	defer func() {
		// Loading a CUDA plugin makes go-xla add a flag that other plugins may not know.
		if wasSet {
			os.Setenv(xlaFlags, flags)
		} else {
			os.Unsetenv(xlaFlags)
		}
	}()
	defer recovered(&err)
	plugin, err := pjrt.GetPlugin(file)
	if err != nil {
		return "", err
	}
	return pluginVersion(plugin), nil
}
