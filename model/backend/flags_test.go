package backend

import (
	"errors"
	"os"
	"testing"
)

func TestComposeFlags(t *testing.T) {
	known, other := pins[0].pluginSHA256, pins[1].pluginSHA256
	for _, c := range []struct{ name, user, sha, want string }{
		{"none set", "", known, "--xla_cpu_copy_insertion_use_region_analysis=true"},
		{"blank", "  ", known, "--xla_cpu_copy_insertion_use_region_analysis=true"},
		{"the user's are kept", "--xla_dump_to=/tmp/x", known, "--xla_dump_to=/tmp/x --xla_cpu_copy_insertion_use_region_analysis=true"},
		{"the user decides", "--xla_cpu_copy_insertion_use_region_analysis=false", known, "--xla_cpu_copy_insertion_use_region_analysis=false"},
		{"already added", "--a --xla_cpu_copy_insertion_use_region_analysis=true", known, "--a --xla_cpu_copy_insertion_use_region_analysis=true"},
		{"a file of flags", "/etc/flags", known, "/etc/flags"},
		{"another plugin", "--xla_dump_to=/tmp/x", other, "--xla_dump_to=/tmp/x"},
		{"another plugin, none set", "", other, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := composeFlags(c.user, c.sha); got != c.want {
				t.Errorf("composeFlags(%q) = %q, want %q", c.user, got, c.want)
			}
		})
	}
}

func TestWithFlags(t *testing.T) {
	plugin := t.TempDir() + "/plugin.so"
	for _, c := range []struct {
		name, user, flags string // user "-": not set
		keep              bool
		add               string // what opening adds to the variable
		err               error
		want, left        string
	}{
		{"put back", "--a", "--a --b", false, "", nil, "--a --b", "--a"},
		{"read once", "-", "--c", false, "", nil, "--a --b", "-"},
		{"failure", "-", "--b", true, " --cuda", errors.New("no"), "", "-"},
		{"keep", "--a", "--a", true, " --cuda", nil, "--a --cuda", "--a --cuda"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv(xlaFlags, c.user)
			if c.user == "-" {
				os.Unsetenv(xlaFlags)
			}
			file := plugin
			if c.keep {
				file = t.TempDir() + "/plugin.so"
			}
			got, err := withFlags(file, c.flags, c.keep, func() error {
				if seen := os.Getenv(xlaFlags); seen != c.flags {
					t.Errorf("%s is %q while opening, want %q", xlaFlags, seen, c.flags)
				}
				os.Setenv(xlaFlags, os.Getenv(xlaFlags)+c.add)
				return c.err
			})
			left, wasSet := os.LookupEnv(xlaFlags)
			if !wasSet {
				left = "-"
			}
			if got != c.want || err != c.err || left != c.left {
				t.Errorf("withFlags = %q, %v, leaving %q; want %q, %v, leaving %q", got, err, left, c.want, c.err, c.left)
			}
		})
	}
}
