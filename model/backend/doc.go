// Package backend opens the device that trains: an XLA plugin on the processor
// or on an NVIDIA GPU, or GoMLX in pure Go. It says what was opened, so that a run
// can record it.
//
// [Open] takes a name: auto, xla:cpu, xla:cuda, go, or any GoMLX backend
// string. A backend requested by name is used, or Open fails; auto takes the
// best one that works and warns when that is pure Go. [Check] refuses
// impossible names before anything is opened. [List] says which backends can be
// used on this machine.
//
// It honours GOMLX_BACKEND (for auto), XLA_FLAGS and what [Cores] reads; package install finds the
// plugins and names the variables that lead to them. XLA ends the process that gives it
// a flag it does not know, so flags of the user's are tried first, by this program as a
// child that does nothing else.
//
// A CUDA plugin is loaded only where NVIDIA's driver has a GPU for it, and opens that
// one GPU. None of this has run on a card: the tests do it with a driver and a plugin
// of their own, see package backendtest.
//
// Importing it silences klog for the whole process, because GoMLX and go-xla
// log through it to standard error. Fatal messages still get there.
//
// CUDA's pinned plugin gets flags that make its runs repeatable, and one that makes a call
// one CUDA graph if a trial in another process went well, see [Options].TryLoops.
//
// What it does not do: it prints nothing, knows no networks and no run folders,
// and downloads nothing. A missing plugin is installed by [Options].Install, if
// there is one.
//
// Neighbours: package model compiles its programs for a [Backend]; package
// experiments opens one; package install finds, verifies and installs plugins;
// package backendtest hands open backends, and GPUs that are not there, to tests.
package backend
