package main

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
	"os"
	"path/filepath"
)

// makePictures writes a folder of image files: a drawn seven as seven.png, .jpg, .gif,
// deep.png (of 16 bits) and animated.gif; empty.png; and in bad/ huge.png, with a
// header alone, and text.png.
func makePictures(folder string) error {
	files := map[string][]byte{
		"bad/text.png": []byte("This is no image."),
		"bad/huge.png": hugePNG(100_000, 100_000),
	}
	var err error
	encode := func(name string, write func(w *bytes.Buffer) error) {
		var file bytes.Buffer
		if failed := write(&file); failed != nil {
			err = failed
		}
		files[name] = file.Bytes()
	}
	size := image.Rect(0, 0, 200, 300)
	seven := drawnSeven(image.NewGray(size))
	frame, blank := image.NewPaletted(size, color.Palette{color.White, color.Black}), image.NewPaletted(size, color.Palette{color.White})
	drawnSeven(frame)
	encode("seven.png", func(w *bytes.Buffer) error { return png.Encode(w, seven) })
	encode("seven.jpg", func(w *bytes.Buffer) error { return jpeg.Encode(w, seven, nil) })
	encode("seven.gif", func(w *bytes.Buffer) error { return gif.Encode(w, frame, nil) })
	encode("deep.png", func(w *bytes.Buffer) error { return png.Encode(w, drawnSeven(image.NewGray16(size))) })
	encode("animated.gif", func(w *bytes.Buffer) error {
		return gif.EncodeAll(w, &gif.GIF{Image: []*image.Paletted{frame, blank}, Delay: []int{1, 1}})
	})
	encode("bad/empty.png", func(w *bytes.Buffer) error { return png.Encode(w, image.NewGray(size)) })
	for name, content := range files {
		path := filepath.Join(folder, name)
		if failed := os.MkdirAll(filepath.Dir(path), 0o755); failed != nil {
			return failed
		}
		if failed := os.WriteFile(path, content, 0o644); failed != nil {
			return failed
		}
	}
	return err
}

// drawnSeven draws a dark seven on a light picture of 200 by 300 pixels.
func drawnSeven(canvas draw.Image) image.Image {
	draw.Draw(canvas, canvas.Bounds(), image.White, image.Point{}, draw.Src)
	dot := func(x, y int) {
		draw.Draw(canvas, image.Rect(x-7, y-7, x+7, y+7), image.Black, image.Point{}, draw.Src)
	}
	for i := range 90 {
		dot(40+i, 70)
		dot(130-i/2, 70+2*i)
		dot(130-i/2, 71+2*i)
	}
	return canvas
}

// hugePNG is a PNG that claims a size and has no pixels.
func hugePNG(width, height uint32) []byte {
	header := binary.BigEndian.AppendUint32([]byte("IHDR"), width)
	header = append(binary.BigEndian.AppendUint32(header, height), 8, 0, 0, 0, 0)
	file := append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\r"), header...)
	return binary.BigEndian.AppendUint32(file, crc32.ChecksumIEEE(header))
}
