package main

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"epochal/experiments"

	"github.com/spf13/pflag"
)

// flagError is an error of pflag in this program's words: the flag, what was found and
// what was expected. most is the expectation of a flag beyond its type, or "".
func flagError(err error, most func(flag *pflag.Flag) string) error {
	invalid, ok := errors.AsType[*pflag.InvalidValueError](err)
	if !ok {
		return err
	}
	flag, found := invalid.GetFlag(), invalid.GetValue()
	name := "--" + flag.Name
	expected := expectedOf(flag.Value.Type(), found)
	if expected == "" { // a type of this program's own, which says it
		return fmt.Errorf("%s: %w", name, invalid.Unwrap())
	}
	if limit := most(flag); limit != "" {
		expected = "a whole number, " + limit
	}
	return fmt.Errorf("%s: found %q, expected %s", name, found, expected)
}

// expectedOf is what a flag of a type takes instead of what was found, "" for a type that is
// not pflag's.
func expectedOf(kind, found string) string {
	switch kind {
	case "int":
		if _, err := strconv.ParseInt(found, 0, 0); errors.Is(err, strconv.ErrRange) {
			return fmt.Sprintf("a whole number of %d bits", strconv.IntSize)
		}
		return "a whole number"
	case "intSlice":
		return "whole numbers separated by commas"
	case "uint64":
		return fmt.Sprintf("a whole number from 0 to %d (2^64-1)", uint64(math.MaxUint64))
	case "float64":
		if _, err := strconv.ParseFloat(found, 64); errors.Is(err, strconv.ErrRange) {
			return fmt.Sprintf("a number of at most %.2g", math.MaxFloat64)
		}
		return "a number, such as 0.01"
	case "duration":
		return "a time with its unit, such as 10m or 1h30m"
	case "bool":
		return "true or false"
	default:
		return ""
	}
}

// configLimit is what a Config allows as the value of the integer flag of one of its
// fields, such as "1 to 65536"; "" for other flags, and for a field without a limit.
func configLimit(flag *pflag.Flag) string {
	config := experiments.Defaults()
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	addConfigFlags(flags, &config)
	if same := flags.Lookup(flag.Name); same == nil || same.Value.Type() != "int" || same.Value.Set(strconv.Itoa(math.MaxInt)) != nil {
		return ""
	}
	problems, _ := errors.AsType[experiments.Problems](config.Validate())
	for _, problem := range problems {
		if problem.Field == strings.ReplaceAll(flag.Name, "-", "_") {
			return problem.Expected
		}
	}
	return ""
}
