package quiet

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/klog/v2"
)

func TestCollect(t *testing.T) {
	klog.Warning("before")
	stop := Collect()
	klog.Info("ordinary")
	klog.Warningf("no %s", "folder")
	klog.Error("no file")
	if diff := cmp.Diff([]string{"no folder", "no file"}, stop()); diff != "" {
		t.Errorf("collected messages (-want +got):\n%s", diff)
	}
	klog.Warning("after")
	if got := Collect()(); len(got) != 0 {
		t.Errorf("a new collection starts with %q, want none", got)
	}
}

func TestNothingOnStandardError(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr := os.Stderr
	os.Stderr = write
	klog.Info("ordinary")
	klog.Warning("warning")
	klog.Error("error")
	os.Stderr = stderr
	write.Close()
	buffer := make([]byte, 100)
	if n, _ := read.Read(buffer); n > 0 {
		t.Errorf("klog wrote %q to standard error", buffer[:n])
	}
}
