// Package backend opens the device that trains: an XLA plugin on the processor
// or on an NVIDIA card, or GoMLX in pure Go. It finds the plugins, installs
// them on request, and tells what was opened so that a run can record it.
//
// [Open] takes a name: auto, xla:cpu, xla:cuda, go, or any GoMLX backend
// string. A backend asked for by name is used or Open fails; auto takes the
// best one that works and warns when that is pure Go. [Check] refuses
// impossible names before anything is opened. [Plugins] finds, installs and
// lists the plugins.
//
// Importing it silences klog for the whole process, because GoMLX and go-xla
// log through it to standard error. Fatal messages still get there.
//
// What it does not do: it prints nothing, knows no networks and no run folders,
// and downloads nothing unless [Options.AutoInstall] is set or an install
// method is called.
//
// Neighbours: package model compiles its programs for a [Backend]; package
// experiments opens one, and offers listing and installing to cmd/epochal.
// Package backendtest hands open backends to tests.
package backend
