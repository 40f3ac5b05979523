package executor

import (
	"context"
	"sync"
	"time"
)

// pool runs tasks on workers that stay, with a queue and a saturation policy. It
// has the rules of a java.util.concurrent.ThreadPoolExecutor: which of worker,
// queue and policy takes a task, when a worker ends, and what a change of its
// sizes does. It differs once it is drained: every submit is refused with
// ErrStopped then, where all policies but abort of that one drop the task and tell
// nobody. Of several idle workers, the one that became idle last takes a
// task, so that those that are not needed stay idle and end.
//
// The rules are kept by counting. A task that an idle worker takes is ready: it
// counts as running, the worker is idle no more, and any goroutine of the pool
// may run it. To wake one costs more than many a task, so one at a time is on
// its way: see poolWorker.
//
// These hold whenever the lock is free: no worker is idle while a task is
// queued, no submit waits while there is room, and while a task is ready a
// goroutine is on its way to it.
type pool struct {
	cfg    PoolConfig // but for its sizes, which change
	runner *runner
	start  time.Time
	done   chan struct{} // closed once it is stopped and nothing is left

	mu        sync.Mutex // guards the fields below and the closing of the channel
	core, max int
	queue     ring
	ready     ring
	waiting   waitlist // of Block
	workers   int
	idle      []time.Duration // since when, after start, each idle worker is; the one that became so last is the last
	busy      int             // workers that are not idle: each has a task, ready ones as well
	callers   int             // tasks that submitting goroutines run
	goroutines
	expiry   *time.Timer
	expiring bool // expiry is set
	stopped  bool

	largest                         int
	completed, saturated, discarded uint64
}

func newPool(cfg PoolConfig, r *runner) *pool {
	return &pool{cfg: cfg, runner: r, start: time.Now(), done: make(chan struct{}), core: cfg.Core, max: cfg.Max}
}

// Submit implements Executor.
func (p *pool) Submit(ctx context.Context, t Task) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	p.mu.Lock()
	if p.stopped {
		p.mu.Unlock()
		return ErrStopped
	}
	if p.place(t) {
		p.mu.Unlock()
		return nil
	}
	p.saturated++
	return p.saturate(ctx, t)
}

// place finds the place of a task, if there is one.
func (p *pool) place(t Task) bool {
	switch {
	case p.workers < p.core:
		p.hire(t)
	case len(p.idle) > 0:
		p.idle = p.idle[:len(p.idle)-1]
		p.busy++
		p.ready.push(t)
		p.wake(p.ready.count)
	case p.workers == 0: // a pool without a core has one worker for its queue
		p.hire(t)
	case p.queue.count < p.cfg.Queue:
		p.queue.push(t)
	case p.workers < p.max:
		p.hire(t)
	default:
		return false
	}
	return true
}

// saturate does what the policy says with a task that has no place. It is
// called with the lock and gives it back.
func (p *pool) saturate(ctx context.Context, t Task) error {
	switch p.cfg.Policy {
	case CallerRuns:
		p.callers++
		p.mu.Unlock()
		defer p.finishHere()
		p.runner.runHere(t)
	case Discard:
		p.discarded++
		p.mu.Unlock()
		p.runner.discard(t)
	case DiscardOldest:
		oldest := p.queue.pop()
		p.queue.push(t)
		p.discarded++
		p.mu.Unlock()
		p.runner.discard(oldest)
	case Block:
		w := p.waiting.push(t)
		p.mu.Unlock()
		return p.waiting.wait(ctx, &p.mu, w)
	default: // Abort
		p.mu.Unlock()
		return ErrSaturated
	}
	return nil
}

// finishHere ends a task that its submitting goroutine has run.
func (p *pool) finishHere() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.callers--
	p.completed++
	p.closeIfDone()
}

// Drain implements Executor. Idle workers end at once, the others when the queue
// is empty.
func (p *pool) Drain(ctx context.Context) int {
	p.mu.Lock()
	if !p.stopped {
		p.stopped = true
		p.waiting.answerAll(ErrStopped)
		p.leave(len(p.idle))
		if p.expiring {
			p.expiry.Stop()
		}
		p.closeIfDone()
	}
	p.mu.Unlock()
	select {
	case <-p.done:
		return 0
	case <-ctx.Done():
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.busy + p.callers + p.queue.count
	}
}

// closeIfDone is called whenever the last task or worker may have ended.
func (p *pool) closeIfDone() {
	if p.stopped && p.workers == 0 && p.callers == 0 { // and then nothing is queued
		close(p.done)
	}
}

// Stats implements Observed.
func (p *pool) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Stats{
		Running: p.busy + p.callers, Queued: p.queue.count, Waiting: p.waiting.count,
		Workers: p.workers, LargestWorkers: p.largest,
		Completed: p.completed, Saturated: p.saturated, Discarded: p.discarded,
	}
}

// Sizes implements Resizer.
func (p *pool) Sizes() Sizes {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Sizes{Core: p.core, Max: p.max}
}

// Resize implements Resizer. With a larger core, queued tasks have new workers
// at once. With a smaller one, idle workers above it have their time to keep
// alive from now on. Workers above a smaller maximum end as they become idle.
func (p *pool) Resize(s Sizes) error {
	if err := s.onlyPool(); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	grown, shrunk := s.Core-p.core, s.Core < p.core
	p.core, p.max = s.Core, s.Max
	for ; grown > 0 && p.workers < p.core && p.queue.count > 0; grown-- {
		p.hire(p.take())
	}
	for p.waiting.count > 0 && p.workers < p.max { // which there is a new worker for, as the queue is full
		p.hire(p.waiting.answer(nil))
	}
	p.leave(min(len(p.idle), p.workers-p.max))
	if shrunk {
		p.restartExpiry()
	}
	return nil
}
