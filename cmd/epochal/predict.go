package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"epochal/dataset/regular"
	"epochal/experiments/picture"
	"epochal/experiments/report/words"
	"epochal/experiments/trained"
	"epochal/model"

	"github.com/spf13/cobra"
)

// newPredict is `epochal predict`.
func newPredict(t *terminal) *cobra.Command {
	var network networkFlags
	p := predictor{terminal: t}
	command := &cobra.Command{
		Use:   "predict run|file image...",
		Short: "Say what is in pictures",
		Long: `Say what a trained network, that of a run folder or of a safetensors file, sees
in pictures: PNG, JPEG, GIF, BMP, WebP, IDX (every image of it), a folder of
these, perhaps in folders of their classes, or - for standard input. The three
most probable classes are printed for each; at a terminal, also the picture as
the network sees it.

Pictures are prepared as MNIST's authors did it: made grey, turned light on
dark, cut out, scaled to 20 pixels and centred in 28. Where the images that the
network was trained on were not prepared in this way, pictures are only made
grey and scaled; --raw and --raw=false choose one way for any network. Images of
an IDX file are taken as they are.`,
		Example: `  epochal predict runs/2026-11-23_16-35-10 seven.png
  epochal predict model.safetensors --json photographs/
  epochal predict model.safetensors - < drawing.webp`,
		Args: networkArgument(1, -1, " and at least one image"),
		RunE: func(c *cobra.Command, args []string) error {
			n, err := network.openForPictures(t, c, args[0])
			if err != nil {
				return err
			}
			task := n.Description.Architecture.Task()
			p.Rows, p.Columns = task.Rows, task.Columns
			p.network, p.forward = n, model.NewForward(n.Description, n.Weights)
			if !c.Flags().Changed("raw") {
				p.Raw, p.tell = n.Description.Whole, n.Description.Whole
			}
			files, err := pictures(args[1:])
			if err != nil {
				return err
			}
			var failed []error // one picture that cannot be read does not keep the others
			for _, file := range files {
				if c.Context().Err() != nil {
					return c.Context().Err()
				}
				failed = append(failed, p.file(file))
			}
			return cmp.Or(t.failed, errors.Join(failed...))
		},
	}
	flags := command.Flags()
	flags.SortFlags = false
	flags.BoolVar(&p.json, "json", false, "print a line of JSON for each image, with all probabilities")
	flags.BoolVar(&p.Raw, "raw", false,
		"only make pictures grey and scale them; =false: prepare them as MNIST's (default: as the training images were)")
	network.add(flags)
	return command
}

// standardInput is the argument that stands for it.
const standardInput = "-"

// pictureNames are how the names of a folder's files end that are taken for pictures.
var pictureNames = []string{".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", "-idx3-ubyte", "-idx3-ubyte.gz"}

// pictures lists the files that arguments name, with those of folders in their order, and
// of the folders in these.
func pictures(args []string) (files []string, err error) {
	for _, arg := range args {
		if info, err := os.Stat(arg); arg == standardInput || err != nil || !info.IsDir() {
			files = append(files, arg)
			continue
		}
		found, err := picturesIn(arg, true)
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("%s: found no pictures in it or in the folders in it, expected files whose names end in %s",
				arg, strings.Join(pictureNames, ", "))
		}
		files = append(files, found...)
	}
	return files, nil
}

// picturesIn lists the pictures in a folder and, if wanted, in the folders in it.
func picturesIn(folder string, deeper bool) (files []string, err error) {
	entries, err := os.ReadDir(folder)
	for _, entry := range entries {
		name := filepath.Join(folder, entry.Name())
		ends := func(end string) bool { return strings.HasSuffix(strings.ToLower(entry.Name()), end) }
		switch {
		case entry.IsDir() && deeper:
			below, belowErr := picturesIn(name, false)
			files, err = append(files, below...), errors.Join(err, belowErr)
		case !entry.IsDir() && slices.ContainsFunc(pictureNames, ends):
			files = append(files, name)
		}
	}
	return files, err
}

// predictor says what is in pictures.
type predictor struct {
	*terminal
	picture.Reading
	network trained.Network
	forward *model.Forward
	json    bool
	tell    bool // that the pictures are taken whole, which the user did not ask for
}

// file says what is in the pictures of a file.
func (p *predictor) file(name string) error {
	var in io.Reader = os.Stdin
	if name != standardInput {
		file, err := regular.Open(name)
		if err != nil {
			return err
		}
		defer file.Close()
		in = file
	}
	images, many, note, err := p.Read(in, name)
	if err != nil {
		return err
	}
	if note != "" {
		p.note("%s: %s", name, note)
	}
	whole := ""
	if p.Raw && !many {
		whole = "whole"
		if p.tell {
			p.note("pictures are scaled whole, as the network's training images show whole pictures; --raw=false prepares them as MNIST's")
			p.tell = false
		}
	}
	for i, pixels := range images {
		probabilities, _ := p.forward.Run(pixels)
		if err := p.network.CheckOutput(float64(probabilities[0])); err != nil { // one that is not finite makes all NaN
			return fmt.Errorf("%s: %w", name, err)
		}
		line := prediction{File: name, Pictures: whole, Probabilities: probabilities}
		if many {
			line.Image = &i
		}
		if err := p.show(line, pixels); err != nil {
			return err
		}
	}
	return nil
}

// prediction is a line of --json.
type prediction struct {
	File          string    `json:"file"`
	Image         *int      `json:"image,omitempty"`    // its number in an IDX file, from 0
	Pictures      string    `json:"pictures,omitempty"` // "whole" if it was only scaled
	Class         int       `json:"class"`              // the most probable one
	Name          string    `json:"name"`
	Probabilities []float32 `json:"probabilities"`
}

// show prints a prediction.
func (p *predictor) show(line prediction, pixels []uint8) error {
	order := make([]int, len(line.Probabilities))
	for class := range order {
		order[class] = class
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(line.Probabilities[b], line.Probabilities[a]) })
	line.Class, line.Name = order[0], p.network.Description.ClassName(order[0])
	if p.json {
		text, err := json.Marshal(line)
		if err != nil {
			return err
		}
		return p.print(string(text) + "\n")
	}
	if columns(p.out) > p.Columns {
		p.printf("%s", halfBlocks(pixels, p.Rows, p.Columns))
	}
	name := words.Printable(line.File)
	if line.Image != nil {
		name += fmt.Sprintf(" image %d", *line.Image)
	}
	var best []string
	for _, class := range order[:min(3, len(order))] {
		name := words.Class(p.network.Description.ClassNames, class)
		best = append(best, name+" "+words.Probability(float64(line.Probabilities[class]), 2))
	}
	return p.printf("%s: %s\n", name, strings.Join(best, ", "))
}

// halfBlocks draws an image with two pixels in each character, as dots that are on or off.
func halfBlocks(pixels []uint8, rows, columns int) string {
	const bright = 100
	var text strings.Builder
	for y := 0; y < rows; y += 2 {
		for x := range columns {
			block := 0
			if pixels[y*columns+x] >= bright {
				block++
			}
			if y+1 < rows && pixels[(y+1)*columns+x] >= bright {
				block += 2
			}
			text.WriteString([]string{" ", "▀", "▄", "█"}[block])
		}
		text.WriteByte('\n')
	}
	return text.String()
}
