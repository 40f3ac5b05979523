package executor

import "context"

// goroutine runs each task on a goroutine of its own, up to a bound. A submit
// beyond the bound waits: that is what pushes back on the delivery loop.
type goroutine struct {
	*gate
	runner *runner
}

func newGoroutine(concurrency int, r *runner) *goroutine {
	return &goroutine{gate: newGate(concurrency), runner: r}
}

// Submit implements Executor.
func (g *goroutine) Submit(ctx context.Context, t Task) error {
	if err := g.enter(ctx); err != nil {
		return err
	}
	go g.run(t)
	return nil
}

func (g *goroutine) run(t Task) {
	defer g.leave() // also for a task that ends its goroutine
	g.runner.ownThread()
	g.runner.run(t)
}

// Drain implements Executor.
func (g *goroutine) Drain(ctx context.Context) int { return g.drain(ctx) }

// Stats implements Observed.
func (g *goroutine) Stats() Stats { return g.stats() }

// Sizes implements Resizer.
func (g *goroutine) Sizes() Sizes { return Sizes{Concurrency: g.size()} }

// Resize implements Resizer.
func (g *goroutine) Resize(s Sizes) error {
	if err := s.onlyConcurrency(); err != nil {
		return err
	}
	g.resize(s.Concurrency)
	return nil
}
