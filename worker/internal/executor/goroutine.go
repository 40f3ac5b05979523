package executor

import "context"

// goroutine runs each task on a goroutine of its own, up to a bound. A submit
// beyond the bound waits: that is what pushes back on the delivery loop.
type goroutine struct {
	gate  *gate
	guard *guard
}

// Submit implements Executor.
func (g *goroutine) Submit(ctx context.Context, t Task) error {
	if err := g.gate.enter(ctx); err != nil {
		return err
	}
	go func() {
		defer g.gate.leave()
		g.guard.run(t)
	}()
	return nil
}

// Drain implements Executor.
func (g *goroutine) Drain(ctx context.Context) int { return g.gate.drain(ctx) }
