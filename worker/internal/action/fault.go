package action

import (
	"context"
	"errors"
	"fmt"

	"github.com/twinlane/twinlane/internal/task"
)

// exitCode is what an injected exit ends the process with.
const exitCode = 70

// fail does what a task asks for in its fail field, before its action. It
// returns nil where this attempt is not to fail.
func (r *Runner) fail(ctx context.Context, f task.Fail, attempt int) error {
	if !r.cfg.FaultInjection {
		return permanent(errors.New("the task asks for a failure and fault injection is off (FAULT_INJECTION)"))
	}
	switch f.Kind {
	case task.FailTransient:
		if f.Count != 0 && attempt > f.Count {
			return nil
		}
		return fmt.Errorf("injected transient failure of attempt %d", attempt)
	case task.FailPermanent:
		return permanent(errors.New("injected permanent failure"))
	case task.FailPanic:
		panic("injected panic")
	case task.FailExit:
		r.cfg.Exit(exitCode)
		return errors.New("injected exit did not end the process")
	case task.FailHang:
		<-ctx.Done()
		return ctx.Err()
	default:
		return permanent(fmt.Errorf("failure %q is not known to this worker", f.Kind))
	}
}
