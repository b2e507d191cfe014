package picture_test

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"epochal/dataset"
	"epochal/experiments/picture"
	"epochal/model"

	xdraw "golang.org/x/image/draw"
)

// photograph is what somebody might send who wrote a digit on paper: large, dark on
// light, somewhere in the picture, with the grain and the shadow of a photograph, and
// as a JPEG.
func photograph(t *testing.T, random *rand.Rand, digit []byte) image.Image {
	t.Helper()
	from := &image.Gray{Pix: digit, Stride: 28, Rect: image.Rect(0, 0, 28, 28)}
	photo := image.NewGray(image.Rect(0, 0, 240, 320))
	side := 80 + random.IntN(120)
	corner := image.Pt(random.IntN(240-side), random.IntN(320-side))
	xdraw.CatmullRom.Scale(photo, image.Rectangle{Min: corner, Max: corner.Add(image.Pt(side, side))}, from, from.Rect, xdraw.Src, nil)
	paper, pen, shadow := 180+random.Float64()*70, 20+random.Float64()*60, random.Float64()*20
	for i, ink := range photo.Pix {
		y := paper - (paper-pen)*float64(ink)/255 - shadow*float64(i)/float64(len(photo.Pix)) + 3*random.NormFloat64()
		photo.Pix[i] = uint8(min(255, max(0, y)))
	}
	var file bytes.Buffer
	if err := jpeg.Encode(&file, photo, nil); err != nil {
		t.Fatal(err)
	}
	img, _, err := picture.Decode(&file, "photograph")
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// What a network has learnt of MNIST is worth as much for photographs, once they are prepared.
func TestPreparedPhotographsAreRecognized(t *testing.T) {
	const images, tolerance = 200, 0.02
	file, err := os.Open("../train/testdata/golden/final.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	description, weights, err := model.ReadModel(file, "final.safetensors", model.Hints{
		Normalization: &model.Normalization{Mean: 0.1307, Deviation: 0.3081},
	})
	if err != nil {
		t.Fatal(err)
	}
	mnist, err := dataset.Read(dataset.MNIST, dataset.Options{})
	if err != nil {
		t.Fatal(err)
	}
	forward := model.NewForward(description, weights)
	recognized := func(pixels []uint8, label uint8) float64 {
		probabilities, _ := forward.Run(pixels)
		if probabilities[label] == slices.Max(probabilities) {
			return 1.0 / images
		}
		return 0
	}
	random := rand.New(rand.NewPCG(1, 1))
	var untouched, prepared, raw float64
	for i := range images {
		digit, label := mnist.Test.Image(i), mnist.Test.Labels[i]
		untouched += recognized(digit, label)
		photo := photograph(t, random, digit)
		pixels, err := picture.Prepare(photo, 28, 28)
		if err != nil {
			t.Fatalf("image %d: %v", i, err)
		}
		prepared += recognized(pixels, label)
		raw += recognized(picture.Raw(photo, 28, 28), label)
	}
	t.Logf("accuracy of %d digits: untouched %.3f; photographed: prepared %.3f, without preparation %.3f", images, untouched, prepared, raw)
	if prepared < untouched-tolerance {
		t.Errorf("found accuracy %.3f after preparation, expected within %v of %.3f", prepared, tolerance, untouched)
	}
	if raw > untouched/2 {
		t.Errorf("found accuracy %.3f without preparation, expected a fraction of %.3f: are these photographs?", raw, untouched)
	}
}

// What Prepare makes, as the draw page saves it, looks prepared; pictures that were only scaled do not.
func TestPreparedImagesAreCentred(t *testing.T) {
	const images = 200
	mnist, err := dataset.Read(dataset.MNIST, dataset.Options{})
	if err != nil {
		t.Fatal(err)
	}
	prepared := dataset.Set{Labels: mnist.Test.Labels[:images], Rows: 28, Columns: 28}
	raw := prepared
	random := rand.New(rand.NewPCG(2, 2))
	for i := range images {
		photo := photograph(t, random, mnist.Test.Image(i))
		pixels, err := picture.Prepare(photo, 28, 28)
		if err != nil {
			t.Fatal(err)
		}
		prepared.Pixels, raw.Pixels = append(prepared.Pixels, pixels...), append(raw.Pixels, picture.Raw(photo, 28, 28)...)
	}
	if !prepared.Centred() || raw.Centred() {
		t.Errorf("found %t prepared and %t without, expected true and false", prepared.Centred(), raw.Centred())
	}
}

// stroke is a vertical bar of one colour on another.
func stroke(canvas draw.Image, ink, paper color.Color) image.Image {
	draw.Draw(canvas, canvas.Bounds(), image.NewUniform(paper), image.Point{}, draw.Src)
	bar := image.Rect(60, 30, 75, 130).Add(canvas.Bounds().Min)
	draw.Draw(canvas, bar, image.NewUniform(ink), image.Point{}, draw.Src)
	return canvas
}

func TestPrepareKnowsInkFromPaper(t *testing.T) {
	size := image.Rect(0, 0, 200, 160)
	white, black, clear := color.White, color.Black, color.Transparent
	want, err := picture.Prepare(stroke(image.NewGray(size), white, black), 28, 28)
	if err != nil {
		t.Fatal(err)
	}
	for y := range 28 {
		for x := range 28 {
			inside := x >= 13 && x < 16 && y >= 4 && y < 24 // 3 by 20 pixels in the middle
			if found := want[28*y+x]; inside && found < 250 || !inside && found > 5 {
				t.Errorf("found %d at %d, %d of the stroke", found, x, y)
			}
		}
	}
	for name, img := range map[string]image.Image{
		"dark on light":                stroke(image.NewGray(size), black, white),
		"grey on grey":                 stroke(image.NewRGBA(size), color.Gray{Y: 90}, color.Gray{Y: 140}),
		"blue on yellow":               stroke(image.NewRGBA(size), color.RGBA{B: 255, A: 255}, color.RGBA{R: 255, G: 255, A: 255}),
		"dark on transparent":          stroke(image.NewNRGBA(size), black, clear),
		"light on transparent":         stroke(image.NewNRGBA(size), white, clear),
		"16 bits":                      stroke(image.NewRGBA64(size), black, white),
		"CMYK":                         stroke(image.NewCMYK(size), black, white),
		"a part of a larger image":     stroke(image.NewGray(size.Add(image.Pt(-7, 13))), black, white),
		"a transparent frame of paper": framed(stroke(image.NewNRGBA(size), black, white)),
	} {
		found, err := picture.Prepare(img, 28, 28)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for i := range want {
			if difference := int(found[i]) - int(want[i]); difference < -3 || difference > 3 {
				t.Errorf("%s: found %v, expected %v", name, found, want)
				break
			}
		}
	}
}

// framed makes the outermost pixels of a picture transparent.
func framed(img image.Image) image.Image {
	canvas := image.NewNRGBA(img.Bounds())
	draw.Draw(canvas, canvas.Rect.Inset(5), img, canvas.Rect.Inset(5).Min, draw.Src)
	return canvas
}

// Nothing is cut off, whatever the shape of what is drawn and of the images.
func TestPrepareFits(t *testing.T) {
	for _, size := range []struct{ rows, columns int }{{28, 28}, {3, 4}, {1, 1}, {16, 64}} {
		for _, bar := range []image.Rectangle{
			image.Rect(0, 0, 1, 1), image.Rect(99, 0, 100, 50), image.Rect(0, 40, 100, 41), image.Rect(10, 10, 90, 30),
		} {
			canvas := image.NewGray(image.Rect(0, 0, 100, 50))
			draw.Draw(canvas, bar, image.White, image.Point{}, draw.Src)
			pixels, err := picture.Prepare(canvas, size.rows, size.columns)
			if err != nil || len(pixels) != size.rows*size.columns || slices.Max(pixels) != 255 {
				t.Errorf("%v in %v: found %v and error %v", bar, size, pixels, err)
			}
		}
	}
}

func TestPrepareRefusesAnEmptyPicture(t *testing.T) {
	size := image.Rect(0, 0, 40, 30)
	noise := image.NewGray(size)
	for i := range noise.Pix {
		noise.Pix[i] = uint8(200 + i*7%11)
	}
	for name, img := range map[string]image.Image{
		"black": image.NewGray(size), "transparent": image.NewNRGBA(size), "noise": noise,
	} {
		if _, err := picture.Prepare(img, 28, 28); !errors.Is(err, picture.ErrEmpty) {
			t.Errorf("%s: found error %v, expected that it is empty", name, err)
		}
	}
}

func TestRawLeavesAnImageOfThatSizeAlone(t *testing.T) {
	img := image.NewGray(image.Rect(0, 0, 28, 28))
	for i := range img.Pix {
		img.Pix[i] = uint8(i)
	}
	if found := picture.Raw(img, 28, 28); !slices.Equal(found, img.Pix) {
		t.Errorf("found %v, expected %v", found, img.Pix)
	}
	canvas := stroke(image.NewNRGBA(image.Rect(0, 0, 200, 160)), color.White, color.Transparent)
	if found := picture.Raw(canvas, 1, 3); found[1] == 0 || found[2] != 0 {
		t.Errorf("found %v, expected a dark right side", found)
	}
}
