package report_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"epochal/experiments/record"
	"epochal/experiments/report"
)

// The page of a run made by nobody knows whom is as sound as that of a reproduction, and
// as harmless. Package train's and the command's tests make true runs.
func TestRunsPage(t *testing.T) {
	const hostile = `<script>alert('x')</script> | "{{.}}" </style> &amp;`
	folder := t.TempDir()
	var runs []string
	for _, name := range []string{"<b>one", "two\x1b[2J"} {
		run := filepath.Join(folder, name)
		runs = append(runs, run)
		writeRun(t, run, strings.ReplaceAll(hostile, `"`, `\"`))
	}
	for count := 1; count <= len(runs); count++ {
		read, err := report.ReadRuns(runs[:count]...)
		if err != nil {
			t.Fatal(err)
		}
		out := filepath.Join(folder, "out")
		if err := report.WriteRuns(out, read); err != nil {
			t.Fatal(err)
		}
		page := contents(t, out)[report.RunsPageFile]
		checkPage(t, page)
		for _, expected := range []string{
			"State: ended, 1 of 1 epoch", "data &lt;script&gt;", "�[31mcat (1 time)</td>",
			`<th scope="row">&lt;script&gt;alert(&#39;x&#39;)&lt;/script…/style&gt; &amp;amp;</th>`,
			"The data could not be read", "The weights could not be read",
		} {
			if strings.Count(page, expected) != count {
				t.Errorf("found %q %d times, expected %d", expected, strings.Count(page, expected), count)
			}
		}
		if strings.Count(page, "</style>") != 1 {
			t.Error("found that the style sheet ends twice")
		}
	}
	if _, err := report.ReadRuns(runs[0], folder); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("found error %v of a folder without a run", err)
	}
}

// writeRun writes a run of one epoch whose data has a name.
func writeRun(t *testing.T, folder, data string) {
	t.Helper()
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		record.ConfigFile: `{"layer_sizes":[2],"activation":"relu","epochs":1,"learning_rate":1,"batch_size":1,"data":"` + data +
			`","backend":"go"}`,
		record.EnvironmentFile: `{"folder":"/nowhere","backend":{"name":"` + data + `"}}`,
		record.MetricsFile:     `{"event":"epoch","epoch":1,"train_accuracy":0.5,"test_accuracy":0.75}` + "\n",
		record.EvaluationFile: `{"class_names":["` + data + `","\u001b[31mcat"],` +
			`"confusion":[[2,1],[0,1]],"mistakes":[{"image":3,"label":0,"predicted":1,"confidence":0.75}]}`,
		record.WeightsFile: "none",
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
