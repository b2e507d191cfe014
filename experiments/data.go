package experiments

import (
	"fmt"

	"epochal/dataset"
)

// loadData starts to read the dataset of that name: MNIST, or a folder.
func loadData(name string) (*dataset.Loading, error) {
	loading, err := dataset.Open(name)
	if err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	return loading, nil
}

// OpenData reads the dataset of that name: MNIST, or a folder with four IDX
// files. Errors name the file.
func OpenData(name string) (*dataset.Dataset, error) {
	d, err := dataset.Read(name)
	if err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	return d, nil
}
