package executor

import "context"

// serial runs one task at a time on the submitting goroutine: on the delivery
// loop, which waits. Where several loops submit, they take turns.
type serial struct {
	gate  *gate // for one task
	guard *guard
}

// Submit implements Executor.
func (s *serial) Submit(ctx context.Context, t Task) error {
	if err := s.gate.enter(ctx); err != nil {
		return err
	}
	defer s.gate.leave()
	s.guard.run(t)
	return nil
}

// Drain implements Executor.
func (s *serial) Drain(ctx context.Context) int { return s.gate.drain(ctx) }
