// Package driver asks NVIDIA's driver about the GPUs of this machine. Nothing is linked
// to CUDA: the driver's library is loaded if it is there.
package driver

/*
#cgo linux LDFLAGS: -ldl
#include <dlfcn.h>
#include <stdio.h>

typedef struct {
	char missing[256]; // why the library cannot be used
	int status;        // of the first call that failed; 0 for none
	int cuda, count;
} answer;

// The handle is never closed: XLA uses the same library.
static void *library(void) { return dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL); }

static answer ask(void) {
	answer a = {0};
	void *l = library();
	int (*version)(int *) = l ? dlsym(l, "cuDriverGetVersion") : NULL;
	int (*init)(unsigned) = l ? dlsym(l, "cuInit") : NULL;
	int (*count)(int *) = l ? dlsym(l, "cuDeviceGetCount") : NULL;
	if (!version || !init || !count) {
		const char *why = dlerror();
		snprintf(a.missing, sizeof a.missing, "%s", why ? why : "libcuda.so.1 is incomplete");
		return a;
	}
	version(&a.cuda);
	if (!(a.status = init(0))) a.status = count(&a.count);
	return a;
}

static void name(int number, char *text, int size) {
	int (*get)(int *, int) = dlsym(library(), "cuDeviceGet");
	int (*name)(char *, int, int) = dlsym(library(), "cuDeviceGetName");
	int device;
	if (!get || !name || get(&device, number) || name(text, size, device)) text[0] = 0;
}

static const char *reason(int status) {
	int (*describe)(int, const char **) = dlsym(library(), "cuGetErrorString");
	const char *text = NULL;
	return describe && !describe(status, &text) && text ? text : "no reason";
}

static int cublas(void) {
	void *l = dlopen("libcublas.so.13", RTLD_LAZY | RTLD_LOCAL);
	if (!l) l = dlopen("libcublas.so.12", RTLD_LAZY | RTLD_LOCAL);
	return l && !dlclose(l);
}
*/
import "C"

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"epochal/model/backend/internal/advice"
)

// Driver is what the driver says.
type Driver struct {
	Version string   // such as 580.65.06; "" where Linux does not know it
	CUDA    CUDA     // the newest that it can run
	GPUs    []string // their names, in the order of CUDA's numbers
}

// CUDA is a version of CUDA as its interface counts them: 13000 is 13.0.
type CUDA int

// String writes the version as NVIDIA does, "13.0".
func (c CUDA) String() string { return fmt.Sprintf("%d.%d", c/1000, c%1000/10) }

// Describe is a GPU with its driver: "NVIDIA H100 80GB HBM3, driver 580.65.06, CUDA 13.0".
func (d Driver) Describe(gpu int) string {
	version := ""
	if d.Version != "" {
		version = ", driver " + d.Version
	}
	return fmt.Sprintf("%s%s, CUDA %s", d.GPUs[gpu], version, d.CUDA)
}

// What keeps a GPU from being used.
var (
	ErrNoGPU    = errors.New("no NVIDIA GPU")
	ErrNoDriver = errors.New("no NVIDIA driver")
)

const adviceDriver = "install NVIDIA's driver; in a container, start it with the GPU, such as docker run --gpus all"

// noDevice is CUDA_ERROR_NO_DEVICE.
const noDevice = 100

// Ask returns what the driver says about the GPUs that this process may use, which
// CUDA_VISIBLE_DEVICES can restrict. The error is [ErrNoGPU] where there is none,
// [ErrNoDriver] where there is one without a driver, or says what the driver says.
func Ask() (Driver, error) {
	machine := os.DirFS("/")
	a := C.ask()
	if missing := C.GoString(&a.missing[0]); missing != "" {
		if !hasCard(machine) {
			return Driver{}, ErrNoGPU
		}
		return Driver{}, advice.Errorf(adviceDriver, "%w: %s", ErrNoDriver, missing)
	}
	d := Driver{CUDA: CUDA(a.cuda), Version: line(machine, "sys/module/nvidia/version")}
	switch {
	case a.status == noDevice || a.status == 0 && a.count == 0:
		if visible, set := os.LookupEnv("CUDA_VISIBLE_DEVICES"); set {
			return d, fmt.Errorf("%w that CUDA_VISIBLE_DEVICES=%s allows", ErrNoGPU, visible)
		}
		return d, ErrNoGPU
	case a.status != 0:
		return d, advice.Errorf("see what nvidia-smi says; after an update of the driver, restart the machine",
			"NVIDIA's driver does not answer: error %d, %s", a.status, C.GoString(C.reason(a.status)))
	}
	for number := range a.count {
		var name [256]C.char
		C.name(number, &name[0], C.int(len(name)))
		d.GPUs = append(d.GPUs, cmp.Or(C.GoString(&name[0]), "NVIDIA GPU"))
	}
	return d, nil
}

// hasCard reports whether a display controller of NVIDIA is on the bus, or a driver
// whose library is elsewhere has made its devices.
func hasCard(machine fs.FS) bool {
	if devices, _ := fs.Glob(machine, "dev/nvidia[0-9]*"); len(devices) > 0 {
		return true
	}
	folders, _ := fs.Glob(machine, "sys/bus/pci/devices/*")
	for _, folder := range folders {
		if line(machine, folder+"/vendor") == "0x10de" && strings.HasPrefix(line(machine, folder+"/class"), "0x03") {
			return true
		}
	}
	return false
}

// line returns the only line of a file, or nothing where there is none.
func line(machine fs.FS, file string) string {
	content, _ := fs.ReadFile(machine, file)
	return strings.TrimSpace(string(content))
}

// HasCUBLAS reports whether the libraries of CUDA 12 or 13 are where the system
// looks for libraries.
func HasCUBLAS() bool { return C.cublas() != 0 }
