package executor

import (
	"context"
	"sync"
)

// waiter is a submit that waits for room.
type waiter struct {
	task       Task       // of a pool; empty elsewhere
	ready      chan error // receives one answer, once the waiter is listed no more
	listed     bool
	prev, next *waiter
}

// waitlist is the waiting submits of an executor, in the order of their arrival.
// Its zero value is ready for use. The lock of the executor guards it.
type waitlist struct {
	first, last *waiter
	count       int
	free        *waiter // those to be used again, linked by next
}

func (l *waitlist) push(t Task) *waiter {
	w := l.free
	if w == nil {
		w = &waiter{ready: make(chan error, 1)}
	} else {
		l.free = w.next
	}
	w.task, w.listed, w.prev, w.next = t, true, l.last, nil
	if l.last == nil {
		l.first = w
	} else {
		l.last.next = w
	}
	l.last = w
	l.count++
	return w
}

// answer takes the first waiter off the list, tells it, and returns its task.
func (l *waitlist) answer(err error) Task {
	w := l.first
	l.remove(w)
	w.ready <- err
	return w.task
}

// answerAll tells every waiter.
func (l *waitlist) answerAll(err error) {
	for l.first != nil {
		l.answer(err)
	}
}

func (l *waitlist) remove(w *waiter) {
	if w.prev == nil {
		l.first = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		l.last = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.listed = false
	l.count--
}

// wait blocks until the waiter is answered, which it reports, or ctx ends. mu is
// the lock of the list, which the caller does not hold.
func (l *waitlist) wait(ctx context.Context, mu *sync.Mutex, w *waiter) error {
	var err error
	answered := false
	select {
	case err = <-w.ready:
		answered = true
	case <-ctx.Done():
	}
	mu.Lock()
	defer mu.Unlock()
	switch {
	case answered:
	case w.listed:
		l.remove(w)
		err = ctx.Err()
	default: // the answer came at the same time
		err = <-w.ready
	}
	w.task, w.prev, w.next = Task{}, nil, l.free
	l.free = w
	return err
}
