//go:build unix && !linux

package rabbittest

import "syscall"

// childAttr puts a child into a process group of its own. There is no parent-death signal outside Linux: a parent
// that is killed with SIGKILL leaves its nodes behind.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}

// awaitStopped does not wait: outside Linux a child that was sent SIGSTOP may still answer for a moment.
func awaitStopped(int) error { return nil }
