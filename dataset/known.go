package dataset

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"epochal/dataset/regular"
)

// known is a dataset that is recognized by its content.
type known struct {
	name            string
	files           [parts]string // SHA-256 of each, see [File]
	packed          [parts]string // of its .gz files as published, which earlier versions recorded
	classNames      []string      // nil: their numbers
	mean, deviation float64       // as they are published, else 0
}

// mnistKnown is what is known of MNIST. Mean and deviation of the train pixels are as
// they are usually rounded, so that a normalized run can be compared with others.
var mnistKnown = known{
	name: MNIST,
	files: [parts]string{
		"ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
		"65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
		"0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
		"ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
	},
	packed: [parts]string{
		"0b367032e93c5d0cea0925647cfdb18614af8ee15f83e6f2fc2ad904a6835971",
		"1787548bbe0bff1ec2ecdc0ef292b02df999e2d1a6002d27500982c652b17203",
		"1a1a05eab793c14bb050b398624a11b0ffd1a2953baed553b1b9bd079e2a20be",
		"b91679a0acfe4ba0e50a2437a903084cba1f5f92592b016a25a7dfd00455798b",
	},
	mean:      0.1307,
	deviation: 0.3081,
}

// fashionMNIST is what is known of Fashion-MNIST.
var fashionMNIST = known{
	name: "fashion-mnist",
	files: [parts]string{
		"c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
		"bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
		"5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
		"0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
	},
	packed: [parts]string{
		"b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7",
		"0ae29f65d86684f32d1b9c85147786c547b9c6aebcaf235f0400a0cce308b056",
		"cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa",
		"8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05",
	},
	classNames: []string{"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"},
}

// The datasets that are recognized, by the [Digest] of their content and of their packed files.
var knownByDigest, knownByPacked = byDigest(mnistKnown, fashionMNIST)

func byDigest(all ...known) (content, packed map[string]known) {
	content, packed = map[string]known{}, map[string]known{}
	for _, k := range all {
		content[Digest(k.named([parts]string{}))] = k
		old := known{files: k.packed}
		packed[Digest(old.named([parts]string{}))] = k
	}
	return content, packed
}

// named are the files under the given names.
func (k known) named(names [parts]string) []File {
	var files []File
	for i, sum := range k.files {
		files = append(files, File{Name: names[i], SHA256: sum})
	}
	return files
}

// KnownName is the name under which a dataset with such files is known, "" if it is not.
func KnownName(files []File) string { return knownByDigest[Digest(files)].name }

// recognize takes over what is known about the dataset by its content; its class names
// only where the user did not give any.
func (d *Dataset) recognize(named bool) {
	if k, found := knownByDigest[Digest(d.Files)]; found {
		d.Name = k.name
		if !named {
			d.ClassNames = k.classNames
		}
		if k.deviation != 0 {
			d.Mean, d.Deviation, d.keepStatistics = k.mean, k.deviation, true
		}
	}
	// Numbers name the classes anyway, and then the dataset is the same as one without names.
	numbers := true
	for class, name := range d.ClassNames {
		numbers = numbers && name == strconv.Itoa(class)
	}
	if numbers {
		d.ClassNames = nil
	}
}

// CurrentFiles returns files as they were recorded, with the present checksums where they are
// those of a known dataset's packed files.
func CurrentFiles(files []File) []File {
	k, found := knownByPacked[Digest(files)]
	if !found || len(files) != parts {
		return files
	}
	var names [parts]string
	for i, file := range files {
		names[i] = file.Name
	}
	return k.named(names)
}

// CurrentDigest is [CurrentFiles] for a [Digest] that was recorded.
func CurrentDigest(digest string) string {
	if k, found := knownByPacked[digest]; found {
		return Digest(k.named([parts]string{}))
	}
	return digest
}

// emnistNames are the class names of a split of EMNIST, by one of its files; nil if it is
// none, or one of digits.
func emnistNames(file string) []string {
	if !isEMNIST(file) {
		return nil
	}
	const digits, capitals, letters = "0123456789", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz"
	base := strings.ToLower(file[strings.LastIndexAny(file, `/\`)+1:])
	split, _, _ := strings.Cut(strings.TrimPrefix(base, "emnist-"), "-")
	switch split {
	case "letters":
		return append([]string{noClass}, strings.Split(letters, "")...)
	case "byclass":
		return strings.Split(digits+capitals+letters, "")
	case "bymerge", "balanced":
		return strings.Split(digits+capitals+"abdefghnqrt", "") // the others look like their capitals
	default:
		return nil
	}
}

// classesFile is the file beside the data with a class name a line, by label.
const classesFile = "classes.txt"

// maxClassName is how long a class name may be, in bytes.
const maxClassName = 100

// readClassNames reads the file of class names in a folder, nil without one.
func readClassNames(fsys fs.FS, folder string) ([]string, error) {
	name := strings.TrimSuffix(folder, "/") + "/" + classesFile
	info, err := fs.Stat(fsys, classesFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		err = regular.Check(name, info)
	}
	if err != nil {
		return nil, err
	}
	if most := int64(MaxClasses * (maxClassName + 2)); info.Size() > most {
		return nil, fmt.Errorf("%s: found %d bytes, expected at most %d: a name a line", name, info.Size(), most)
	}
	text, err := fs.ReadFile(fsys, classesFile)
	if err != nil {
		return nil, unreadable(name, err)
	}
	names := strings.Split(strings.TrimRight(strings.TrimPrefix(string(text), "\ufeff"), " \r\n\t"), "\n")
	for i, line := range names {
		names[i] = strings.TrimSpace(line)
	}
	if line, problem := checkClassNames(names); problem != "" {
		return nil, fmt.Errorf("%s: line %d: %s", name, line+1, problem)
	}
	if len(names) > MaxClasses {
		return nil, fmt.Errorf("%s: found %d names, expected at most %d", name, len(names), MaxClasses)
	}
	return names, nil
}

// checkClassNames says which name cannot be one, and why; "" if all can.
func checkClassNames(names []string) (class int, problem string) {
	for i, name := range names {
		switch {
		case name == "":
			return i, "found no name, expected one for each class, by label"
		case len(name) > maxClassName:
			return i, fmt.Sprintf("found a name of %d bytes, expected at most %d", len(name), maxClassName)
		case name != strings.TrimSpace(name) || strings.ContainsAny(name, "\r\n"):
			return i, fmt.Sprintf("found %q, expected a name on one line", name)
		case slices.Contains(names[:i], name):
			return i, fmt.Sprintf("found %q a second time, expected names that differ", name)
		}
	}
	return 0, ""
}
