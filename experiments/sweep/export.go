package sweep

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"epochal/experiments"
)

// Export is the best setting as a file of an experiment, which package published can run.
func (r Results) Export() ([]byte, error) {
	if r.Winner == nil {
		found := "only settings that diverged"
		if r.Missing > 0 {
			found = fmt.Sprintf("%d runs missing", r.Missing)
		}
		return nil, fmt.Errorf("sweep: found %s, expected a best setting to export", found)
	}
	best := r.Settings[0]
	var b strings.Builder
	fmt.Fprintf(&b, "name: %s-best\ntitle: The best setting of the sweep %s\n", r.Name, r.Name)
	fmt.Fprintf(&b, "why: >-\n  It ranks first of %d settings by %s, on average over %d seeds.\n",
		len(r.Settings), strings.ReplaceAll(r.RankBy, "_", " "), len(r.Seeds))
	fmt.Fprintf(&b, "  Its runs hold out %d training images; without validation they train on all.\n", best.Config.Validation)
	b.WriteString("settings:\n")
	usual := experiments.Defaults()
	for _, name := range slices.Concat(Fields(), dataFields, []string{"validation"}) {
		value := Value(best.Config, name)
		if reflect.DeepEqual(value, Value(usual, name)) {
			continue
		}
		text := Format(value)
		if s, ok := value.(string); ok {
			text = strconv.Quote(s) // as YAML reads it as well
		}
		fmt.Fprintf(&b, "  %s: %s\n", name, text)
	}
	return []byte(b.String()), nil
}
