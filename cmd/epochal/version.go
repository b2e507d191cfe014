package main

import (
	"fmt"

	"epochal/experiments/record"

	"github.com/spf13/cobra"
)

// newVersion is `epochal version`.
func newVersion(t *terminal) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of epochal and of what it is built with",
		Args:  noArguments,
		RunE: func(*cobra.Command, []string) error {
			e := record.BuildEnvironment()
			return t.printf("%s\n%s %s/%s, gomlx %s, go-xla %s\n",
				versionLine(), e.Go, e.OperatingSystem, e.Architecture, e.GoMLX, e.GoXLA)
		},
	}
}

// versionLine is the name of the program with its version and revision.
func versionLine() string {
	e := record.BuildEnvironment()
	if e.Revision == "" {
		return "epochal " + e.Version
	}
	return fmt.Sprintf("epochal %s revision %s", e.Version, e.Revision)
}
