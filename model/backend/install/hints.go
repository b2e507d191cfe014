package install

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"

	"epochal/dataset/regular"
	"epochal/model/backend/internal/advice"

	"github.com/gomlx/go-xla/pjrt"
)

// product is what is installed.
type product struct {
	name  string // in error messages
	file  string // under which a user may provide it
	bytes uint64 // that an installation takes while it is under way: the longest wheel, and what is unpacked
}

var (
	cpuPlugin  = product{"the XLA CPU plugin", "pjrt_c_api_cpu_plugin.so", 62e6 + 202e6}
	cudaPlugin = product{"the CUDA plugin", cudaFile, 1e9 + 3.8e9}
)

// elsewhere is for a user who has no folder to install into.
const elsewhere = "set HOME to a folder that you can write to, or " + pjrt.PJRTPluginPathsEnv + " to one that has a plugin"

// Advice says how a user without a plugin of a kind, "cpu" or "cuda", gets it: by the command
// that installs it, if there is a folder to install into.
func Advice(kind string) string {
	if _, err := Directory(); err != nil {
		return elsewhere
	}
	return advice.Install + kind
}

// statusError is the error of a server's answer other than 200 OK.
type statusError struct {
	address string
	status  int
}

func (e *statusError) Error() string {
	return fmt.Sprintf("%s: the server answered %d %s, expected 200 OK", e.address, e.status, http.StatusText(e.status))
}

// advise gives an error of an installation the hint that fits its cause, unless it has one.
func advise(err error, p product) error {
	var hinted interface{ Hint() string }
	if err == nil || errors.Is(err, context.Canceled) || errors.As(err, &hinted) {
		return err
	}
	return &advice.Error{Err: err, Advice: cmp.Or(folderHint(err), networkHint(err)+
		", or copy a plugin to a folder that "+pjrt.PJRTPluginPathsEnv+" names, as "+p.file)}
}

// folderHint is the hint for an error of the install folder, "" for another error.
func folderHint(err error) string {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "free some space on its file system, " + elsewhere
	case errors.Is(err, syscall.EROFS):
		return "its file system is read-only: " + elsewhere
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, fs.ErrExist):
		return "remove the file in the folder's place, " + elsewhere
	case errors.Is(err, syscall.EIO):
		return "check its disk for errors, " + elsewhere
	case !errors.Is(err, fs.ErrPermission):
		return ""
	case filepath.Clean(os.Getenv("HOME")) == "/":
		return "HOME is /, as in a container whose user has no home folder: " + elsewhere
	default:
		return "make the folder writable, " + elsewhere
	}
}

// networkHint is the hint for an error of a download.
func networkHint(err error) string {
	operation, _ := errors.AsType[*net.OpError](err)
	answer, _ := errors.AsType[*statusError](err)
	_, unknown := errors.AsType[*net.DNSError](err)
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	switch {
	case operation != nil && operation.Op == "proxyconnect":
		return "check the proxy, which HTTPS_PROXY names"
	case answer != nil && answer.status == http.StatusProxyAuthRequired:
		return "check the user and the password of the proxy in HTTPS_PROXY"
	case unknown:
		return "check the network and its name server, or name a proxy with HTTPS_PROXY"
	case untrusted:
		return "check the clock; where a proxy reads what is encrypted, name the file of its certificate with SSL_CERT_FILE"
	case answer != nil && answer.status == http.StatusForbidden:
		return "check the network: a firewall may forbid the address"
	default:
		return "check the network"
	}
}

// free is how many bytes can be written to a folder. Tests replace it.
var free = regular.Free

// checkSpace returns an error if a folder has no room for an installation.
func checkSpace(folder string, p product) error {
	const mega = 1e6
	if found, known := free(folder); known && found < p.bytes {
		return fmt.Errorf("found %d MB free on its file system, expected at least %.0f MB: %w",
			found/mega, float64(p.bytes)/mega, syscall.ENOSPC)
	}
	return nil
}
