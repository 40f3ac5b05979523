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

// process is a child that leads its own process group and dies with this process.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed after the child was reaped; how it ended is in cmd.ProcessState from then on
}

// startProcess starts cmd. A goroutine waits for the child and owns cmd from then on.
//
// The goroutine that forks is the one that waits, and holds its operating system thread meanwhile: the kernel sends
// the parent-death signal when the forking thread ends, so that thread has to live as long as the child does.
func startProcess(cmd *exec.Cmd) (*process, error) {
	cmd.SysProcAttr = childAttr()
	p := &process{cmd: cmd, done: make(chan struct{})}
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

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) exited() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// signal sends sig to the child alone.
func (p *process) signal(sig syscall.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal process %d: %w", p.pid(), err)
	}
	return nil
}

// stop asks the child to end, even a paused one, and waits until it has or ctx ends.
func (p *process) stop(ctx context.Context) {
	_ = p.signal(syscall.SIGTERM)
	_ = p.signal(syscall.SIGCONT)
	select {
	case <-p.done:
	case <-ctx.Done():
	}
}

// kill ends the child and whatever it started, and returns after the child was reaped.
func (p *process) kill() {
	_ = p.signal(syscall.SIGKILL)
	<-p.done
}
