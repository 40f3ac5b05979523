package rabbittest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// Process is a child that leads its own process group and dies with this process. Its methods may be called by several
// goroutines.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed after the child was reaped; how it ended is in cmd.ProcessState from then on
}

// StartProcess starts cmd. A goroutine waits for the child and owns cmd from then on.
//
// The goroutine that forks is the one that waits, and holds its operating system thread meanwhile: the kernel sends
// the parent-death signal when the forking thread ends, so that thread has to live as long as the child does.
func StartProcess(cmd *exec.Cmd) (*Process, error) {
	cmd.SysProcAttr = childAttr()
	p := &Process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		defer close(p.done)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
			// What the child started and left behind is in its group. The number of the group is still the child's:
			// it cannot have been given to another process within this moment, as it could later.
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	return p, nil
}

// PID is the id that the process has or had.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// State says how the process ended. It is called after Done.
func (p *Process) State() *os.ProcessState { return p.cmd.ProcessState }

func (p *Process) exited() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Signal sends sig to the child alone. One that has ended is none the worse for it.
func (p *Process) Signal(sig syscall.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal process %d: %w", p.PID(), err)
	}
	return nil
}

// Stop asks the child to end, even a paused one, and waits until it has or ctx ends.
func (p *Process) Stop(ctx context.Context) {
	_ = p.Signal(syscall.SIGTERM)
	_ = p.Signal(syscall.SIGCONT)
	select {
	case <-p.done:
	case <-ctx.Done():
	}
}

// Kill ends the child and whatever it started, and returns after the child was reaped.
func (p *Process) Kill() {
	_ = p.Signal(syscall.SIGKILL)
	<-p.done
}
