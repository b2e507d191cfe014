package driver

import (
	"io/fs"
	"testing"
	"testing/fstest"
)

func TestHasCard(t *testing.T) {
	device := func(vendor, class string) fstest.MapFS {
		return fstest.MapFS{
			"sys/bus/pci/devices/0000:00:02.0/vendor": {Data: []byte(vendor + "\n")},
			"sys/bus/pci/devices/0000:00:02.0/class":  {Data: []byte(class + "\n")},
		}
	}
	for name, c := range map[string]struct {
		machine fs.FS
		want    bool
	}{
		"none":                 {fstest.MapFS{"dev/nvidiactl": {}}, false},
		"screen card":          {device("0x10de", "0x030000"), true},
		"card without screens": {device("0x10de", "0x030200"), true},
		"NVIDIA's sound":       {device("0x10de", "0x040300"), false},
		"another vendor's":     {device("0x8086", "0x030000"), false},
		"in a container":       {fstest.MapFS{"dev/nvidia0": {}}, true},
	} {
		if got := hasCard(c.machine); got != c.want {
			t.Errorf("%s: found %v, want %v", name, got, c.want)
		}
	}
}

func TestDescribe(t *testing.T) {
	d := Driver{Version: "580.65.06", CUDA: 13000, GPUs: []string{"NVIDIA A100", "NVIDIA H100 80GB HBM3"}}
	if got, want := d.Describe(1), "NVIDIA H100 80GB HBM3, driver 580.65.06, CUDA 13.0"; got != want {
		t.Errorf("found %s, want %s", got, want)
	}
	d.Version, d.CUDA = "", 12080
	if got, want := d.Describe(0), "NVIDIA A100, CUDA 12.8"; got != want {
		t.Errorf("found %s, want %s", got, want)
	}
}
