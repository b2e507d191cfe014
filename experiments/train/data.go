package train

import (
	"fmt"
	"os"

	"epochal/dataset"
	"epochal/experiments"
)

// loadData starts to read the dataset of that name: MNIST, or a folder.
func loadData(name string) (*dataset.Loading, error) {
	loading, err := func() (*dataset.Loading, error) {
		if name == experiments.MNIST {
			return dataset.LoadMNIST()
		}
		info, err := os.Stat(name)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			return nil, fmt.Errorf("%s: found a file, expected a folder with four IDX files", name)
		}
		return dataset.Load(os.DirFS(name), name)
	}()
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
