package quiet

import (
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
