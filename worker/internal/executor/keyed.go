package executor

import (
	"context"
	"sync"
)

// keyed runs the tasks of one key one after the other, in the order of their
// submits, and those of different keys at once, up to a bound. A task waits for
// nothing but the one before it of its key, and its turn among those that may
// run. It has a goroutine while there are tasks for it, and nothing of a key
// that has none.
type keyed struct {
	queue  int // tasks beyond those that may run at once
	runner *runner
	done   chan struct{} // closed once it is stopped and nothing is left

	mu          sync.Mutex // guards the fields below and the closing of the channel
	concurrency int
	accepted    int
	running     int
	lines       map[string]*ring // of each key that has a task: those that wait for it
	ready       ring             // tasks that wait for nothing but their turn
	waiting     waitlist
	stopped     bool

	largest              int
	completed, saturated uint64
}

func newKeyed(concurrency, queue int, r *runner) *keyed {
	return &keyed{
		queue: queue, runner: r, done: make(chan struct{}),
		concurrency: concurrency, lines: make(map[string]*ring),
	}
}

// Submit implements Executor.
func (k *keyed) Submit(ctx context.Context, t Task) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	k.mu.Lock()
	if k.stopped {
		k.mu.Unlock()
		return ErrStopped
	}
	if k.hasRoom() {
		k.accept(t)
		k.mu.Unlock()
		return nil
	}
	k.saturated++
	w := k.waiting.push(t)
	k.mu.Unlock()
	return k.waiting.wait(ctx, &k.mu, w)
}

func (k *keyed) hasRoom() bool { return k.accepted < k.concurrency+k.queue }

// accept takes a task in: behind those of its key, or among those that may run.
func (k *keyed) accept(t Task) {
	k.accepted++
	if t.Key != "" {
		if line, ok := k.lines[t.Key]; ok {
			line.push(t)
			return
		}
		k.lines[t.Key] = &ring{}
	}
	k.ready.push(t)
	k.start()
}

// acceptWaiting takes in those that wait, while there is room.
func (k *keyed) acceptWaiting() {
	for k.waiting.count > 0 && k.hasRoom() {
		k.accept(k.waiting.answer(nil))
	}
}

// start starts goroutines for tasks that may run, up to the bound.
func (k *keyed) start() {
	for k.running < k.concurrency && k.ready.count > 0 {
		k.running++
		k.largest = max(k.largest, k.running)
		go k.work(k.ready.pop())
	}
}

// work runs one task after the other. Where a task ends the goroutine, another
// one takes its place.
func (k *keyed) work(t Task) {
	k.runner.ownThread()
	ended := false
	defer func() {
		if !ended {
			go k.replace(t.Key)
		}
	}()
	for more := true; more; t, more = k.proceed(t.Key) {
		k.runner.run(t)
	}
	ended = true
}

// replace goes on where a goroutine has ended amid a task.
func (k *keyed) replace(key string) {
	if t, more := k.proceed(key); more {
		k.work(t)
	}
}

// proceed ends a task of the key and takes the next one that may run. The next
// one of the key has its turn after all that may run already, so that no key
// keeps others out. It returns false where there is nothing to run.
func (k *keyed) proceed(key string) (t Task, more bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.accepted--
	k.completed++
	if line, ok := k.lines[key]; ok {
		if line.count > 0 {
			k.ready.push(line.pop())
		} else {
			delete(k.lines, key)
		}
	}
	k.acceptWaiting()
	if k.ready.count > 0 && k.running <= k.concurrency {
		return k.ready.pop(), true
	}
	k.running--
	k.closeIfDone()
	return Task{}, false
}

// Drain implements Executor.
func (k *keyed) Drain(ctx context.Context) int {
	k.mu.Lock()
	if !k.stopped {
		k.stopped = true
		k.waiting.answerAll(ErrStopped)
		k.closeIfDone()
	}
	k.mu.Unlock()
	select {
	case <-k.done:
		return 0
	case <-ctx.Done():
		k.mu.Lock()
		defer k.mu.Unlock()
		return k.accepted
	}
}

func (k *keyed) closeIfDone() {
	if k.stopped && k.running == 0 { // and then nothing else is left
		close(k.done)
	}
}

// Stats implements Observed.
func (k *keyed) Stats() Stats {
	k.mu.Lock()
	defer k.mu.Unlock()
	return Stats{
		Running: k.running, Queued: k.accepted - k.running, Waiting: k.waiting.count,
		Workers: k.running, LargestWorkers: k.largest,
		Completed: k.completed, Saturated: k.saturated,
	}
}

// Sizes implements Resizer.
func (k *keyed) Sizes() Sizes {
	k.mu.Lock()
	defer k.mu.Unlock()
	return Sizes{Concurrency: k.concurrency}
}

// Resize implements Resizer.
func (k *keyed) Resize(s Sizes) error {
	if err := s.onlyConcurrency(); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.concurrency = s.Concurrency
	k.acceptWaiting()
	k.start()
	return nil
}
