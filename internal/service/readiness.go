package service

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// ErrStopping says that the process is going away.
var ErrStopping = errors.New("stopping")

// Readiness answers for the process on /readyz. As the last component of a
// lifecycle it is the first to stop: the process says that it is going away
// before it stops taking work.
type Readiness struct {
	checks   []func() error
	stopping atomic.Bool
}

// NewReadiness returns a readiness that is the sum of checks. Each has to
// return at once.
func NewReadiness(checks ...func() error) *Readiness {
	return &Readiness{checks: checks}
}

// Ready returns nil when the process can work, or the first reason why not.
func (r *Readiness) Ready() error {
	if r.stopping.Load() {
		return ErrStopping
	}
	for _, check := range r.checks {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// Component returns the component that turns readiness off when it is stopped
// and then waits drain, for load balancers to notice.
func (r *Readiness) Component(drain time.Duration) Component {
	return Component{Name: "readiness", Run: func(ctx context.Context) error {
		<-ctx.Done()
		r.stopping.Store(true)
		wait := time.NewTimer(drain)
		defer wait.Stop()
		<-wait.C
		return nil
	}}
}

// AwaitReady waits until ready returns nil. Where that takes longer than within,
// it returns the last reason why not, and the cause of ctx where that ends before.
func AwaitReady(ctx context.Context, within time.Duration, ready func() error) error {
	late := time.NewTimer(within)
	defer late.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ready()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-late.C:
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
