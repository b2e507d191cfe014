package dataset

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// unlabelled is the label that some tools give to images without one.
const unlabelled = MaxClasses - 1

// noClass is the name of a label that has no images by design, as torchvision calls that of EMNIST's letters.
const noClass = "N/A"

// suspicions are what is odd about the labels of a dataset, though it can be trained on.
// names are those of the classes, nil for numbers.
func suspicions(name string, train, test []byte, names []string, classes int) (found []string) {
	say := func(format string, values ...any) { found = append(found, name+": "+fmt.Sprintf(format, values...)) }
	trainCounts, testCounts := Set{Labels: train}.ClassCounts(MaxClasses), Set{Labels: test}.ClassCounts(MaxClasses)
	one := false
	if lowest := slices.Min(train); trainCounts[lowest] == len(train) {
		say("the only label of the training images is %s: there is nothing to tell apart (training images: %d)",
			quoted(names, int(lowest)), len(train))
		one = true
	}
	empty := make([]bool, classes) // classes without a training image that need to be told
	for class := range empty {
		empty[class] = trainCounts[class] == 0 && (!one || testCounts[class] > 0) && (names == nil || names[class] != noClass)
	}
	if empty[0] && testCounts[0] == 0 && trainCounts[1] > 0 && classes > 2 {
		empty[0] = false
		say("the labels start at 1: class 0 has no image, and is one of the %d classes nevertheless", classes)
	}
	if others := highestBelow(trainCounts, testCounts, unlabelled); others >= 0 && others < unlabelled-1 &&
		trainCounts[unlabelled]+testCounts[unlabelled] > 0 {
		for class := others + 1; class < unlabelled; class++ {
			empty[class] = false
		}
		say("%d training and %d test images have the label 255, the others at most %d: "+
			"255 often marks images without a label, but makes %d classes here",
			trainCounts[unlabelled], testCounts[unlabelled], others, classes)
	}
	if text, count := listClasses(empty, testCounts, names); count > 0 {
		have := "have"
		if count == 1 {
			have = "has"
		}
		say("%d of %d classes %s no training image: %s", count, classes, have, text)
	}
	return found
}

// highestBelow is the highest class below limit that has an image, -1 if there is none.
func highestBelow(train, test []int, limit int) int {
	class := limit - 1
	for class >= 0 && train[class]+test[class] == 0 {
		class--
	}
	return class
}

// quoted is the name of a class, its number where names is nil.
func quoted(names []string, class int) string {
	if names == nil {
		return strconv.Itoa(class)
	}
	return strconv.Quote(names[class])
}

// listClasses lists classes, numbers without test images as ranges: "3, 5 to 7, 9 (12 test
// images)"; not all of them where they have names.
func listClasses(of []bool, test []int, names []string) (text string, count int) {
	var items []string
	for class := 0; class < len(of); class++ {
		if !of[class] {
			continue
		}
		first := class
		for names == nil && test[class] == 0 && class+1 < len(of) && of[class+1] && test[class+1] == 0 {
			class++
		}
		count += class - first + 1
		switch {
		case test[class] == 1:
			items = append(items, fmt.Sprintf("%s (1 test image)", quoted(names, class)))
		case test[class] > 1:
			items = append(items, fmt.Sprintf("%s (%d test images)", quoted(names, class), test[class]))
		case class > first:
			items = append(items, fmt.Sprintf("%d to %d", first, class))
		default:
			items = append(items, quoted(names, class))
		}
	}
	if names != nil && len(items) > mostListed {
		items = append(items[:mostListed], fmt.Sprintf("%d more", len(items)-mostListed))
	}
	return strings.Join(items, ", "), count
}
