package picture

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	_ "image/gif"
	_ "image/jpeg"
	_ "image/png"
	"io"

	_ "golang.org/x/image/bmp"
	xdraw "golang.org/x/image/draw"
	"golang.org/x/image/math/f64"
	_ "golang.org/x/image/webp"
)

// Limits on an image file.
const (
	MaxPixels = 64 << 20  // 64 megapixels: more than telephones take
	MaxBytes  = 256 << 20 // of the file
)

// Decode reads a PNG, JPEG, GIF, BMP or WebP image, whatever its name ends in; a
// photograph is turned as the telephone was held. name is for errors. note is what the
// user should know of how the image was read, "" for nothing. An image of more than
// [MaxPixels] is refused by its header, and one without a pixel once it is decoded.
func Decode(r io.Reader, name string) (img image.Image, note string, err error) {
	defer func() {
		if errors.Is(err, image.ErrFormat) {
			err = errors.New("found no image, expected PNG, JPEG, GIF, BMP or WebP")
		}
		if err != nil {
			img, err = nil, fmt.Errorf("%s: %w", name, err)
		}
	}()
	var header bytes.Buffer
	limited := io.LimitReader(r, MaxBytes)
	config, _, err := image.DecodeConfig(io.TeeReader(limited, &header))
	if err != nil {
		return nil, "", err
	}
	if config.Width < 1 || config.Height < 1 || config.Width > MaxPixels/config.Height {
		return nil, "", fmt.Errorf("found an image of %d by %d pixels, expected 1 to %d pixels in all", config.Width, config.Height, MaxPixels)
	}
	turn := orientation(header.Bytes())
	// The GIF decoder takes no more from a buffered reader than the first image.
	rest := bufio.NewReader(io.MultiReader(&header, limited))
	img, format, err := image.Decode(rest)
	if err != nil {
		return nil, "", err
	}
	if size := img.Bounds(); size.Empty() { // which a GIF's header does not tell
		return nil, "", fmt.Errorf("found an image of %d by %d pixels, expected at least one", size.Dx(), size.Dy())
	}
	if next, _ := rest.Peek(2); format == "gif" && (bytes.HasPrefix(next, gifImage) || bytes.Equal(next, gifControl)) {
		note = "an animated GIF, of which only the first image is used"
	}
	if format == "jpeg" {
		img = upright(img, turn)
	}
	return img, note, nil
}

// How another image of a GIF begins, as section 20 and 23 of its specification say.
var (
	gifImage   = []byte{0x2c}
	gifControl = []byte{0x21, 0xf9}
)

// orientation is the tag of that name in the Exif data at the start of a JPEG, 1 to 8;
// 1, upright, if it has none.
func orientation(header []byte) int {
	const tag, entrySize = 0x0112, 12
	_, tiff, ok := bytes.Cut(header, []byte("Exif\x00\x00"))
	if !ok || len(tiff) < 8 {
		return 1
	}
	var order binary.ByteOrder = binary.BigEndian
	if tiff[0] == 'I' { // Intel
		order = binary.LittleEndian
	}
	first := int64(order.Uint32(tiff[4:]))
	if first+2 > int64(len(tiff)) {
		return 1
	}
	count, entries := order.Uint16(tiff[first:]), tiff[first+2:]
	for ; count > 0 && len(entries) >= entrySize; count, entries = count-1, entries[entrySize:] {
		if value := order.Uint16(entries[8:]); order.Uint16(entries) == tag && value >= 1 && value <= 8 {
			return int(value)
		}
	}
	return 1
}

// turns are how x and y of a pixel become those of the upright picture, by
// orientation: the factors of x and y in each. Where one is negative, the side is added.
var turns = [9][4]float64{
	1: {1, 0, 0, 1}, 2: {-1, 0, 0, 1}, 3: {-1, 0, 0, -1}, 4: {1, 0, 0, -1},
	5: {0, 1, 1, 0}, 6: {0, -1, 1, 0}, 7: {0, -1, -1, 0}, 8: {0, 1, -1, 0},
}

// upright turns a picture of some orientation.
func upright(img image.Image, orientation int) image.Image {
	if orientation == 1 {
		return img
	}
	t, size := turns[orientation], img.Bounds().Size()
	turned := image.Rectangle{Max: size}
	if t[0] == 0 {
		turned.Max = image.Pt(size.Y, size.X)
	}
	side := func(x, y float64) float64 { return max(0, -x)*float64(size.X) + max(0, -y)*float64(size.Y) }
	to := image.NewRGBA(turned)
	matrix := f64.Aff3{t[0], t[1], side(t[0], t[1]), t[2], t[3], side(t[2], t[3])}
	xdraw.NearestNeighbor.Transform(to, matrix, img, img.Bounds(), xdraw.Src, nil)
	return to
}
