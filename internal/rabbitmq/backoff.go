package rabbitmq

import (
	"context"
	"math/rand/v2"
	"time"
)

// backoff is an exponential pause between low and high. Half of each pause is
// random, so that processes which lost the same broker do not return together.
type backoff struct {
	low, high time.Duration
	next      time.Duration // zero before the first
}

func (b *backoff) reset() { b.next = 0 }

// wait pauses, or returns early when ctx ends.
func (b *backoff) wait(ctx context.Context) {
	d := max(b.next, b.low)
	b.next = min(2*d, b.high)
	pause := time.NewTimer(d/2 + rand.N(d/2+1)) //nolint:gosec // jitter needs no secrecy
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-ctx.Done():
	}
}
