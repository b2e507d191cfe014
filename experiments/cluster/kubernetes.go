package cluster

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"strings"
	"text/template"
)

// Kubernetes is a command whose shards are the indexes of an Indexed Job.
type Kubernetes struct {
	Name     string   // of the job: at most 50 lower-case letters, digits and hyphens
	Command  []string // that makes all runs, without --shard, as it is called in the image; relative paths in it are those of the volume
	Shards   int      // 1 or more
	Parallel int      // pods at one time, 0 for all
	Image    string
	Claim    string // name of the claim of the volume that holds the plan and the records, and that all nodes can write
	CPU      string // that a pod requests and is limited to, as Kubernetes writes it: 2, 500m
	Memory   string // likewise: 2Gi
	GPUs     int    // NVIDIA GPUs of a pod
	Queue    string // of Kueue, "" for none
}

// ShardCommand is the command of a pod. Kubernetes replaces names in parentheses after a
// dollar sign, unless there are two of these.
func (k Kubernetes) ShardCommand() []string {
	var all []string
	for _, argument := range k.Command {
		all = append(all, strings.ReplaceAll(argument, "$(", "$$("))
	}
	return append(all, "--shard", fmt.Sprintf("$(JOB_COMPLETION_INDEX)/%d", k.Shards))
}

//go:embed job.yaml
var jobText string

var jobTemplate = template.Must(template.New("job").Funcs(template.FuncMap{
	// JSON is YAML, whatever the text contains.
	"quoted": func(value any) (string, error) {
		var b bytes.Buffer
		encoder := json.NewEncoder(&b)
		encoder.SetEscapeHTML(false)
		err := encoder.Encode(value)
		return strings.TrimSuffix(b.String(), "\n"), err
	},
}).Parse(jobText))

// Manifest is the job, for kubectl apply.
func (k Kubernetes) Manifest() (string, error) {
	if k.Parallel == 0 {
		k.Parallel = k.Shards
	}
	var b strings.Builder
	err := jobTemplate.Execute(&b, k)
	return b.String(), err
}
