//go:build !amd64

package regulartest

var oldRename []int
