package backend

import (
	"regexp"
	"strings"

	"epochal/model/backend/internal/advice"

	"github.com/gomlx/go-xla/pjrt"
)

// loadingHints are what to do about an error of the system's loader, by what it says,
// with the text in parentheses for each $1.
var loadingHints = []struct {
	said *regexp.Regexp
	hint string
}{
	{regexp.MustCompile("failed to map segment from shared object"),
		"its file system may be mounted noexec: copy the plugin to one that is not, and name the folder with " + pjrt.PJRTPluginPathsEnv},
	{regexp.MustCompile(`([^\s:"/\\]+): cannot open shared object file: No such file`),
		"install the system's package that has the library $1"},
	{regexp.MustCompile(`version .(GLIBC\w*_[\d.]+). not found`),
		"this system's libraries are older than $1: update them, or name the folder of an older plugin with " + pjrt.PJRTPluginPathsEnv},
	{regexp.MustCompile(`Error (?:loading shared library|relocating)`),
		"the plugin needs glibc, and this system's C library seems to be musl: use a system with glibc, or --backend go"},
	{regexp.MustCompile("wrong ELF class|invalid ELF header|file too short|Exec format error"),
		"replace it by a whole plugin for this processor, or remove it"},
	{regexp.MustCompile("Permission denied"),
		"make the file readable, or copy the plugin and name the folder with " + pjrt.PJRTPluginPathsEnv},
	{regexp.MustCompile("failed to find symbol"),
		"it is no PJRT plugin: remove it, or name the folder of another one with " + pjrt.PJRTPluginPathsEnv},
}

// adviseLoading gives an error of loading a plugin the hint that fits its cause, if it
// is one of the usual ones.
func adviseLoading(err error) error {
	for _, usual := range loadingHints {
		if found := usual.said.FindStringSubmatch(err.Error()); found != nil {
			return &advice.Error{Err: err, Advice: strings.ReplaceAll(usual.hint, "$1", found[len(found)-1])}
		}
	}
	return err
}
