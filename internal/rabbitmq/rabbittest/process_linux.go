package rabbittest

import "syscall"

// childAttr puts a child into a process group of its own, so that a Ctrl-C in the terminal reaches the parent alone,
// and asks the kernel to kill the child when the thread that forked it ends.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
