// Command kubernetes reads a manifest and fails unless Kubernetes' own types have all of
// its fields and it is an Indexed Job. A real API server judges the same manifests in
// experiments/cluster/testdata/kubernetes.sh, which takes too long for .ci/run.
package main

import (
	"fmt"
	"io"
	"os"

	batch "k8s.io/api/batch/v1"
	"sigs.k8s.io/yaml"
)

func main() {
	if err := check(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "kubernetes:", err)
		os.Exit(1)
	}
}

func check(manifest io.Reader) error {
	text, err := io.ReadAll(manifest)
	if err != nil {
		return err
	}
	var job batch.Job
	if err := yaml.UnmarshalStrict(text, &job); err != nil {
		return err
	}
	if mode := job.Spec.CompletionMode; job.APIVersion != "batch/v1" || job.Kind != "Job" || mode == nil || *mode != batch.IndexedCompletion {
		return fmt.Errorf("found %s %s, expected an Indexed Job of batch/v1", job.APIVersion, job.Kind)
	}
	for _, container := range job.Spec.Template.Spec.Containers {
		fmt.Printf("%s: %d completions, %d at one time: %q\n", job.Name, *job.Spec.Completions, *job.Spec.Parallelism, container.Command)
	}
	return nil
}
