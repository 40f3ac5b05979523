package rabbittest

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// childAttr puts a child into a process group of its own, so that a Ctrl-C in the terminal reaches the parent alone,
// and asks the kernel to kill the child when the thread that forked it ends.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// awaitStopped returns when every thread of a child that was sent SIGSTOP has stopped: until then the child can still
// answer on one of them.
func awaitStopped(pid int) error {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WSTOPPED, nil)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
