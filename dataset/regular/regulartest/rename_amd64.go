package regulartest

import "golang.org/x/sys/unix"

// oldRename are the calls that newer architectures do not have.
var oldRename = []int{unix.SYS_RENAME}
