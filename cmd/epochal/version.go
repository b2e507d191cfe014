package main

import (
	"github.com/spf13/cobra"

	"epochal/experiments/record"
)

// newVersion is `epochal version`.
func newVersion(t *terminal) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of epochal and of what it is built with",
		Args:  noArguments,
		RunE: func(*cobra.Command, []string) error {
			e := record.BuildEnvironment()
			revision := ""
			if e.Revision != "" {
				revision = " revision " + e.Revision
			}
			return t.printf("epochal %s%s\n%s %s/%s, gomlx %s, go-xla %s\n",
				e.Version, revision, e.Go, e.OperatingSystem, e.Architecture, e.GoMLX, e.GoXLA)
		},
	}
}
