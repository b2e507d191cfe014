package cluster_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"epochal/experiments/cluster"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the manifests of testdata anew")

// The manifests of testdata, which .ci/run decodes strictly into Kubernetes' own types.
func TestManifest(t *testing.T) {
	for name, k := range map[string]cluster.Kubernetes{
		"least.yaml": {
			Name: "epochal-1", Command: []string{"epochal", "sweep", "plan.yaml"}, Shards: 4,
			Image: "epochal:dev", Claim: "epochal", CPU: "2", Memory: "2Gi",
		},
		"all.yaml": {
			Name: "epochal-2", Command: []string{"epochal", "sweep", "--out", "a: $(HOME) \"b\" {c} #\nd, <e>"}, Shards: 100, Parallel: 8,
			Image: "registry.example:5000/epochal@sha256:0000", Claim: "shared", CPU: "500m", Memory: "900Mi", GPUs: 1, Queue: "students",
		},
	} {
		found, err := k.Manifest()
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(path, []byte(found), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if different := cmp.Diff(string(want), found); different != "" {
			t.Errorf("%s differs (-want +found):\n%s", path, different)
		}
	}
}
