package train

import (
	"fmt"
	"os"

	"epochal/dataset"
	"epochal/experiments"
)

// loadData starts to read the dataset of that name: MNIST, or a folder.
func loadData(name string) (loading *dataset.Loading, err error) {
	if name == experiments.MNIST {
		loading, err = dataset.LoadMNIST()
	} else if info, failed := os.Stat(name); failed != nil {
		err = failed
	} else if !info.IsDir() {
		err = fmt.Errorf("%s: found a file, expected a folder with four IDX files", name)
	} else {
		loading, err = dataset.Load(os.DirFS(name), name)
	}
	if err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	return loading, nil
}

// OpenData reads the dataset of that name: MNIST, or a folder with four IDX
// files. Errors name the file.
func OpenData(name string) (*dataset.Dataset, error) {
	loading, err := loadData(name)
	if err != nil {
		return nil, err
	}
	d, err := loading.Wait()
	if err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	return d, nil
}
