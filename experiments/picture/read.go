package picture

import (
	"bufio"
	"bytes"
	"fmt"
	"image"
	"io"

	"epochal/dataset"
)

// Reading says what the pictures in a file are made into.
type Reading struct {
	Rows, Columns int  // of an image that the network takes
	Raw           bool // [Raw] instead of [Prepare]
}

// Image makes a picture into an image, [rows*columns]. Only without Raw can it fail,
// with [ErrEmpty].
func (o Reading) Image(img image.Image) ([]uint8, error) {
	if o.Raw {
		return Raw(img, o.Rows, o.Columns), nil
	}
	return Prepare(img, o.Rows, o.Columns)
}

// Read reads a file of one image, or of many: IDX, plain or gzipped, whose images are
// taken as they are and must have the network's size. name is for errors; note is
// [Decode]'s. The images are [rows*columns] each; many reports an IDX file.
func (o Reading) Read(r io.Reader, name string) (images [][]uint8, many bool, note string, err error) {
	buffered := bufio.NewReader(r)
	start, _ := buffered.Peek(4) // an error shows again at the first read
	if bytes.Equal(start, []byte{0, 0, 8, 3}) || bytes.HasPrefix(start, []byte{0x1f, 0x8b}) {
		images, err := dataset.ReadImages(buffered, name, func(rows, columns int) error {
			if rows != o.Rows || columns != o.Columns {
				return fmt.Errorf("%s: found images of %dx%d pixels, expected %dx%d as the network takes", name, rows, columns, o.Rows, o.Columns)
			}
			return nil
		})
		return images, true, "", err
	}
	img, note, err := Decode(buffered, name)
	if err != nil {
		return nil, false, "", err
	}
	pixels, err := o.Image(img)
	if err != nil {
		return nil, false, "", fmt.Errorf("%s: %w", name, err)
	}
	return [][]uint8{pixels}, false, note, nil
}
