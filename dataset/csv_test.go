package dataset

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestOpenCSV(t *testing.T) {
	const header = "label,pixel0,pixel1,pixel2,pixel3\n"
	const sound = "train 2x2 [5 0] [0 1 20 255 6 7 8 9]"
	line := func(number int, text string) string { return fmt.Sprintf("train.csv: line %d%s", number, text) }
	const whole = ", expected a whole number, 0 to 255"
	const square = ", expected a label and a square number of pixels, as 785 are"
	const count = ", expected a label and the pixels of an image, 2 to 16777218, between commas, semicolons or tabs"

	for name, c := range map[string]struct{ file, want string }{
		"Kaggle":       {header + "5,0,1,20,255\n0,6,7,8,9\n", sound},
		"pjreddie":     {"5,0,1,20,255\n0,6,7,8,9\n", sound},
		"oddrationale": {"label,1x1,1x2,2x1,2x2\n5,0,1,20,255\n0,6,7,8,9\n", sound},
		"ARFF's quotes": {
			`"pixel1","pixel2","pixel3","pixel4","class"` + "\n0,1,20,255,5\n6,7,8,9,'0'\n", line(3, `, column 5: found "'0'"`+whole),
		},
		"OpenML":                {`"pixel1","pixel2","pixel3","pixel4","class"` + "\n0,1,20,255,5\n6,7,8,9,0\n", sound},
		"label last":            {"pixel1,pixel2,pixel3,pixel4,class\n0,1,20,255,5\n6,7,8,9,0\n", sound},
		"another name":          {"letter,p1,p2,p3,p4\n5,0,1,20,255\n0,6,7,8,9\n", sound},
		"another name, last":    {"p1,p2,p3,p4,letter\n0,1,20,255,5\n6,7,8,9,0\n", sound},
		"named by places, last": {"1x1,1x2,2x1,2x2,letter\n0,1,20,255,5\n6,7,8,9,0\n", sound},
		"numbers as names":      {"label,0,1,2,3\n5,0,1,20,255\n0,6,7,8,9\n", sound},
		"pandas' index":         {",label,0,1,2,3\n0,5,0,1,20,255\n1,0,6,7,8,9\n", sound},
		"an index of words":     {"id,p1,p2,p3,p4,Label\nx-1,0,1,20,255,5\n\"y\",6,7,8,9,0\n", sound},
		"a large index":         {"index,label,p1,p2,p3,p4\n70000,5,0,1,20,255\n,0,6,7,8,9\n", sound},
		"savetxt":               {"# label,a,b,c,d\n5,0,1,20,255\n0.000000000000000000e+00,6.000000000000000000e+00,7e0,8,9\n", sound},

		"CRLF":              {strings.ReplaceAll(header+"5,0,1,20,255\n0,6,7,8,9\n", "\n", "\r\n"), sound},
		"no last line feed": {header + "5,0,1,20,255\n0,6,7,8,9", sound},
		"only CR at last":   {header + "5,0,1,20,255\n0,6,7,8,9\r", sound},
		"byte order mark":   {"\ufeff" + header + "5,0,1,20,255\n0,6,7,8,9\n", sound},
		"mark, no header":   {"\ufeff5,0,1,20,255\n0,6,7,8,9\n", sound},
		"empty lines":       {"\n\r\n" + header + "\n5,0,1,20,255\n\r\n\n0,6,7,8,9\n\n", sound},
		"quotes":            {"\"label\",a,b,c,d\n\"5\",\"0\",\"1\",\"20\",\"255\"\n0,6,7,8,\"9\"\n", sound},
		"semicolons":        {strings.ReplaceAll(header+"5,0,1,20,255\n0,6,7,8,9\n", ",", ";"), sound},
		"tabs and blanks":   {"5\t0\t 1\t20 \t255\n0\t6\t7\t8\t9 \n", sound},
		"floats":            {header + "5.0,0.0,1.,20.000,255.0\n0,6,7,8,9\n", sound},
		"zeros, signs":      {header + "005,-0,+1,0020,2.55e2\n0,6,7,8,9\n", sound},
		"1x1":               {"3,4\n", "train 1x1 [3] [4]"},
		"named wrongly":     {"label,1x1,1x2,1x3,9x9\n2,7,8,9,1\n", "train 2x2 [2] [7 8 9 1]"},
		"gzip":              {packedText(header + "5,0,1,20,255\n0,6,7,8,9\n"), sound},
		"gzip, cut":         {packedText(header + "5,0,1,20,255\n")[:40], "train.csv: line 2: decompress: unexpected EOF"},

		"a fraction":          {header + "5,0,1,0.5,255\n", line(2, `, column 4: found "0.5"`+whole)},
		"a label of a letter": {header + "A,0,1,2,255\n", line(2, `, column 1: found "A"`+whole)},
		"256":                 {header + "5,0,1,2,3\n5,0,1,2,256\n", line(3, `, column 5: found "256"`+whole)},
		"-1":                  {"5,0,1,2,3\n\n-1,0,1,2,3\n", line(3, `, column 1: found "-1"`+whole)},
		"no value":            {header + "5,0,,2,3\n", line(2, `, column 3: found nothing`+whole)},
		"no value at last":    {header + "5,0,1,2,\n", line(2, `, column 5: found nothing`+whole)},
		"NaN":                 {header + "5,0,nan,2,3\n", line(2, `, column 3: found "nan"`+whole)},
		"hexadecimal":         {header + "5,0,0x1p4,2,3\n", line(2, `, column 3: found "0x1p4"`+whole)},
		"two numbers":         {header + "5,0,1 2,2,3\n", line(2, `, column 3: found "1 2"`+whole)},
		"one quote":           {header + "5,0,\"1,2,3\n", line(2, `, column 3: found "\"1"`+whole)},
		"a long field": {
			header + "5,0," + strings.Repeat("1", 1000) + ",2,3\n", line(2, `, column 3: found "`+strings.Repeat("1", 40)+`"`+whole),
		},
		"damage in line 1": {"5,0,x,2,3\n0,6,7,8,9\n", line(1, `, column 3: found "x"`+whole)},
		"a fraction in line 1": {
			"0,0.1,0.2,0.3,0.4\n0,6,7,8,9\n", line(1, `, column 2: found "0.1"`+whole),
		},
		"a label of another name": {
			"p1,p2,p3,p4,kind\n0,1,20,255,5\n", "train.csv: columns: found none that is named label, expected one, the first or the last",
		},
		"too few":           {header + "5,0,1,2,3\n5,0,1,2\n", line(3, ": columns: found 4, expected 5")},
		"one":               {header + "5\n", line(2, ": columns: found 1, expected 5")},
		"too many":          {header + "5,0,1,2,3,4,5\n", line(2, ": columns: found 7, expected 5")},
		"cut":               {header + "5,0,1,2,3\n5,0,1,", line(3, `, column 4: found nothing`+whole)},
		"another delimiter": {header + "5;0;1;2;3\n", line(2, `, column 1: found "5;0;1;2;3"`+whole)},
		"not square":        {"label,a,b,c\n5,0,1,2\n", "train.csv: columns: found 4" + square},
		"no pixels":         {"id,label\n1,2\n", "train.csv: columns: found 2" + square},
		"one column":        {"label\n5\n", "train.csv: columns: found 1" + count},
		"blanks between":    {"5 0 1 2 3\n", "train.csv: columns: found 1" + count},
		"too many columns":  {strings.Repeat(",", 4096*4096+2) + "\n", "train.csv: columns: found 16777219" + count},
		"label in the middle": {
			"a,b,label,c,d\n0,1,5,2,3\n", line(1, ": label: found in column 3 of 5, expected in the first or the last"),
		},
		"no labels": {
			"p0,p1,p2,p3\n0,1,2,3\n",
			"train.csv: columns: found no label, expected a column that is named label, or the label before the pixels",
		},
		"empty": {"", "train.csv: is empty"},
		"HTML": {
			"<!DOCTYPE html>\n<title>404</title>\n", "train.csv: is an HTML page: download it again, from the link to the file itself",
		},
		"a pointer":        {"version https://git-lfs.github.com/spec/v1\n", "train.csv: is a Git LFS pointer: run git lfs pull"},
		"empty lines only": {"\n\r\n", "train.csv: images: found 0, expected 1 to 2000000"},
		"header only":      {header, "train.csv: images: found 0, expected 1 to 2000000"},
		"UTF-16":           {"\xff\xfel\x00a\x00", "train.csv: found text in UTF-16, expected UTF-8: save it in that encoding"},
		"an endless line": {
			strings.Repeat("0", 4*4096*4096+2<<20), "train.csv: line 1: found more than 67108864 bytes, expected at most that many",
		},
		"too many images": {
			strings.Repeat("1,2\n", 2_000_001), "train.csv: images: found more than 2000000, expected 1 to 2000000",
		},
	} {
		t.Run(name, func(t *testing.T) {
			folder := tree(t, map[string][]byte{"train.csv": []byte(c.file)})
			f, err := openCSV(filepath.Join(folder, "train.csv"), "", Options{})
			if found := describeForm(f, err, folder); found != c.want {
				t.Errorf("\n   found %.300s\nexpected %s", found, c.want)
			}
		})
	}
}

func TestOpenCSVPairs(t *testing.T) {
	const train = "label,p0\n1,2\n"
	for name, c := range map[string]struct{ train, test, want string }{
		"both": {train, "3,4\n5,6\n", "train 1x1 [1] [2]; test 1x1 [3 5] [4 6]"},
		"no labels": {
			"label,p0,p1,p2,p3\n1,2,3,4,5\n", "p0,p1,p2,p3\n2,3,4,x\n",
			"train 2x2 [1] [2 3 4 5]; warning: test.csv: found no labels, so that its images are no test set",
		},
		"a contest's test": {
			"id,label,p0,p1,p2,p3\n1,1,2,3,4,5\n", "id,p0,p1,p2,p3\n0,2,3,4,5\n",
			"train 2x2 [1] [2 3 4 5]; warning: test.csv: found no labels, so that its images are no test set",
		},
		"both at fault": {
			"label,p0\n1,x\n", "label,p0\n1\n",
			"train.csv: line 2, column 2: found \"x\", expected a whole number, 0 to 255\ntest.csv: line 2: columns: found 1, expected 2",
		},
	} {
		folder := tree(t, map[string][]byte{"train.csv": []byte(c.train), "test.csv": []byte(c.test)})
		f, err := openCSV(filepath.Join(folder, "train.csv"), filepath.Join(folder, "test.csv"), Options{})
		if found := describeForm(f, err, folder); found != c.want {
			t.Errorf("%s:\n   found %s\nexpected %s", name, found, c.want)
		}
		if two := f.test.count > 0; err == nil && two != (f.kind == "two CSV files") {
			t.Errorf("%s: found the kind %s", name, f.kind)
		}
	}
	_, err := openCSV("none/train.csv", "none/test.csv", Options{})
	const want = "none/train.csv: no such file or directory\nnone/test.csv: no such file or directory"
	if err == nil || err.Error() != want {
		t.Errorf("\n   found %v\nexpected %s", err, want)
	}
}

// packedText is a text in gzip.
func packedText(text string) string {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	w.Write([]byte(text))
	w.Close()
	return packed.String()
}

// csvOf writes images in the manner of pandas.
func csvOf(s Set, count int) []byte {
	var text bytes.Buffer
	text.WriteString("label")
	for i := range s.Rows * s.Columns {
		fmt.Fprintf(&text, ",pixel%d", i)
	}
	for i := range count {
		text.WriteByte('\n')
		text.WriteString(strconv.Itoa(int(s.Labels[i])))
		for _, pixel := range s.Image(i) {
			text.WriteByte(',')
			text.Write(strconv.AppendInt(text.AvailableBuffer(), int64(pixel), 10))
		}
	}
	text.WriteByte('\n')
	return text.Bytes()
}

// Lines are parsed in pieces, so there must be enough of them for several pieces.
func TestOpenCSVOfMNIST(t *testing.T) {
	d, err := Read(MNIST, Options{})
	if err != nil {
		t.Fatal(err)
	}
	train := d.Train
	train.Labels, train.Pixels = train.Labels[:5000], train.Pixels[:5000*784]
	test := d.Test
	test.Labels, test.Pixels = test.Labels[:1000], test.Pixels[:1000*784]
	text := csvOf(train, train.Len())
	damaged := bytes.Clone(text)
	damaged[len(damaged)-2] = 'x'

	folder := tree(t, map[string][]byte{"train.csv": text, "test.csv": csvOf(test, test.Len()), "damaged.csv": damaged})
	last := 0
	f, err := openCSV(filepath.Join(folder, "train.csv"), filepath.Join(folder, "test.csv"), Options{Progress: func(done, total int) {
		if done < last || total < done || total > 7000 {
			t.Errorf("found progress to %d of %d after %d, expected about 6000", done, total, last)
		}
		last = done
	}})
	if err != nil {
		t.Fatal(err)
	}
	if last != 6000 {
		t.Errorf("found %d images at the end of the progress, expected 6000", last)
	}
	checkPart(t, f.train, train)
	checkPart(t, f.test, test)

	_, err = openCSV(filepath.Join(folder, "damaged.csv"), "", Options{})
	want := fmt.Sprintf("%s: line 5001, column 785: found \"x\", expected a whole number, 0 to 255", filepath.Join(folder, "damaged.csv"))
	if err == nil || err.Error() != want {
		t.Errorf("\n   found %v\nexpected %s", err, want)
	}
}

func FuzzOpenCSV(f *testing.F) {
	for _, text := range []string{
		"label,pixel0,pixel1,pixel2,pixel3\n5,0,1,20,255\n0,6,7,8,9\n",
		"label,1x1,1x2,1x3\n2,7,8,9\n",
		"5,0,1,20,255\r\n0,6,7,8,9\r\n",
		"\"pixel1\",\"class\"\n\"0\",'5'\n",
		",label,0,1,2,3\n0,5,0,1,20,255",
		"\ufeffid;p1;y\nx;255.0;2.0e+00\n\n",
		"3\t4\n4\t 5\n6\t256\n",
		"\xff\xfe1\x00,\x00",
		packedText("1,2\n"),
	} {
		f.Add([]byte(text))
	}
	file := filepath.Join(f.TempDir(), "fuzz.csv")
	again := filepath.Join(f.TempDir(), "again.csv")
	f.Fuzz(func(t *testing.T, content []byte) {
		if err := os.WriteFile(file, content, 0o644); err != nil {
			t.Fatal(err)
		}
		before := allocatedBytes()
		opened, err := openCSV(file, "", Options{Progress: func(done, total int) {}})
		checkFuzzedForm(t, opened, err, file, before, 16<<20+5000*uint64(len(content)))
		if err != nil || opened.train.rows != opened.train.columns {
			return
		}
		// What was read is the same when it is written plainly and read again.
		opened, _ = openCSV(file, "", Options{})
		pixels, _ := opened.train.pixels(func(int, int) {})
		set := Set{Pixels: pixels, Labels: opened.train.labels, Rows: opened.train.rows, Columns: opened.train.columns}
		if err := os.WriteFile(again, csvOf(set, set.Len()), 0o644); err != nil {
			t.Fatal(err)
		}
		opened, err = openCSV(again, "", Options{})
		if err != nil {
			t.Fatal(err)
		}
		checkPart(t, opened.train, set)
	})
}

func BenchmarkOpenCSV(b *testing.B) {
	d, err := Read(MNIST, Options{})
	if err != nil {
		b.Fatal(err)
	}
	folder := tree(b, map[string][]byte{"train.csv": csvOf(d.Train, 60_000)})
	for b.Loop() {
		f, err := openCSV(filepath.Join(folder, "train.csv"), "", Options{})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := f.train.pixels(func(int, int) {}); err != nil {
			b.Fatal(err)
		}
	}
}
