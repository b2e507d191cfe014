package backend

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What the loaders of glibc and musl say, and what to do about it.
func TestLoadingHints(t *testing.T) {
	const (
		lacks  = "install the system's package that has the library "
		older  = "this system's libraries are older than "
		update = ": update them, or name the folder of an older plugin with PJRT_PLUGIN_LIBRARY_PATH"
		musl   = "the plugin needs glibc, and this system's C library seems to be musl: use a system with glibc, or --backend go"
		whole  = "replace it by a whole plugin for this processor, or remove it"
		folder = "name the folder with PJRT_PLUGIN_LIBRARY_PATH"
	)
	for _, c := range []struct{ said, want string }{
		{
			`"/x/plugin.so: failed to map segment from shared object"`,
			"its file system may be mounted noexec: copy the plugin to one that is not, and " + folder,
		},
		{`"libstdc++.so.6: cannot open shared object file: No such file or directory"`, lacks + "libstdc++.so.6"},
		{`"libgcc_s.so.1: cannot open shared object file: No such file or directory"`, lacks + "libgcc_s.so.1"},
		{
			"\"/lib/libc.so.6: version `GLIBC_2.38' not found (required by /x/plugin.so)\"",
			older + "GLIBC_2.38" + update,
		},
		{"\"libstdc++.so.6: version `GLIBCXX_3.4.30' not found (required by x)\"", older + "GLIBCXX_3.4.30" + update},
		{`"Error loading shared library libstdc++.so.6: No such file or directory (needed by x)"`, musl},
		{`"Error relocating x: __memcpy_chk: symbol not found"`, musl},
		{`"x: wrong ELF class: ELFCLASS32"`, whole},
		{`"x: file too short"`, whole},
		{`"x: Permission denied"`, "make the file readable, or copy the plugin and " + folder},
		{
			`failed to find symbol "GetPjrtApi"`,
			"it is no PJRT plugin: remove it, or name the folder of another one with PJRT_PLUGIN_LIBRARY_PATH",
		},
		{"something else", ""},
	} {
		if found := hintOf(adviseLoading(errors.New("failed to load: " + c.said))); found != c.want {
			t.Errorf("%s: found %q, expected %q", c.said, found, c.want)
		}
	}
}

// A library that is none, one that lacks another, and one that may not be mapped, as the system's loader finds them.
func TestPluginsThatDoNotLoad(t *testing.T) {
	compiler, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("needs a C compiler")
	}
	build := func(folder, name string, args ...string) string {
		t.Helper()
		file := filepath.Join(folder, name)
		command := exec.Command(compiler, append([]string{"-shared", "-fPIC", "-x", "c", "/dev/null", "-o", file}, args...)...)
		if output, err := command.CombinedOutput(); err != nil {
			t.Skipf("%v: %s", err, output)
		}
		return file
	}
	folder, libraries := t.TempDir(), t.TempDir()
	empty := build(folder, "pjrt_c_api_empty_plugin.so")
	needed := build(libraries, "libneeded.so")
	needs := build(folder, "pjrt_c_api_needs_plugin.so", "-Wl,--no-as-needed", "-L"+libraries, "-lneeded")
	if err := os.Remove(needed); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		empty: "it is no PJRT plugin: remove it, or name ",
		needs: "install the system's package that has the library libneeded.so",
	} {
		newMachine(t)
		_, _, err := Open(context.Background(), "xla:"+file, Options{})
		if err == nil || !strings.HasPrefix(hintOf(err), want) {
			t.Errorf("%s: found %v with the hint %q, expected %q", file, err, hintOf(err), want)
		}
		if warning := slowWarning(err); !strings.Contains(warning, "; to use XLA: "+want) {
			t.Errorf("found the warning %q, expected %q", warning, want)
		}
	}
}
