package executor

import (
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
)

// runner runs tasks so that no panic escapes from one.
type runner struct {
	osThreads bool
	logger    *slog.Logger
	panics    prometheus.Counter
}

func (r *runner) run(t Task) {
	defer func() {
		if v := recover(); v != nil {
			r.panics.Inc()
			r.logger.Error("task panicked", "err", fmt.Sprint(v), "stack", string(debug.Stack()))
		}
	}()
	t.Run()
}

// runHere runs a task on a goroutine that has other things to do afterwards.
func (r *runner) runHere(t Task) {
	if r.osThreads {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
	}
	r.run(t)
}

// discard drops a task that was accepted. It must be called without locks.
func (r *runner) discard(t Task) {
	if t.Discard == nil {
		return
	}
	t.Run, t.Discard = t.Discard, nil
	r.run(t)
}

// ownThread gives the calling goroutine an OS thread to itself where that is
// configured. The thread is not given back: it ends with the goroutine.
func (r *runner) ownThread() {
	if r.osThreads {
		runtime.LockOSThread()
	}
}
