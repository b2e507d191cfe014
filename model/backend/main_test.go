package backend

import (
	"context"
	"fmt"
	"os"
	"testing"
)

// As another process this test binary runs what the variable asks for.
const childMode = "EPOCHAL_BACKEND_TEST"

func TestMain(m *testing.M) {
	var err error
	switch os.Getenv(childMode) {
	case "":
		os.Exit(m.Run())
	case "install":
		var path string
		path, err = fakePlugins(os.Getenv("DIRECTORY"), os.Getenv("SERVER"), fakePin("first")).InstallCPU(context.Background())
		fmt.Print(path)
	case "auto":
		_, _, err = Open(context.Background(), Auto, Options{})
	}
	if err != nil {
		fmt.Fprint(os.Stderr, err)
		os.Exit(1)
	}
}
