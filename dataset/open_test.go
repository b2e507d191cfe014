package dataset_test

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"epochal/dataset"

	"github.com/google/go-cmp/cmp"
	"github.com/ulikunitz/xz"
)

// archive is a .zip of files, in their order: name, content, name, content.
func archive(files ...string) []byte {
	var packed bytes.Buffer
	w := zip.NewWriter(&packed)
	for i := 0; i < len(files); i += 2 {
		member, err := w.Create(files[i])
		if err != nil {
			panic(err)
		}
		member.Write([]byte(files[i+1]))
	}
	w.Close()
	return packed.Bytes()
}

func packXZ(file []byte) []byte {
	var packed bytes.Buffer
	w, err := xz.NewWriter(&packed)
	if err != nil {
		panic(err)
	}
	w.Write(file)
	w.Close()
	return packed.Bytes()
}

// table is QMNIST's file of labels, with seven other numbers for each image.
func table(labels ...int) []byte {
	var values []byte
	for _, label := range labels {
		for column := range 8 {
			values = binary.BigEndian.AppendUint32(values, uint32(label+column*1000))
		}
	}
	return encode(0xc02, []uint32{uint32(len(labels)), 8}, values)
}

// under returns files with a folder or the start of a name before each.
func under(prefix string, files map[string][]byte) map[string][]byte {
	all := map[string][]byte{}
	for name, content := range files {
		all[prefix+name] = content
	}
	return all
}

func joined(all ...map[string][]byte) map[string][]byte {
	files := map[string][]byte{}
	for _, some := range all {
		files = with(files, some)
	}
	return files
}

// packedAs is a small set with every file packed.
func packedAs(ending string, pack func([]byte) []byte) map[string][]byte {
	files := map[string][]byte{}
	for name, content := range small() {
		files[name+ending] = pack(content)
	}
	return files
}

// emnist is a split of EMNIST.
func emnist(split string, train, test []byte) map[string][]byte {
	return map[string][]byte{
		"emnist-" + split + "-train-images-idx3-ubyte": imagesFile(len(train), 3, 5, pattern(15*len(train))),
		"emnist-" + split + "-train-labels-idx1-ubyte": labelsFile(train...),
		"emnist-" + split + "-test-images-idx3-ubyte":  imagesFile(len(test), 3, 5, pattern(15*len(test))),
		"emnist-" + split + "-test-labels-idx1-ubyte":  labelsFile(test...),
	}
}

// labelled is a set with these labels.
func labelled(train, test []byte) map[string][]byte {
	return map[string][]byte{
		trainImages: imagesFile(len(train), 3, 5, pattern(15*len(train))), trainLabels: labelsFile(train...),
		testImages: imagesFile(len(test), 3, 5, pattern(15*len(test))), testLabels: labelsFile(test...),
	}
}

// place writes files to a new folder, and returns its path.
func place(t testing.TB, files map[string][]byte) string {
	t.Helper()
	path := t.TempDir()
	for name, content := range files {
		name = filepath.Join(path, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// everything returns each of the labels below n.
func everything(n int) []byte {
	labels := make([]byte, n)
	for i := range labels {
		labels[i] = byte(i)
	}
	return labels
}

func TestOpenWhatPeopleHave(t *testing.T) {
	const smallRead = "four IDX files: 7 and 2 images of 3x5, 5 classes"
	smallDigest := digestOf(t, small())
	letters := emnist("letters", everything(27)[1:], []byte{1, 26})
	gzipZIP := func() []byte {
		var files []string
		for _, split := range []string{"letters", "digits"} {
			for name, content := range emnist(split, []byte{1, 2, 3}, []byte{1}) {
				files = append(files, "gzip/"+name+".gz", string(pack(content)))
			}
		}
		return archive(files...)
	}()
	const sideways = "DATA: EMNIST's images lie on their side: transposed; --transpose=false leaves them"
	for name, c := range map[string]struct {
		files   map[string][]byte
		at      string // below the folder
		o       dataset.Options
		want    string // what it is read as, its counts, its size
		names   string // of classes
		digest  string // "": any
		warning []string
	}{
		"MNIST": {files: small(), want: smallRead, digest: smallDigest},
		"xz":    {files: packedAs(".xz", packXZ), want: smallRead, digest: smallDigest},
		"zip": {files: packedAs(".zip", func(b []byte) []byte { return archive("x/", "", "__MACOSX/._x", "m", "x/anything", string(b)) }),
			want: smallRead, digest: smallDigest},
		"gz in zip": {files: packedAs(".zip", func(b []byte) []byte { return archive("file.gz", string(pack(b))) }),
			want: smallRead, digest: smallDigest},
		"unpacked": {files: under("x/archive/", joined(small(), map[string][]byte{"../LICENSE": {1}, "../__MACOSX/x": {1}})),
			want: smallRead, digest: smallDigest},
		"torchvision's root":   {files: under("MNIST/raw/", small()), want: smallRead, digest: smallDigest},
		"torchvision's KMNIST": {files: under("KMNIST/raw/", small()), at: "KMNIST", want: smallRead},
		"torchvision beside others": {
			files: joined(under("FashionMNIST/raw/", packedAs(".gz", pack)), map[string][]byte{"cifar/a": {1}, "b": {2}}),
			want:  smallRead, digest: smallDigest},
		"QMNIST": {files: map[string][]byte{
			"qmnist-train-images-idx3-ubyte.gz": pack(small()[trainImages]), "qmnist-train-labels-idx2-int.gz": pack(table(0, 1, 2, 3, 4, 0, 1)),
			"qmnist-test-images-idx3-ubyte": small()[testImages], "qmnist-test-labels-idx2-int": table(4, 0), "xnist-images-idx3-ubyte.xz": {1},
		}, want: smallRead, digest: smallDigest},
		"a zip of four": {files: map[string][]byte{"all.zip": archive(trainImages, string(small()[trainImages]), "a/"+trainLabels,
			string(small()[trainLabels]), testImages+".gz", string(pack(small()[testImages])), testLabels, string(small()[testLabels]))},
			want: "four IDX files in a .zip: 7 and 2 images of 3x5, 5 classes", digest: smallDigest},
		"EMNIST's gzip.zip": {files: map[string][]byte{"gzip.zip": gzipZIP}, at: "gzip.zip", o: dataset.Options{Split: "digits"},
			want:    "four IDX files in a .zip: 3 and 1 images of 5x3, 4 classes",
			warning: []string{sideways, "DATA: the labels start at 1: class 0 has no image, and is one of the 4 classes nevertheless"}},
		"EMNIST's letters": {files: joined(letters, emnist("balanced", everything(47), []byte{46})), o: dataset.Options{Split: "letters"},
			want: "four IDX files: 26 and 2 images of 5x3, 27 classes", names: "N/A a b c d e f g h i j k l m n o p q r s t u v w x y z",
			warning: []string{sideways}},
		"EMNIST's balanced": {files: joined(letters, emnist("balanced", everything(47), []byte{46})),
			o:     dataset.Options{Split: "Balanced", Transpose: "false"},
			want:  "four IDX files: 47 and 1 images of 3x5, 47 classes",
			names: "0 1 2 3 4 5 6 7 8 9 A B C D E F G H I J K L M N O P Q R S T U V W X Y Z a b d e f g h n q r t"},
		"EMNIST's byclass alone": {files: emnist("byclass", everything(62), []byte{61}),
			want: "four IDX files: 62 and 1 images of 5x3, 62 classes",
			names: "0 1 2 3 4 5 6 7 8 9 A B C D E F G H I J K L M N O P Q R S T U V W X Y Z " +
				"a b c d e f g h i j k l m n o p q r s t u v w x y z",
			warning: []string{sideways}},
		"EMNIST's mnist": {files: emnist("mnist", everything(10), []byte{9}),
			want: "four IDX files: 10 and 1 images of 5x3, 10 classes", warning: []string{sideways}},
		"classes.txt": {files: joined(small(), map[string][]byte{"classes.txt": []byte("\ufeffan ant\r\nbee\nc\nd\ne\nf\n\n")}),
			want: "four IDX files: 7 and 2 images of 3x5, 6 classes", names: "an ant bee c d e f", digest: smallDigest,
			warning: []string{"DATA: 1 of 6 classes has no training image: \"f\""}},
		"classes.txt of numbers": {files: joined(small(), map[string][]byte{"classes.txt": []byte("0\n1\n2\n3\n4")}),
			want: smallRead},
		"transposed by hand": {files: small(), o: dataset.Options{Transpose: "true"}, want: "four IDX files: 7 and 2 images of 5x3, 5 classes"},
		"no test set": {files: with(small(), map[string][]byte{testImages: nil, testLabels: nil}), o: dataset.Options{TestShare: 0.3, Seed: 4},
			want: "two IDX files: 5 and 2 images of 3x5, 5 classes",
			warning: []string{"DATA: there is no test set: 2 of the 7 images, drawn by seed 4, are the test set (--test-share)",
				"DATA: 1 of 5 classes has no training image: 4 (1 test image)"}},
		"a test set and a share of it": {files: small(), o: dataset.Options{TestShare: 0.3}, want: smallRead,
			warning: []string{"DATA: --test-share has no effect: the data has a test set"}, digest: smallDigest},

		// What is suspicious.
		"one class": {files: labelled([]byte{3, 3, 3}, []byte{3}), want: "four IDX files: 3 and 1 images of 3x5, 4 classes",
			warning: []string{"DATA: the only label of the training images is 3: there is nothing to tell apart (training images: 3)"}},
		"one class, others in the test": {files: labelled([]byte{0, 0}, []byte{0, 1, 1}),
			want: "four IDX files: 2 and 3 images of 3x5, 2 classes",
			warning: []string{"DATA: the only label of the training images is 0: there is nothing to tell apart (training images: 2)",
				"DATA: 1 of 2 classes has no training image: 1 (2 test images)"}},
		"labels from 1": {files: labelled([]byte{1, 2, 3, 1}, []byte{3}), want: "four IDX files: 4 and 1 images of 3x5, 4 classes",
			warning: []string{"DATA: the labels start at 1: class 0 has no image, and is one of the 4 classes nevertheless"}},
		"labels 255": {files: labelled([]byte{0, 255, 1, 2, 255}, []byte{255}), want: "four IDX files: 5 and 1 images of 3x5, 256 classes",
			warning: []string{"DATA: 2 training and 1 test images have the label 255, the others at most 2: " +
				"255 often marks images without a label, but makes 256 classes here"}},
		"255 of 256 classes": {files: labelled(everything(256), []byte{255}), want: "four IDX files: 256 and 1 images of 3x5, 256 classes"},
		"gaps": {files: labelled([]byte{0, 9, 4}, []byte{9, 5, 5}), want: "four IDX files: 3 and 3 images of 3x5, 10 classes",
			warning: []string{"DATA: 7 of 10 classes have no training image: 1 to 3, 5 (2 test images), 6 to 8"}},
		"above all train labels": {files: labelled([]byte{0, 1}, []byte{0, 2}), want: "four IDX files: 2 and 2 images of 3x5, 3 classes",
			warning: []string{"DATA: 1 of 3 classes has no training image: 2 (1 test image)"}},
		"names without images": {files: joined(labelled([]byte{0, 9, 4}, []byte{9, 5, 5}),
			map[string][]byte{"classes.txt": []byte("a\nb\nc\nd\ne\nf\ng\nh\ni\nj\nk\n")}),
			want: "four IDX files: 3 and 3 images of 3x5, 11 classes", names: "a b c d e f g h i j k",
			warning: []string{`DATA: 8 of 11 classes have no training image: "b", "c", "d", "f" (2 test images), "g", "h", 2 more`}},
		"one class with a name": {files: joined(labelled([]byte{1, 1}, []byte{1}), map[string][]byte{"classes.txt": []byte("emu\nowl\n")}),
			want: "four IDX files: 2 and 1 images of 3x5, 2 classes", names: "emu owl",
			warning: []string{`DATA: the only label of the training images is "owl": there is nothing to tell apart (training images: 2)`}},
		"plain and .gz that agree": {files: joined(small(), packedAs(".gz", pack)), want: smallRead},
		"plain and .gz that differ": {files: joined(small(), map[string][]byte{
			trainImages + ".gz": pack(imagesFile(7, 3, 5, make([]byte, 105))),
			testLabels + ".gz":  pack(labelsFile(1, 2, 3)), trainLabels + ".gz": []byte("no")}),
			want: smallRead,
			warning: []string{"DATA: train-images-idx3-ubyte and train-images-idx3-ubyte.gz differ, and the plain file is read",
				"DATA: train-labels-idx1-ubyte and train-labels-idx1-ubyte.gz differ, and the plain file is read",
				"DATA: t10k-labels-idx1-ubyte and t10k-labels-idx1-ubyte.gz differ, and the plain file is read"}},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(place(t, c.files), c.at)
			loading, err := dataset.Open(path, c.o)
			if err != nil {
				t.Fatal(err)
			}
			d, err := loading.Wait()
			if err != nil {
				t.Fatal(err)
			}
			found := fmt.Sprintf("%s: %d and %d images of %dx%d, %d classes",
				loading.Kind, d.Train.Len(), d.Test.Len(), d.Train.Rows, d.Train.Columns, d.Classes)
			if found != c.want || strings.Join(d.ClassNames, " ") != c.names {
				t.Errorf("found %s, named %q, expected %s, %q", found, d.ClassNames, c.want, c.names)
			}
			var warnings []string
			for _, warning := range loading.Warnings {
				_, text, _ := strings.Cut(warning, ": ")
				warnings = append(warnings, "DATA: "+text)
			}
			if diff := cmp.Diff(c.warning, warnings); diff != "" {
				t.Errorf("warnings (-expected +found):\n%s", diff)
			}
			if digest := dataset.Digest(d.Files); c.digest != "" && digest != c.digest {
				t.Errorf("found the digest %s, expected %s: %v", digest, c.digest, d.Files)
			}

			// Written as four IDX files it is the same.
			into := filepath.Join(t.TempDir(), "new", "folder")
			if err := d.WriteFolder(into); err != nil {
				t.Fatal(err)
			}
			again, err := dataset.Read(into, dataset.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if !dataset.SameContent(again.Files, d.Files) || !slices.Equal(again.ClassNames, d.ClassNames) || again.Classes != d.Classes {
				t.Errorf("converted: found %v, %v, expected %v, %v", again.Files, again.ClassNames, d.Files, d.ClassNames)
			}
			if err := d.WriteFolder(into); err == nil || !strings.Contains(err.Error(), "expected a new or an empty folder") {
				t.Errorf("found error %v for a folder that is not empty", err)
			}
		})
	}
}

// digestOf is the digest of a set of IDX files.
func digestOf(t *testing.T, files map[string][]byte) string {
	d, err := read(folder(files), "set")
	if err != nil {
		t.Fatal(err)
	}
	return dataset.Digest(d.Files)
}

func TestOpenTransposes(t *testing.T) {
	path := place(t, emnist("digits", []byte{0, 1}, []byte{0}))
	d, err := dataset.Read(path, dataset.Options{})
	if err != nil {
		t.Fatal(err)
	}
	upright := pattern(30)
	for i := range 2 {
		for row := range 3 {
			for column := range 5 {
				if found, want := d.Train.Image(i)[column*3+row], upright[i*15+row*5+column]; found != want {
					t.Errorf("image %d, row %d, column %d: found %d, expected %d", i, row, column, found, want)
				}
			}
		}
	}
}

// The images that become the test set are those that the seed draws, and the same in every
// reading.
func TestOpenDrawsATestSet(t *testing.T) {
	path := place(t, map[string][]byte{trainImages: imagesFile(100, 1, 1, everything(100)), trainLabels: labelsFile(everything(100)...)})
	seen := map[string]bool{}
	for _, seed := range []uint64{1, 1, 2} {
		d, err := dataset.Read(path, dataset.Options{Seed: seed})
		if err != nil {
			t.Fatal(err)
		}
		both := slices.Concat(d.Train.Pixels, d.Test.Pixels)
		slices.Sort(both)
		if d.Test.Len() != 10 || !bytes.Equal(both, everything(100)) || !bytes.Equal(d.Test.Pixels, d.Test.Labels) {
			t.Errorf("found %v and %v", d.Train.Pixels, d.Test.Pixels)
		}
		seen[dataset.Digest(d.Files)] = true
	}
	if len(seen) != 2 {
		t.Errorf("found %d test sets of 2 seeds", len(seen))
	}
}

func TestOpenRefuses(t *testing.T) {
	const anything = "expected a dataset: IDX files, an .npz, CSV or parquet files, or a folder of images for each class"
	lfs := []byte("version https://git-lfs.github.com/spec/v1\n" +
		"oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n")
	pointers := map[string][]byte{}
	for name := range small() {
		pointers[name+".gz"] = lfs
	}
	for name, c := range map[string]struct {
		files map[string][]byte
		at    string
		split string
		want  string // FOLDER stands for where the files are
		hint  string
	}{
		"nothing": {nil, "", "", "FOLDER: found no files, " + anything, "README.md"},
		"other things": {map[string][]byte{"a.txt": {1}, "b.doc": {1}, "sub/x": {1}, ".x": {1}}, "", "",
			"FOLDER: found a.txt, b.doc, sub/, " + anything, ""},
		"many others": {map[string][]byte{"a": {}, "b": {}, "c": {}, "d": {}, "e": {}, "f": {}, "g": {}, "h": {}}, "", "",
			"FOLDER: found a, b, c, d, e, f and 2 more, " + anything, ""},
		"CIFAR": {map[string][]byte{"data_batch_1.bin": {1}, "test_batch.bin": {1}}, "", "",
			"FOLDER: found data_batch_1.bin, test_batch.bin, " + anything, "these are CIFAR's files"},
		"two datasets of torchvision": {joined(under("MNIST/raw/", small()), under("KMNIST/raw/", small())), "", "",
			"FOLDER: found a dataset in each of KMNIST/raw, MNIST/raw, expected the name of one of these folders", ""},
		"several splits": {joined(emnist("mnist", []byte{1}, []byte{1}), emnist("digits", []byte{1}, []byte{1})), "", "",
			"FOLDER: found the splits digits, mnist, expected one of them to be chosen", "--split digits"},
		"a split that is not there": {joined(emnist("mnist", []byte{1}, []byte{1}), emnist("digits", []byte{1}, []byte{1})), "", "letter",
			`FOLDER: split: found "letter", expected one of digits, mnist`, ""},
		"a split of one set": {small(), "", "letters", `FOLDER: split: found "letters", expected none: there is only one dataset`, ""},
		"two npz": {map[string][]byte{"a.npz": {}, "b.NPZ": {}}, "", "",
			"FOLDER: found 2 .npz files, a.npz, b.NPZ, expected one, or the name of one of them", ""},
		"two zips": {map[string][]byte{"a.zip": {}, "b.zip": {}}, "", "",
			"FOLDER: found 2 .zip files, a.zip, b.zip, expected one, or the name of one of them", ""},
		"CSV files": {map[string][]byte{"a.csv": {}, "b.csv": {}}, "", "",
			"FOLDER: found 2 CSV files, a.csv, b.csv, expected one, or the name of one of them", ""},
		"CSV splits": {map[string][]byte{"emnist-letters-train.csv": {}, "emnist-digits-train.csv": {}, "emnist-digits-test.csv": {}}, "", "",
			"FOLDER: found the splits digits, letters, expected one of them to be chosen", "--split digits"},
		"parquet of two": {map[string][]byte{"a/train-0.parquet": {}, "b/train-0.parquet": {}}, "", "",
			"FOLDER: found a dataset in each of a, b, expected the name of one of these folders", ""},
		"parquet of neither": {map[string][]byte{"a.parquet": {}, "b.parquet": {}}, "", "",
			"FOLDER: found the parquet files a.parquet, b.parquet, expected names that begin with train- and test-", ""},
		"one image": {map[string][]byte{trainImages: imagesFile(1, 1, 1, []byte{1}), trainLabels: labelsFile(0)}, "", "",
			"FOLDER: found one image and no test set, expected at least 2 images", ""},
		"a file of four": {small(), testLabels, "",
			"FOLDER/" + testLabels + ": found one file of a dataset, expected the folder that has all of them, FOLDER", ""},
		"too few names": {joined(small(), map[string][]byte{"classes.txt": []byte("a\nb\n")}), "", "",
			"FOLDER/classes.txt: found 2 names, expected 5, one for each class", ""},
		"an empty name": {joined(small(), map[string][]byte{"classes.txt": []byte("a\n\nb\n")}), "", "",
			"FOLDER/classes.txt: line 2: found no name, expected one for each class, by label", ""},
		"a name twice": {joined(small(), map[string][]byte{"classes.txt": []byte("a\nb\na\n")}), "", "",
			`FOLDER/classes.txt: line 3: found "a" a second time, expected names that differ`, ""},
		"a long name": {joined(small(), map[string][]byte{"classes.txt": bytes.Repeat([]byte("x"), 101)}), "", "",
			"FOLDER/classes.txt: line 1: found a name of 101 bytes, expected at most 100", ""},
		"a zip of others": {map[string][]byte{"x.zip": archive("a/b.jpg", "x")}, "", "",
			"FOLDER/x.zip: found b.jpg in the archive, expected IDX files: unpack it, and give the folder", ""},
		"a zip of a contest": {map[string][]byte{"x.zip": archive("train.csv", "x", "test.csv", "x")}, "x.zip", "",
			"FOLDER/x.zip: found test.csv, train.csv in the archive, expected IDX files: unpack it, and give the folder", ""},
		"a zip of classes": {map[string][]byte{"x.zip": archive("0/a.png", "x", "1/a.png", "x")}, "x.zip", "",
			"FOLDER/x.zip: found a.png in the archive, expected IDX files: unpack it, and give the folder", ""},
		"one zip of four": {map[string][]byte{testLabels + ".zip": archive(testLabels, "x")}, testLabels + ".zip", "",
			"FOLDER/" + testLabels + ".zip: found one file of a dataset, expected the folder that has all of them, FOLDER", ""},
		"an empty zip": {map[string][]byte{"x.zip": {}}, "", "", "FOLDER/x.zip: is empty", ""},
		"a zip that is cut": {map[string][]byte{"x.zip": archive(testLabels, "x")[:40]}, "", "",
			"FOLDER/x.zip: found no zip archive, or not all of it", ""},
		"a page as a zip": {with(small(), map[string][]byte{testLabels: nil, testLabels + ".zip": []byte("<!doctype html>")}), "", "",
			"FOLDER/" + testLabels + ".zip: is an HTML page: download it again, from the link to the file itself", ""},
		"loose images": {map[string][]byte{"a.png": {1}, "b.png": {1}}, "", "",
			"FOLDER: found a.png, b.png, " + anything, "a folder for each class"},
		"TIFF": {map[string][]byte{"cat/a.tiff": {1}, "dog/a.tiff": {1}}, "", "", "FOLDER: found cat/, dog/, " + anything,
			"cat/a.tiff cannot be read: convert the images to PNG, JPEG, GIF, BMP or WebP"},
		"torch in a folder": {map[string][]byte{"t.pt": archive("archive/data.pkl", "x")}, "", "",
			"FOLDER: found t.pt, " + anything, "t.pt is a file of torch.save: save the arrays with numpy.savez instead"},
		"an archive in two folders": {map[string][]byte{"a/b/mnist.tar.gz": pack([]byte("x"))}, "", "",
			"FOLDER/a/b: found mnist.tar.gz, " + anything, "mnist.tar.gz is a tar archive: unpack it"},
		"a zip of two in one file": {with(small(), map[string][]byte{testLabels: nil, testLabels + ".zip": archive("a", "b", "c", "d")}), "", "",
			"FOLDER/" + testLabels + ".zip: found an archive of 2 files, expected one file in it", ""},
		"a table of classes too high": {with(small(), map[string][]byte{testLabels: table(3, 256)}), "", "",
			"FOLDER/" + testLabels + ": label of image 1: found 256, expected 0 to 255", ""},
		"a table of one negative class": {with(small(), map[string][]byte{testLabels: table(-1, 2)}), "", "",
			"FOLDER/" + testLabels + ": label of image 0: found -1, expected 0 to 255", ""},
		"a table too wide": {with(small(), map[string][]byte{testLabels: encode(0xc02, []uint32{2, 17}, nil)}), "", "",
			"FOLDER/" + testLabels + ": columns: found 17, expected 1 to 16", ""},
		"a table that is cut": {with(small(), map[string][]byte{testLabels: table(1, 2)[:40]}), "", "",
			"FOLDER/" + testLabels + ": label bytes: found 28, expected 64", ""},
		"xz that is cut": {with(small(), map[string][]byte{testLabels: nil, testLabels + ".xz": packXZ(small()[testLabels])[:30]}), "", "",
			"FOLDER/" + testLabels + ".xz: header bytes: found 3, expected 8: decompress: unexpected EOF", ""},
		"Git LFS": {pointers, "", "", "FOLDER/train-images-idx3-ubyte.gz: is a Git LFS pointer: run git lfs pull\n" +
			"FOLDER/train-labels-idx1-ubyte.gz: is a Git LFS pointer: run git lfs pull\n" +
			"FOLDER/t10k-images-idx3-ubyte.gz: is a Git LFS pointer: run git lfs pull\n" +
			"FOLDER/t10k-labels-idx1-ubyte.gz: is a Git LFS pointer: run git lfs pull", ""},
		"Git LFS, by itself": {map[string][]byte{"mnist.npz": lfs}, "mnist.npz", "",
			"FOLDER/mnist.npz: is a Git LFS pointer: run git lfs pull", ""},
		"Git LFS, among other": {map[string][]byte{"mnist.h5": lfs}, "", "",
			"FOLDER: found mnist.h5, " + anything, "mnist.h5 is a Git LFS pointer: run git lfs pull"},
		"torch": {map[string][]byte{"training.pt": archive("archive/data.pkl", "x")}, "training.pt", "",
			"FOLDER/training.pt: is a file of torch.save: save the arrays with numpy.savez instead", ""},
		"anything": {map[string][]byte{"x.bin": {1, 2, 3}}, "x.bin", "",
			"FOLDER/x.bin: found a file, expected a folder, or an .npz, .csv, .parquet or .zip file", ""},
		"a picture": {map[string][]byte{"x.png": []byte("\x89PNG\r\n\x1a\n....")}, "x.png", "",
			"FOLDER/x.png: is a PNG image: expected a folder, or an .npz, .csv, .parquet or .zip file", ""},
	} {
		t.Run(name, func(t *testing.T) {
			path := place(t, c.files)
			_, err := dataset.Open(filepath.Join(path, c.at), dataset.Options{Split: c.split})
			checkError(t, err, strings.ReplaceAll(c.want, "FOLDER", path))
			var hinted interface{ Hint() string }
			if errors.As(err, &hinted) != (c.hint != "") && name != "other things" && name != "many others" {
				t.Errorf("found a hint, or none: %v", err)
			} else if c.hint != "" && !strings.Contains(hinted.Hint(), c.hint) {
				t.Errorf("found the hint %q, expected %q", hinted.Hint(), c.hint)
			}
		})
	}
}

// A file that is not what its name says is called by its name.
func TestRecognizedFiles(t *testing.T) {
	const (
		idx       = ": expected IDX data"
		again     = ": download it again, from the link to the file itself"
		together  = "; save images and labels together with numpy.savez"
		published = "; EMNIST is published in both forms"
		torch     = "is a file of torch.save: save the arrays with numpy.savez instead"
		server    = "perhaps the error of a server"
	)
	pickled := func(version byte) []byte {
		return []byte{0x80, version, '}', 'q', 0, 'X', 5, 0, 0, 0, 'i', 'm', 'a', 'g', 'e', 's', 's'}
	}
	dictionary := packXZ([]byte("x"))
	dictionary[16] = 40
	tar := append(make([]byte, 257), "ustar\x0000"...)
	for name, c := range map[string]struct {
		content []byte
		want    string
	}{
		"a zip":                {archive("a.txt", "x"), "is a zip archive: unpack it, or let its name end in .zip"},
		"an empty zip member":  {archive("data/", "", "data/train", "x"), "is a zip archive: unpack it, or let its name end in .zip"},
		"an npz":               {archive("x_train.npy", "x"), "is a NumPy archive (.npz)" + idx + "; its name has to end in .npz"},
		"torch":                {archive("mnist/data.pkl", "x"), torch},
		"old torch":            {[]byte("\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M"), torch},
		"double gzip":          {pack(pack(small()[trainImages])), "is gzip inside gzip: unpack it once"},
		"gzip of xz":           {pack(packXZ(small()[trainImages])), "is an xz file" + idx},
		"packed pointer":       {pack([]byte("version https://git-lfs.github.com/spec/v1\n")), "is a Git LFS pointer: run git lfs pull"},
		"HTML":                 {[]byte("\n<!doctype HTML>"), "is an HTML page" + again},
		"XHTML":                {[]byte("<?xml version='1.0'?><html>"), "is an HTML page" + again},
		"an error of S3":       {[]byte("<?xml version='1.0'?><Error><Code>"), "is an XML document, " + server + ": download it again"},
		"JSON":                 {[]byte(`{"message": "Not Found"}`), "is JSON, " + server + idx},
		"pickle 2":             {pickled(2), "is a Python pickle: save the arrays with numpy.savez instead"},
		"pickle 4":             {pickled(4), "is a Python pickle: save the arrays with numpy.savez instead"},
		"pickle 5":             {pickled(5), "is a Python pickle: save the arrays with numpy.savez instead"},
		"PNG":                  {[]byte("\x89PNG\r\n\x1a\n0000IHDR"), "is a PNG image" + idx},
		"JPEG":                 {[]byte("\xff\xd8\xff\xe0\x00\x10JFIF...."), "is a JPEG image" + idx},
		"GIF":                  {[]byte("GIF89a.........."), "is a GIF image" + idx},
		"WebP":                 {[]byte("RIFF....WEBPVP8 "), "is a WebP image" + idx},
		"parquet":              {[]byte("PAR1............"), "is a parquet file" + idx + "; give it, or its folder, as the data"},
		"npy":                  {[]byte("\x93NUMPY\x01\x00v\x00{'descr': '|u1'"), "is a NumPy array (.npy)" + idx + together},
		"HDF5":                 {[]byte("\x89HDF\r\n\x1a\n........"), "is an HDF5 file" + idx},
		"MATLAB":               {[]byte("MATLAB 5.0 MAT-file, Platform: MACI64"), "is a MATLAB file" + idx + published},
		"tar":                  {tar, "is a tar archive: unpack it"},
		"bzip2":                {[]byte("BZh91AY&SY......"), "is a bzip2 file: unpack it"},
		"Zstandard":            {[]byte("\x28\xb5\x2f\xfd............"), "is a Zstandard file: unpack it"},
		"7-Zip":                {[]byte("7z\xbc\xaf\x27\x1c.........."), "is a 7-Zip archive: unpack it"},
		"CSV":                  {[]byte("label,pixel0,pixel1\n5,0,0\n"), "is text with commas" + idx + "; a CSV file's name ends in .csv"},
		"text":                 {[]byte("This is a README file.\n"), "is text" + idx},
		"too big a dictionary": {dictionary, "decompress: found a dictionary of 4294967295 bytes, expected at most 67108864"},
	} {
		for _, part := range []string{trainImages, testLabels} {
			if name == "too big a dictionary" {
				part += ".xz"
			}
			files := with(small(), map[string][]byte{strings.TrimSuffix(part, ".xz"): nil, part: c.content})
			_, err := read(folder(files), "small")
			if err == nil || err.Error() != "small/"+part+": "+c.want {
				t.Errorf("%s: found error %v, expected %s", name, err, c.want)
			}
		}
	}
}

// What people ask for by its name is not there, and how to get it is said.
func TestOpenNames(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, hint := range map[string]string{
		"fashion-mnist": "zalandoresearch/fashion-mnist", "FashionMNIST": "zalandoresearch",
		"kmnist": "rois-codh/kmnist", "QMNIST": "facebookresearch/qmnist", "https://host/x.zip": "download it first",
		"emnist": "--split letters", "cifar10": "three colours", "CIFAR-100": "three colours", "MNIST": "in lower case: --data mnist",
	} {
		_, err := dataset.Open(name, dataset.Options{})
		var hinted interface{ Hint() string }
		if err == nil || !strings.HasPrefix(err.Error(), name+": no such file or ") || !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: found error %v", name, err)
		} else if !errors.As(err, &hinted) || !strings.Contains(hinted.Hint(), hint) {
			t.Errorf("%s: found no hint of %q", name, hint)
		}
	}
	if err := os.Symlink("nowhere", "link"); err != nil {
		t.Skip(err)
	}
	_, err := dataset.Open("link", dataset.Options{})
	checkError(t, err, "link: found a symbolic link to nowhere, which is not there")
}

// Images are counted up to all of them while they are read.
func TestOpenReportsProgress(t *testing.T) {
	last, calls := 0, 0
	d, err := dataset.Read(place(t, small()), dataset.Options{Progress: func(done, total int) {
		if done < last || total != 9 {
			t.Errorf("found %d of %d after %d", done, total, last)
		}
		last, calls = done, calls+1
	}})
	if err != nil || last != 9 || calls != 2 || d.Train.Len() != 7 {
		t.Errorf("found %d after %d calls, and the error %v", last, calls, err)
	}
}

func FuzzOpenPacked(f *testing.F) {
	for _, file := range [][]byte{small()[trainLabels], table(0, 1, 2, 3, 4, 0, 1), archive("x.npy", "y"), []byte("version https://git-lfs")} {
		f.Add(packXZ(file))
		f.Add(archive("labels", string(file)))
		f.Add(pack(file))
		f.Add(file)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		for _, ending := range []string{"", ".xz", ".zip"} {
			files := with(small(), map[string][]byte{trainLabels: nil, trainLabels + ending: file})
			before := allocated()
			d, err := read(folder(files), "fuzz")
			// An xz file may ask for a dictionary of 64 MiB for each of its blocks.
			if found := allocated() - before; found > uint64(70<<20+100*len(file)) && ending != ".xz" {
				t.Errorf("found %d bytes allocated", found)
			}
			if err == nil && len(d.Train.Labels) != 7 {
				t.Errorf("found %d labels", len(d.Train.Labels))
			}
		}
	})
}

// Loading a folder takes about as long as loading what is built in.
func BenchmarkRead(b *testing.B) {
	d := loadMNIST(b)
	plain := filepath.Join(b.TempDir(), "plain")
	if err := d.WriteFolder(plain); err != nil {
		b.Fatal(err)
	}
	packed := b.TempDir()
	if err := os.CopyFS(packed, dataset.MNISTFiles()); err != nil {
		b.Fatal(err)
	}
	for kind, name := range map[string]string{"built-in": dataset.MNIST, "plain": plain, "gz": packed} {
		b.Run(kind, func(b *testing.B) {
			for b.Loop() {
				if _, err := dataset.Read(name, dataset.Options{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// Both parts of an archive are read to their ends, whichever ends first.
func TestOpenALargeArchive(t *testing.T) {
	var files []string
	for name, content := range shaped(20_000, 28, 28) {
		files = append(files, name, string(content))
	}
	path := filepath.Join(place(t, map[string][]byte{"all.zip": archive(files...)}), "all.zip")
	d, err := dataset.Read(path, dataset.Options{})
	if err != nil || !bytes.Equal(d.Train.Pixels, pattern(20_000*28*28)) {
		t.Errorf("found the error %v", err)
	}
}
