package rabbitmq

import (
	"context"
	"sync"
	"time"
)

// sharedDeadline hands out contexts that end timeout after they are asked for,
// or up to a fiftieth later. Those asked for at about the same time are one
// and the same, because at thousands of publishes a second a timer for each
// costs a tenth of the throughput.
type sharedDeadline struct {
	timeout time.Duration

	mu      sync.Mutex
	current context.Context //nolint:containedctx // it is what is handed out
	until   time.Time       // from when on the next context is due
}

func (d *sharedDeadline) context() context.Context {
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	if !now.Before(d.until) {
		step := d.timeout / 50
		d.until = now.Add(step)
		ctx, cancel := context.WithTimeout(context.Background(), d.timeout+step)
		context.AfterFunc(ctx, cancel) // it ends by its time and in no other way
		d.current = ctx
	}
	return d.current
}
