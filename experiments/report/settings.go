package report

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"epochal/experiments"
	"epochal/experiments/report/words"
)

// setting is a field of a run's config.
type setting struct {
	Name  string // as in config.json: "layer_sizes"
	Value string // "[512, 512]"
	flag  string // for `epochal train` in a shell: "--layer-sizes 512,512"
}

// settings are all fields of a config, in the order of config.json.
func settings(c experiments.Config) []setting {
	var all []setting
	value := reflect.ValueOf(c)
	for i := range value.NumField() {
		name, _, _ := strings.Cut(value.Type().Field(i).Tag.Get("json"), ",")
		if len(c.ConvChannels) == 0 && strings.HasPrefix(name, "conv_") {
			continue // nobody who does without convolutions need know of them
		}
		if name == "conv_kernel" && c.ConvKernel == 0 {
			continue // the usual one
		}
		s := setting{Name: name, flag: "--" + strings.ReplaceAll(name, "_", "-")}
		switch field := value.Field(i).Interface().(type) {
		case bool:
			s.Value = strconv.FormatBool(field)
			if !field { // a switch takes a value only after "="
				s.flag += "=false"
			}
		case []int:
			s.Value = "[" + words.Widths(field, ", ") + "]"
			s.flag += " " + words.Shell(words.Widths(field, ","))
		case float64:
			s.Value = experiments.FormatFloat(field)
			s.flag += " " + s.Value
		case string:
			s.Value = field
			s.flag += " " + words.Shell(field)
			if s.Name == "transpose" { // a switch
				s.flag = "--transpose=" + field
			}
			if field == "" {
				s.Value = `""`
			}
		default:
			s.Value = fmt.Sprint(field)
			s.flag += " " + words.Shell(s.Value)
		}
		all = append(all, s)
	}
	return all
}

// ofExperiments are the settings that are an experiment's own. The others are chosen
// when experiments run, the same for all of them, or tell one run from another; patience
// is for none, whose seeds all have the same epochs.
func ofExperiments(all []setting) []setting {
	others := []string{"patience", "seed", "backend", "tf32", "steps_per_call", "deterministic"}
	return slices.DeleteFunc(all, func(s setting) bool { return slices.Contains(others, s.Name) })
}

// Defaults are the settings that experiments differ from.
func (d *document) Defaults() []setting {
	return withoutUnset(ofExperiments(settings(experiments.Defaults())))
}

// withoutUnset leaves out how data is read, as far as nothing is said about it.
func withoutUnset(all []setting) []setting {
	reading := []string{"split", "transpose", "test_share", "train_images", "permute_pixels"}
	return slices.DeleteFunc(all, func(s setting) bool {
		return slices.Contains(reading, s.Name) && slices.Contains([]string{`""`, "0.0", "0"}, s.Value)
	})
}

// Settings are all settings of the experiment.
func (s section) Settings() []setting { return withoutUnset(settings(s.Config)) }

// Deviations are all settings of a run that are not those of `epochal train` without
// flags: "layer_sizes [128], epochs 5".
func Deviations(c experiments.Config) string {
	usual := settings(experiments.Defaults())
	var found []string
	for _, s := range settings(c) {
		if !slices.Contains(usual, s) {
			found = append(found, s.Name+" "+s.Value)
		}
	}
	return strings.Join(found, ", ")
}

// Deviations are the settings in which the experiment differs from the defaults.
func (s section) Deviations() []setting {
	usual := settings(experiments.Defaults())
	return slices.DeleteFunc(ofExperiments(settings(s.Config)), func(s setting) bool { return slices.Contains(usual, s) })
}

// TrainCommand is the command that repeats the first run. It has a flag for each
// setting that is not its default, and always the seed and the backend.
func (s section) TrainCommand() string {
	c := s.Config
	if len(s.Records) > 0 {
		c.Backend = s.Records[0].Environment.Backend.Name
	}
	usual := settings(experiments.Defaults())
	command := "epochal train"
	for _, s := range settings(c) {
		if s.Name == "seed" || s.Name == "backend" || !slices.Contains(usual, s) {
			command += " " + s.flag
		}
	}
	return command
}
