package executor

import (
	"context"
	"sync"
)

// gate lets a bounded number of tasks in and, once shut, no more.
type gate struct {
	slots chan struct{} // holds one element for each task inside
	shut  chan struct{} // closed when the gate is shut
	empty chan struct{} // closed when it is shut and the last task has left

	mu     sync.Mutex // guards the fields below and the closing of the two channels
	inside int
	isShut bool
}

func newGate(bound int) *gate {
	return &gate{
		slots: make(chan struct{}, bound),
		shut:  make(chan struct{}),
		empty: make(chan struct{}),
	}
}

// enter waits for room. It returns the error of ctx, or ErrStopped once the
// gate is shut; after nil, the caller owes a leave.
func (g *gate) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case g.slots <- struct{}{}:
	case <-g.shut:
		return ErrStopped
	case <-ctx.Done():
		return ctx.Err()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.isShut {
		<-g.slots
		return ErrStopped
	}
	g.inside++
	return nil
}

func (g *gate) leave() {
	<-g.slots
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	if g.isShut && g.inside == 0 {
		close(g.empty)
	}
}

func (g *gate) count() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.inside
}

// drain shuts the gate and waits until all have left or ctx ends. It returns
// how many are still inside.
func (g *gate) drain(ctx context.Context) int {
	g.mu.Lock()
	if !g.isShut {
		g.isShut = true
		close(g.shut)
		if g.inside == 0 {
			close(g.empty)
		}
	}
	g.mu.Unlock()
	select {
	case <-g.empty:
		return 0
	case <-ctx.Done():
		return g.count()
	}
}
