package executor

import (
	"context"
	"sync"
)

// gate lets a bounded number of tasks in and, once shut, no more.
type gate struct {
	empty chan struct{} // closed when the gate is shut and the last task has left

	mu        sync.Mutex // guards the fields below and the closing of the channel
	bound     int
	inside    int
	largest   int // that inside has been
	left      uint64
	saturated uint64
	waiting   waitlist
	isShut    bool
}

func newGate(bound int) *gate { return &gate{bound: bound, empty: make(chan struct{})} }

// enter waits for room. It returns the error of ctx, or ErrStopped once the
// gate is shut; after nil, the caller owes a leave.
func (g *gate) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	g.mu.Lock()
	if g.isShut {
		g.mu.Unlock()
		return ErrStopped
	}
	if g.inside < g.bound {
		g.letIn()
		g.mu.Unlock()
		return nil
	}
	g.saturated++
	w := g.waiting.push(Task{})
	g.mu.Unlock()
	return g.waiting.wait(ctx, &g.mu, w)
}

func (g *gate) letIn() {
	g.inside++
	g.largest = max(g.largest, g.inside)
}

// letWaiting lets in those that wait, while there is room.
func (g *gate) letWaiting() {
	for g.waiting.count > 0 && g.inside < g.bound {
		g.letIn()
		g.waiting.answer(nil)
	}
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	g.left++
	g.letWaiting()
	if g.isShut && g.inside == 0 {
		close(g.empty)
	}
}

// resize changes the bound. Who is inside stays.
func (g *gate) resize(bound int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.bound = bound
	g.letWaiting()
}

func (g *gate) size() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.bound
}

// stats are those of a model whose tasks are all under way, each on a goroutine
// of its own.
func (g *gate) stats() Stats {
	g.mu.Lock()
	defer g.mu.Unlock()
	return Stats{
		Running: g.inside, Waiting: g.waiting.count, Workers: g.inside, LargestWorkers: g.largest,
		Completed: g.left, Saturated: g.saturated,
	}
}

// drain shuts the gate and waits until all have left or ctx ends. It returns
// how many are still inside.
func (g *gate) drain(ctx context.Context) int {
	g.mu.Lock()
	if !g.isShut {
		g.isShut = true
		g.waiting.answerAll(ErrStopped)
		if g.inside == 0 {
			close(g.empty)
		}
	}
	g.mu.Unlock()
	select {
	case <-g.empty:
		return 0
	case <-ctx.Done():
		return g.stats().Running
	}
}
