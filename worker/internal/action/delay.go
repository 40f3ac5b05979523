package action

import (
	"context"
	"time"
)

// delay waits as a task does that is bound by I/O: it holds no thread.
func delay(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
