package picture_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/draw"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"epochal/experiments/picture"

	"golang.org/x/image/bmp"
)

// encoded are the same few pixels in every format.
func encoded(t testing.TB) map[string][]byte {
	t.Helper()
	size := image.Rect(0, 0, 40, 30)
	grey := stroke(image.NewGray(image.Rect(0, 0, 160, 160)), color.White, color.Black)
	deep := stroke(image.NewGray16(image.Rect(0, 0, 160, 160)), color.White, color.Black)
	frame := image.NewPaletted(size, color.Palette{color.White, color.Black})
	frame.Pix[5] = 1
	files := map[string][]byte{}
	save := func(name string, encode func(w io.Writer) error) {
		var file bytes.Buffer
		if err := encode(&file); err != nil {
			t.Fatal(err)
		}
		files[name] = file.Bytes()
	}
	save("png", func(w io.Writer) error { return png.Encode(w, grey) })
	save("16-bit png", func(w io.Writer) error { return png.Encode(w, deep) })
	save("jpeg", func(w io.Writer) error { return jpeg.Encode(w, grey, nil) })
	save("bmp", func(w io.Writer) error { return bmp.Encode(w, grey) })
	save("gif", func(w io.Writer) error { return gif.Encode(w, frame, nil) })
	animation := &gif.GIF{Image: []*image.Paletted{frame, frame, frame}, Delay: []int{1, 1, 1}}
	save("animated gif", func(w io.Writer) error { return gif.EncodeAll(w, animation) })
	for _, name := range []string{"cmyk.jpg", "lossless.webp"} { // written by Pillow
		content, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		files[name] = content
	}
	return files
}

func TestDecodeReadsEveryFormat(t *testing.T) {
	for name, content := range encoded(t) {
		img, note, err := picture.Decode(bytes.NewReader(content), name)
		if err != nil || img.Bounds().Dx() < 16 {
			t.Errorf("%s: found %v and error %v", name, img, err)
			continue
		}
		if _, err := picture.Prepare(img, 28, 28); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		want := ""
		if name == "animated gif" {
			want = "an animated GIF, of which only the first image is used"
		}
		if note != want {
			t.Errorf("%s: found the note %q, expected %q", name, note, want)
		}
	}
}

// A telephone takes every picture alike and notes how it was held.
func TestDecodeTurnsPhotographsUpright(t *testing.T) {
	upright := image.NewGray(image.Rect(0, 0, 48, 32)) // an L
	draw.Draw(upright, image.Rect(8, 0, 16, 32), image.White, image.Point{}, draw.Src)
	draw.Draw(upright, image.Rect(8, 24, 40, 32), image.White, image.Point{}, draw.Src)
	for orientation, stored := range []func(x, y int) (int, int){ // where the camera stores what belongs at x, y
		1: func(x, y int) (int, int) { return x, y },
		2: func(x, y int) (int, int) { return 47 - x, y },
		3: func(x, y int) (int, int) { return 47 - x, 31 - y },
		4: func(x, y int) (int, int) { return x, 31 - y },
		5: func(x, y int) (int, int) { return y, x },
		6: func(x, y int) (int, int) { return y, 47 - x },
		7: func(x, y int) (int, int) { return 31 - y, 47 - x },
		8: func(x, y int) (int, int) { return 31 - y, x },
	} {
		if stored == nil {
			continue
		}
		right, down := stored(47, 31)
		left, top := stored(0, 0)
		camera := image.NewGray(image.Rect(0, 0, max(left, right)+1, max(top, down)+1))
		for y := range 32 {
			for x := range 48 {
				at, below := stored(x, y)
				camera.SetGray(at, below, upright.GrayAt(x, y))
			}
		}
		var file bytes.Buffer
		if err := jpeg.Encode(&file, camera, &jpeg.Options{Quality: 100}); err != nil {
			t.Fatal(err)
		}
		const start, value, end = "\xff\xe1\x00\x22Exif\x00\x00", "\x00\x00\x00", "\x00\x00\x00\x00\x00\x00"
		for _, exif := range []string{
			start + "MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03" + value + "\x01\x00" + string(rune(orientation)) + end,
			start + "II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01" + value + string(rune(orientation)) + "\x00" + end,
		} {
			content := slices.Concat(file.Bytes()[:2], []byte(exif), file.Bytes()[2:])
			img, _, err := picture.Decode(bytes.NewReader(content), "x")
			if err != nil {
				t.Fatal(err)
			}
			found, want := picture.Raw(img, 32, 48), picture.Raw(upright, 32, 48)
			for i := range want {
				if difference := int(found[i]) - int(want[i]); difference < -9 || difference > 9 {
					t.Errorf("orientation %d: found %d at %d, %d, expected %d", orientation, found[i], i%48, i/48, want[i])
					break
				}
			}
		}
	}
}

// hugePNG has nothing but a header.
func hugePNG(width, height uint32) []byte {
	header := binary.BigEndian.AppendUint32([]byte("IHDR"), width)
	header = append(binary.BigEndian.AppendUint32(header, height), 8, 0, 0, 0, 0)
	file := append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\r"), header...)
	return binary.BigEndian.AppendUint32(file, crc32.ChecksumIEEE(header))
}

// emptyGIF is a GIF whose screen has pixels, and whose first image has none.
const emptyGIF = "GIF89a\x0a\x00\x0a\x00\x80\x00\x00" + "\x00\x00\x00\xff\xff\xff" +
	"\x2c\x00\x00\x00\x00\x00\x00\x00\x00\x00" + "\x02\x01\x05\x00"

func TestDecodeRefuses(t *testing.T) {
	good := encoded(t)
	for _, c := range []struct {
		name string
		file []byte
		want string
	}{
		{"nothing", nil, "x: found no image, expected PNG, JPEG, GIF, BMP or WebP"},
		{"a text", []byte("hello, this is not an image at all"), "x: found no image, expected PNG, JPEG, GIF, BMP or WebP"},
		{"a huge header", hugePNG(100_000, 100_000), "x: found an image of 100000 by 100000 pixels, expected 1 to 67108864 pixels in all"},
		{"a huge side", hugePNG(1<<31-1, 1), "x: found an image of 2147483647 by 1 pixels, expected 1 to 67108864 pixels in all"},
		{"no pixel", []byte(emptyGIF), "x: found an image of 0 by 0 pixels, expected at least one"},
		{"cut short", good["png"][:60], "x: png: invalid format: not enough pixel data"},
		{"cut in the header", good["jpeg"][:20], "x: unexpected EOF"},
	} {
		img, _, err := picture.Decode(bytes.NewReader(c.file), "x")
		if img != nil || err == nil || err.Error() != c.want {
			t.Errorf("%s: found error %v, expected %s", c.name, err, c.want)
		}
	}
}

// The header of an IDX file is enough to refuse images of another size.
func TestReadRefusesBySize(t *testing.T) {
	header := []byte{0, 0, 8, 3, 0, 0, 0, 60, 0, 0, 16, 0, 0, 0, 16, 0} // and no pixels
	_, _, _, err := picture.Reading{Rows: 28, Columns: 28}.Read(bytes.NewReader(header), "x")
	if want := "x: found images of 4096x4096 pixels, expected 28x28 as the network takes"; err == nil || err.Error() != want {
		t.Errorf("found error %v, expected %s", err, want)
	}
}

func FuzzDecode(f *testing.F) {
	for _, content := range encoded(f) {
		f.Add(content)
	}
	f.Add(hugePNG(100_000, 100_000))
	f.Add([]byte(emptyGIF))
	f.Fuzz(func(t *testing.T, data []byte) {
		// Millions of pixels may come from few bytes. That is allowed, but slow.
		if config, _, err := image.DecodeConfig(bytes.NewReader(data)); err == nil && config.Width*config.Height > 1<<20 {
			return
		}
		img, _, err := picture.Decode(bytes.NewReader(data), "x")
		if err != nil {
			if !strings.HasPrefix(err.Error(), "x: ") || strings.Contains(err.Error(), "\n") {
				t.Errorf("found error %q, expected one line with the name", err)
			}
			return
		}
		if pixels, err := picture.Prepare(img, 28, 28); err == nil && len(pixels) != 784 {
			t.Errorf("found %d pixels", len(pixels))
		}
		picture.Raw(img, 28, 28)
	})
}
