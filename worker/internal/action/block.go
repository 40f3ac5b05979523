package action

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// blockSlice is how long a block sleeps between two looks at its context.
	blockSlice = 100 * time.Millisecond
	// maxBlockedThreads keeps blocks below the 10,000 OS threads at which the Go
	// runtime ends the process.
	maxBlockedThreads = 8000
)

// block waits as a task does that is bound by I/O and holds an OS thread for
// it: inside a system call, which the scheduler cannot take the thread from.
// Beyond the bound of threads it waits its turn.
func block(ctx context.Context, d time.Duration, threads chan struct{}) error {
	select {
	case threads <- struct{}{}:
		defer func() { <-threads }()
	case <-ctx.Done():
		return ctx.Err()
	}
	for end := time.Now().Add(d); ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		left := time.Until(end)
		if left <= 0 {
			return nil
		}
		// Rounded up, so that the last slice is not spent in a busy loop.
		ms := (min(left, blockSlice) + time.Millisecond - 1) / time.Millisecond
		if _, err := unix.Poll(nil, int(ms)); err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("block in poll: %w", err)
		}
	}
}
