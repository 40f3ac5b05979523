//go:build unix && !linux

package rabbittest

import "syscall"

// childAttr puts a child into a process group of its own. There is no parent-death signal outside Linux: a parent
// that is killed with SIGKILL leaves its nodes behind.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
