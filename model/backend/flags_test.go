package backend

import (
	"errors"
	"os"
	"testing"
)

func TestWithFlags(t *testing.T) {
	const region, emitters, other = "--xla_cpu_copy_insertion_use_region_analysis", "--xla_backend_extra_options", "0a0f"
	const old = emitters + "=xla_cpu_disable_new_fusion_emitters"
	const ours = region + "=true " + old
	known := "ad1309ac822b1b24d51b7f9947c7c9fa9ef5d67f390584cbc3d1fa2428fed9c2"
	const unset = "-"
	for _, c := range []struct {
		name, user, sha256 string
		want               string // XLA_FLAGS while the plugin is opened
		keep               bool
		add                string // what opening adds to the variable
		err                error
		left               string // what is left in the variable; "" as user
	}{
		{name: "none set", user: unset, sha256: known, want: ours},
		{name: "blank", user: "  ", sha256: known, want: ours},
		{name: "the user's are kept", user: "--a", sha256: known, want: "--a " + ours},
		{name: "the user decides", user: region + "=false", sha256: known, want: region + "=false " + old},
		{name: "the user decides otherwise", user: emitters + "=a", sha256: known, want: emitters + "=a " + region + "=true"},
		{name: "already added", user: "--a " + ours, sha256: known, want: "--a " + ours},
		{name: "another plugin", user: "--a", sha256: other, want: "--a"},
		{name: "another plugin, none set", user: unset, sha256: other, want: ""},
		{name: "what go-xla adds for CUDA is kept", user: "--a", sha256: other, want: "--a", keep: true,
			add: " --cuda", left: "--a --cuda"},
		{name: "but not after a failure", user: unset, sha256: known, want: ours, keep: true, add: " --cuda", err: errors.New("no")},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv(xlaFlags, c.user)
			if c.user == unset {
				os.Unsetenv(xlaFlags)
			}
			if c.left == "" {
				c.left = c.user
			}
			read, err := withFlags(flagsOf[c.sha256], c.keep, func() error {
				if seen := os.Getenv(xlaFlags); seen != c.want {
					t.Errorf("%s is %q while opening, want %q", xlaFlags, seen, c.want)
				}
				os.Setenv(xlaFlags, os.Getenv(xlaFlags)+c.add)
				return c.err
			})
			left, wasSet := os.LookupEnv(xlaFlags)
			if !wasSet {
				left = unset
			}
			if read != c.want+c.add || err != c.err || left != c.left {
				t.Errorf("withFlags = %q, %v, leaving %q; want %q, %v, leaving %q", read, err, left, c.want+c.add, c.err, c.left)
			}
		})
	}
}
