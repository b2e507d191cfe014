package report

import (
	"encoding/json"
	"io"

	"epochal/experiments/bench"
)

// BenchJSON writes the results of a benchmark as indented JSON. Its schema is
// [bench.Results], whose fields say what each key holds and in which unit.
func BenchJSON(w io.Writer, r bench.Results) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}
