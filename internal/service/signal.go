package service

import "sync"

// Signal tells any number of goroutines that something has happened. Its zero
// value is ready for use.
type Signal struct {
	mu   sync.Mutex
	next chan struct{} // nil while nobody waits
}

// Next returns a channel that is closed when the signal is raised next. What
// must not be missed between a look at the state and the wait takes it before
// the look.
func (s *Signal) Next() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next == nil {
		s.next = make(chan struct{})
	}
	return s.next
}

// Raise wakes everybody who waits.
func (s *Signal) Raise() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next != nil {
		close(s.next)
		s.next = nil
	}
}
