package record_test

import (
	"testing"

	"epochal/dataset"
	"epochal/experiments"
	"epochal/experiments/record"
)

// A run is known by what its data holds, not by where that is, how it is stored or how it was
// read.
func TestIdentity(t *testing.T) {
	builtIn := experiments.Defaults()
	mnist, err := dataset.Read(dataset.MNIST, dataset.Options{})
	if err != nil {
		t.Fatal(err)
	}
	// As recorded by the version before data had a split.
	const recorded = "e0a1242e2a29f71d013f9c1cabcece30680413a5918b80b8e13638ea68b2092a"
	if found := record.Identity(builtIn, nil, ""); found != recorded {
		t.Errorf("found the identity %s, expected %s", found, recorded)
	}
	elsewhere := builtIn
	elsewhere.Data, elsewhere.Transpose = "some/folder", "false"
	if found := record.Identity(elsewhere, mnist.Files, ""); found != recorded {
		t.Errorf("found the identity %s of MNIST elsewhere, expected %s", found, recorded)
	}
	a, b := elsewhere, elsewhere
	b.Data, b.Split, b.Transpose, b.TestShare = "other", "letters", "true", 0.2
	if record.Identity(a, []dataset.File{{Name: "x", SHA256: "1"}}, "") != record.Identity(b, []dataset.File{{Name: "y", SHA256: "1"}}, "") {
		t.Errorf("found two identities of one content")
	}
	if record.Identity(a, []dataset.File{{Name: "x", SHA256: "1"}}, "") == record.Identity(a, []dataset.File{{Name: "x", SHA256: "2"}}, "") {
		t.Errorf("found one identity of two contents")
	}
}
