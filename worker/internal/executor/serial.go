package executor

import "context"

// serial runs one task at a time on the submitting goroutine: on the delivery
// loop, which waits. Where several loops submit, they take turns.
type serial struct {
	*gate  // for one task
	runner *runner
}

func newSerial(r *runner) *serial { return &serial{gate: newGate(1), runner: r} }

// Submit implements Executor.
func (s *serial) Submit(ctx context.Context, t Task) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	s.runner.runHere(t)
	return nil
}

// Drain implements Executor.
func (s *serial) Drain(ctx context.Context) int { return s.drain(ctx) }

// Stats implements Observed. The model has no workers.
func (s *serial) Stats() Stats {
	stats := s.stats()
	stats.Workers, stats.LargestWorkers = 0, 0
	return stats
}
