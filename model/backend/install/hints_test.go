package install

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"epochal/model/backend/internal/advice"
)

func TestHintsFitTheCause(t *testing.T) {
	const copied = ", or copy a plugin to a folder that PJRT_PLUGIN_LIBRARY_PATH names, as pjrt_c_api_cpu_plugin.so"
	path := func(err error) error { return &fs.PathError{Op: "mkdir", Path: "/x", Err: err} }
	dial := func(operation string, err error) error { return &net.OpError{Op: operation, Net: "tcp", Err: err} }
	for _, c := range []struct {
		name, home string
		err        error
		want       string
	}{
		{"permission", "/home/me", path(syscall.EACCES), "make the folder writable, " + elsewhere},
		{"not permitted", "/home/me", path(syscall.EPERM), "make the folder writable, " + elsewhere},
		{"no home", "/", path(syscall.EACCES), "HOME is /, as in a container whose user has no home folder: " + elsewhere},
		{"read-only", "/home/me", path(syscall.EROFS), "its file system is read-only: " + elsewhere},
		{"full", "/home/me", path(syscall.ENOSPC), "free some space on its file system, " + elsewhere},
		{"quota", "/home/me", path(syscall.EDQUOT), "free some space on its file system, " + elsewhere},
		{"disk", "/home/me", path(syscall.EIO), "check its disk for errors, " + elsewhere},
		{"file", "/home/me", path(syscall.ENOTDIR), "remove the file in the folder's place, " + elsewhere},
		{"name server", "", dial("dial", &net.DNSError{Err: "no such host", Name: "files", IsNotFound: true}),
			"check the network and its name server, or name a proxy with HTTPS_PROXY" + copied},
		{"refused", "", dial("dial", syscall.ECONNREFUSED), "check the network" + copied},
		{"unreachable", "", dial("dial", syscall.ENETUNREACH), "check the network" + copied},
		{"proxy", "", dial("proxyconnect", syscall.ECONNREFUSED), "check the proxy, which HTTPS_PROXY names" + copied},
		{"proxy's password", "", &statusError{"a", 407}, "check the user and the password of the proxy in HTTPS_PROXY" + copied},
		{"forbidden", "", &statusError{"a", 403}, "check the network: a firewall may forbid the address" + copied},
		{"not found", "", &statusError{"a", 404}, "check the network" + copied},
		{"certificate", "", &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}},
			"check the clock; where a proxy reads what is encrypted, name the file of its certificate with SSL_CERT_FILE" + copied},
		{"changed", "", &HashError{"a", "b", "c"}, "check the network" + copied},
		{"its own", "", advice.Errorf("own", "x"), "own"},
		{"cancelled", "", context.Canceled, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("HOME", c.home)
			err := advise(fmt.Errorf("x: %w", c.err), cpuPlugin)
			if found := hintOf(err); found != c.want || !errors.Is(err, c.err) {
				t.Errorf("found %q for %v, expected %q", found, err, c.want)
			}
		})
	}
}

// A certificate that nobody knows, as it comes from Go's client.
func TestUntrustedServer(t *testing.T) {
	newServer(t)
	newHome(t)
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = nil
	secure.StartTLS()
	defer secure.Close()
	set(t, &files, secure.URL+"/")
	_, err := Installer{}.CPU(context.Background())
	if !strings.HasPrefix(hintOf(err), "check the clock; where a proxy") {
		t.Errorf("found %v with the hint %q", err, hintOf(err))
	}
}

// A file system without room is known before anything is downloaded.
func TestSpaceIsCheckedFirst(t *testing.T) {
	s := newCUDAServer(t)
	_, folder := newHome(t)
	set(t, &free, func(string) (uint64, bool) { return 200e6, true })
	for what, install := range map[string]struct {
		run  func(context.Context) (string, error)
		want string
	}{
		"XLA CPU": {Installer{}.CPU, "264"}, "CUDA": {Installer{}.CUDA, "4800"},
	} {
		_, err := install.run(context.Background())
		want := "install the " + what + " plugin into " + folder + ": found 200 MB free on its file system, expected at least " +
			install.want + " MB: no space left on device"
		if err == nil || err.Error() != want || hintOf(err) != "free some space on its file system, "+elsewhere {
			t.Errorf("found %v with the hint %q, expected %s", err, hintOf(err), want)
		}
	}
	if len(s.requests) > 0 {
		t.Errorf("found the requests %v, expected none", s.requests)
	}
	set(t, &free, func(string) (uint64, bool) { return 0, false }) // the file system does not say
	if _, err := (Installer{}).CPU(context.Background()); err != nil {
		t.Error(err)
	}
}

// What cannot be loaded says why, and what to do.
func TestVerifyHints(t *testing.T) {
	newServer(t)
	newHome(t)
	whole, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	other := append([]byte(nil), whole...)
	other[18] = 0xF3 // RISC-V
	older := append([]byte(nil), whole...)
	older[18] = 3 // 386
	for name, c := range map[string]struct{ content, want, hint string }{
		"risc-v":    {string(other), "found a library for another processor, EM_RISCV, expected EM_", "replace it by a plugin for "},
		"386":       {string(older), "found a library for another processor, EM_386, expected EM_", "replace it by a plugin for "},
		"cut short": {string(whole[:1<<20]), "not a complete ELF file: ", "download or copy it again, or remove it"},
		"page":      {"<html>", "not a complete ELF file: ", "download or copy it again, or remove it"},
		"empty":     {"", "not a complete ELF file: ", "download or copy it again, or remove it"},
	} {
		file := filepath.Join(t.TempDir(), "pjrt_c_api_cpu_plugin.so")
		put(t, file, c.content)
		_, err := Verify(file)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(hintOf(err), c.hint) {
			t.Errorf("%s: found %v with the hint %q, expected %s", name, err, hintOf(err), c.want)
		}
	}
	file := filepath.Join(t.TempDir(), "pjrt_c_api_cpu_plugin.so")
	put(t, file, "x")
	if err := os.Chmod(file, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := os.ReadFile(file); err == nil {
		t.Skip("root reads everything")
	}
	if _, err := Verify(file); !strings.HasPrefix(hintOf(err), "make the file readable, ") {
		t.Errorf("found %v with the hint %q", err, hintOf(err))
	}
}
