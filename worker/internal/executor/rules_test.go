package executor

import (
	"slices"
	"time"
)

// fate is what has become of a task.
type fate string

const (
	fateQueued    fate = "queued"
	fateWaiting   fate = "waiting" // its submit blocks
	fateRunning   fate = "running"
	fateByCaller  fate = "run by its caller"
	fateDone      fate = "done"
	fateDiscarded fate = "discarded"
	fateAborted   fate = "aborted"
	fateStopped   fate = "refused after the stop"
	fateGivenUp   fate = "given up by its caller"
)

// rules are those of a java.util.concurrent.ThreadPoolExecutor, as its
// documentation states them, one event after the other: no locks, no
// goroutines, and a clock that is told how late it is. PolicyBlock is the one
// that Java does not have.
type rules struct {
	PoolConfig
	now     time.Duration
	stopped bool

	fates   []fate // of each task, by its number
	queue   []int
	waiting []int
	idle    []time.Duration // since when each idle worker is; the longest first
	workers int

	largest, completed, saturated, discarded int
}

func (r *rules) submit() {
	n := len(r.fates)
	r.fates = append(r.fates, "")
	switch {
	case r.stopped:
		r.fates[n] = fateStopped
	case r.workers < r.Core: // "a new thread is created, even if other worker threads are idle"
		r.hire(n)
	case len(r.idle) > 0: // it waits for the queue, and takes what is put there
		r.idle = r.idle[:len(r.idle)-1]
		r.fates[n] = fateRunning
	case len(r.queue) < r.Queue:
		r.enqueue(n)
		if r.workers == 0 {
			r.hire(r.dequeue())
		}
	case r.workers < r.Max: // "only if the queue is full"
		r.hire(n)
	default:
		r.saturated++
		r.saturate(n)
	}
}

func (r *rules) hire(n int) {
	r.workers++
	r.largest = max(r.largest, r.workers)
	r.fates[n] = fateRunning
}

func (r *rules) enqueue(n int) {
	r.queue = append(r.queue, n)
	r.fates[n] = fateQueued
}

func (r *rules) dequeue() int {
	n := r.queue[0]
	r.queue = r.queue[1:]
	return n
}

func (r *rules) saturate(n int) {
	switch r.Policy {
	case Abort:
		r.fates[n] = fateAborted
	case CallerRuns:
		r.fates[n] = fateByCaller
	case Discard:
		r.discarded++
		r.fates[n] = fateDiscarded
	case DiscardOldest: // "the task at the head of the work queue is dropped, and then execution is retried"
		r.discarded++
		r.fates[r.dequeue()] = fateDiscarded
		r.enqueue(n)
	case Block:
		r.waiting = append(r.waiting, n)
		r.fates[n] = fateWaiting
	}
}

// next is what a worker takes that has nothing to do, -1 for nothing.
func (r *rules) next() int {
	switch {
	case len(r.queue) > 0:
		n := r.dequeue()
		r.letWaitingQueue()
		return n
	case len(r.waiting) > 0:
		n := r.waiting[0]
		r.waiting = r.waiting[1:]
		return n
	default:
		return -1
	}
}

func (r *rules) letWaitingQueue() {
	for len(r.waiting) > 0 && len(r.queue) < r.Queue {
		r.enqueue(r.waiting[0])
		r.waiting = r.waiting[1:]
	}
}

// finish ends a task that runs.
func (r *rules) finish(n int) {
	byCaller := r.fates[n] == fateByCaller
	r.fates[n] = fateDone
	r.completed++
	if byCaller {
		return
	}
	if r.workers > r.Max {
		r.workers--
		return
	}
	if next := r.next(); next >= 0 {
		r.fates[next] = fateRunning
		return
	}
	r.idle = append(r.idle, r.now)
	r.expire()
	if r.stopped {
		r.leave(len(r.idle))
	}
}

// expire ends the workers above the core that have been idle for long enough.
func (r *rules) expire() {
	for len(r.idle) > 0 && r.workers > r.Core && r.now-r.idle[0] >= r.KeepAlive {
		r.leave(1)
	}
}

func (r *rules) leave(n int) {
	r.idle = r.idle[n:]
	r.workers -= n
}

func (r *rules) pass(d time.Duration) {
	r.now += d
	r.expire()
}

// resize is setMaximumPoolSize and setCorePoolSize.
func (r *rules) resize(s Sizes) {
	grown := s.Core - r.Core
	r.Core, r.Max = s.Core, s.Max
	for range grown { // "new threads will, if needed, be started to execute any queued tasks"
		if len(r.queue) > 0 && r.workers < r.Core {
			r.hire(r.next())
		}
	}
	for len(r.waiting) > 0 && r.workers < r.Max {
		n := r.waiting[0]
		r.waiting = r.waiting[1:]
		r.hire(n)
	}
	for len(r.idle) > 0 && r.workers > r.Max { // "excess existing threads will be terminated when they next become idle"
		r.leave(1)
	}
	if grown < 0 { // its idle workers are interrupted, and begin to wait anew
		for i := range r.idle {
			r.idle[i] = r.now
		}
		r.expire()
	}
}

// giveUp has the caller of a waiting submit wait no longer.
func (r *rules) giveUp(n int) {
	r.waiting = slices.DeleteFunc(r.waiting, func(w int) bool { return w == n })
	r.fates[n] = fateGivenUp
}

// drain is shutdown: "previously submitted tasks are executed, but no new tasks
// will be accepted".
func (r *rules) drain() {
	r.stopped = true
	for _, n := range r.waiting {
		r.fates[n] = fateStopped
	}
	r.waiting = nil
	r.leave(len(r.idle))
}

func (r *rules) with(fates ...fate) []int {
	var tasks []int
	for n, f := range r.fates {
		if slices.Contains(fates, f) {
			tasks = append(tasks, n)
		}
	}
	return tasks
}

func (r *rules) stats() Stats {
	return Stats{
		Running: len(r.with(fateRunning, fateByCaller)), Queued: len(r.queue), Waiting: len(r.waiting),
		Workers: r.workers, LargestWorkers: r.largest,
		Completed: uint64(r.completed), Saturated: uint64(r.saturated), Discarded: uint64(r.discarded),
	}
}
