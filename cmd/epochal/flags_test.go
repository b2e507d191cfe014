package main

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"
)

// What is wrong with the value of a flag is said in whole words, with the flag, what was
// found and what was expected.
func TestWrongFlags(t *testing.T) {
	const seeds = "a whole number from 0 to 18446744073709551615 (2^64-1)"
	const hint = "hint: run 'epochal train --help' for the flags\n"
	for _, test := range []struct {
		args string
		want string
	}{
		{"train --seed 18446744073709551616", `--seed: found "18446744073709551616", expected ` + seeds + "\n" + hint},
		{"train --seed -1", `--seed: found "-1", expected ` + seeds + "\n" + hint},
		{"train --seed 1.5", `--seed: found "1.5", expected ` + seeds + "\n" + hint},
		{"train --seed=", `--seed: found "", expected ` + seeds + "\n" + hint},
		{"train --epochs 99999999999999999999", `--epochs: found "99999999999999999999", expected a whole number, 1 to 1000000` + "\n" + hint},
		{"train --epochs 2.0", `--epochs: found "2.0", expected a whole number, 1 to 1000000` + "\n" + hint},
		{"train --epochs -1", "--epochs: found -1, expected 1 to 1000000\n"},
		{"train --batch-size 1e3", `--batch-size: found "1e3", expected a whole number, 1 to 65536` + "\n" + hint},
		{"train --patience many", `--patience: found "many", expected a whole number, 0 to 1000000` + "\n" + hint},
		{"train --steps-per-call 1e3", `--steps-per-call: found "1e3", expected a whole number` + "\n" + hint},
		{
			"train --validation -99999999999999999999",
			`--validation: found "-99999999999999999999", expected a whole number of 64 bits` + "\n" + hint,
		},
		{"train --threads two", `--threads: found "two", expected a whole number` + "\n" + hint},
		{"train --learning-rate abc", `--learning-rate: found "abc", expected a number, such as 0.01` + "\n" + hint},
		{"train --learning-rate 0,1", `--learning-rate: found "0,1", expected a number, such as 0.01` + "\n" + hint},
		{"train --learning-rate 1e999", `--learning-rate: found "1e999", expected a number of at most 1.8e+308` + "\n" + hint},
		{"train --normalize=maybe", `--normalize: found "maybe", expected true or false` + "\n" + hint},
		{"train --max-time 10", `--max-time: found "10", expected a time with its unit, such as 10m or 1h30m` + "\n" + hint},
		{"train --max-time soon", `--max-time: found "soon", expected a time with its unit, such as 10m or 1h30m` + "\n" + hint},
		{"train --layer-sizes 5,1e3", `--layer-sizes: found "1e3", expected whole numbers separated by commas` + "\n" + hint},
		{
			"train --layer-sizes 99999999999999999999",
			`--layer-sizes: found "99999999999999999999", expected whole numbers of at most 65536, separated by commas` + "\n" + hint,
		},
		{"train --layer-sizes " + strings.Repeat("8,", 299) + "8", "--layer-sizes: found 300 layers, expected at most 64 layers\n"},
		{"train --layer-sizes 8,65537", "--layer-sizes: found 65537 neurons in layer 2, expected 1 to 65536 neurons\n"},
		{"train --seed \x1b[2J", `--seed: found "\x1b[2J", expected ` + seeds + "\n" + hint},
		{"train --sede 1", "unknown flag: --sede\n" + hint},
		{"train --seed", "flag needs an argument: --seed\n" + hint},
		{"data --seed x", `--seed: found "x", expected ` + seeds + "\nhint: run 'epochal data --help' for the flags\n"},
		{"data --batch-size 1e3", `--batch-size: found "1e3", expected a whole number` + "\nhint: run 'epochal data --help' for the flags\n"},
		{
			"bench --batch-size 16,1e3",
			`--batch-size: found "16,1e3", expected whole numbers separated by commas` + "\nhint: run 'epochal bench --help' for the flags\n",
		},
		{"reproduce --seeds few", `--seeds: found "few", expected a whole number` + "\nhint: run 'epochal reproduce --help' for the flags\n"},
		{"backends install", "backends install: found no argument, expected cpu or cuda\n"},
		{"backends install tpu", `backends install: found "tpu", expected cpu or cuda` + "\n"},
		{"backends install cpu cuda", `backends install: found "cpu cuda", expected cpu or cuda` + "\n"},
	} {
		var out, err bytes.Buffer
		code := run(strings.Fields(test.args), &out, &err)
		if want := "epochal: " + test.want; code != exitWrongUse || err.String() != want || out.Len() > 0 {
			t.Errorf("%s: found code %d, output %q and\n%sexpected\n%s", test.args, code, out.String(), err.String(), want)
		}
	}
}

// The command that continues a run is written as one would type it.
func TestResumeArguments(t *testing.T) {
	flags := newTrain(newTerminal(io.Discard, io.Discard, os.Getenv)).Flags()
	if err := flags.Parse([]string{"--max-time=1s", "--quiet", "--epochs=3", "--keep=best"}); err != nil {
		t.Fatal(err)
	}
	const want = "train --resume r --max-time 1s --keep best --quiet"
	if found := strings.Join(resumeArguments(flags, "r"), " "); found != want {
		t.Errorf("found %s, expected %s", found, want)
	}
}
