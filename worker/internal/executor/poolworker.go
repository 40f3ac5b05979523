package executor

import "time"

// poolWorker is a goroutine of a pool.
type poolWorker struct {
	next      chan Task // what it takes while it is idle; closed when it has to end
	idleSince time.Time // where it may expire
}

// hire starts a worker with its first task.
func (p *pool) hire(t Task) {
	p.workers++
	p.running++
	p.largest = max(p.largest, p.workers)
	go p.work(&poolWorker{next: make(chan Task, 1)}, t)
}

// work runs one task after the other. Where a task ends the goroutine, another
// one takes its place.
func (p *pool) work(w *poolWorker, t Task) {
	p.runner.ownThread()
	ended := false
	defer func() {
		if !ended {
			go p.replace(w)
		}
	}()
	for more := true; more; t, more = p.proceed(w) {
		p.runner.run(t)
	}
	ended = true
}

// replace goes on where a goroutine has ended amid a task.
func (p *pool) replace(w *poolWorker) {
	if t, more := p.proceed(w); more {
		p.work(w, t)
	}
}

// proceed ends a task of the worker and waits for the next one. It returns false
// where the worker has to end.
func (p *pool) proceed(w *poolWorker) (t Task, more bool) {
	p.mu.Lock()
	p.running--
	p.completed++
	switch {
	case p.workers > p.max:
		p.quit()
	case p.queue.count > 0 || p.waiting.count > 0:
		t = p.take()
		p.running++
		p.mu.Unlock()
		return t, true
	case p.stopped || p.workers > p.core && p.cfg.KeepAlive == 0:
		p.quit()
	default:
		p.rest(w)
		p.mu.Unlock()
		t, more = <-w.next
		return t, more
	}
	p.mu.Unlock()
	return Task{}, false
}

// take takes the oldest task, and lets the submits that wait fill the queue.
func (p *pool) take() Task {
	if p.queue.count == 0 {
		return p.waiting.answer(nil)
	}
	t := p.queue.pop()
	for p.waiting.count > 0 && p.queue.count < p.cfg.Queue {
		p.queue.push(p.waiting.answer(nil))
	}
	return t
}

// quit ends a worker that is not idle.
func (p *pool) quit() {
	p.workers--
	p.closeIfDone()
}

// rest makes a worker idle.
func (p *pool) rest(w *poolWorker) {
	p.idle = append(p.idle, w)
	if p.workers <= p.core {
		return
	}
	w.idleSince = time.Now()
	if !p.expiring {
		p.expireAfter(p.cfg.KeepAlive)
	}
}

// dismiss ends the n workers that have been idle for longest.
func (p *pool) dismiss(n int) {
	if n <= 0 {
		return
	}
	for _, w := range p.idle[:n] {
		close(w.next)
	}
	left := copy(p.idle, p.idle[n:])
	clear(p.idle[left:])
	p.idle = p.idle[:left]
	p.workers -= n
}

func (p *pool) expireAfter(d time.Duration) {
	p.expiring = true
	if p.expiry == nil {
		p.expiry = time.AfterFunc(d, p.expire)
		return
	}
	p.expiry.Reset(d)
}

// expire ends the workers above the core that have been idle for long enough.
func (p *pool) expire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expiring = false
	if p.stopped {
		return
	}
	now := time.Now()
	n := 0
	for n < len(p.idle) && n < p.workers-p.core && now.Sub(p.idle[n].idleSince) >= p.cfg.KeepAlive {
		n++
	}
	p.dismiss(n)
	if len(p.idle) > 0 && p.workers > p.core {
		p.expireAfter(p.cfg.KeepAlive - now.Sub(p.idle[0].idleSince))
	}
}

// restartExpiry has all idle workers begin their time to keep alive anew.
func (p *pool) restartExpiry() {
	if len(p.idle) == 0 || p.workers <= p.core || p.stopped {
		return
	}
	now := time.Now()
	for _, w := range p.idle {
		w.idleSince = now
	}
	if !p.expiring {
		p.expireAfter(p.cfg.KeepAlive)
	}
}
