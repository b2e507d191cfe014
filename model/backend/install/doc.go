// Package install finds the PJRT plugins of this machine, checks them, and
// installs those that are missing: XLA's plugin for the CPU and the one for
// NVIDIA GPUs.
//
// [Find] looks where go-xla does, except in the folders of /etc/ld.so.conf.
// [Verify] returns a plugin's SHA-256 and refuses a file that is damaged, because
// loading it could kill the process. An [Installer] downloads, checks and unpacks
// a plugin into [Directory]. What is installed on linux/amd64 is pinned by address
// and SHA-256, and a file that has its pinned hash is not checked any further.
//
// What it does not do: it loads no plugin, opens no device, and prints nothing.
// Only the methods of Installer use the network.
//
// Neighbours: package backend opens what Find found, and starts an installation
// only if [epochal/model/backend.Options] has one.
package install
