package executor

import "time"

// poolWorker is a goroutine of a pool. It runs one task after the other while
// there are some for it, and is parked while there are none. A goroutine that
// was woken, and finds more ready than it takes, wakes the next one before it
// runs its task. So tasks that are over before anybody could be woken are run by
// those that are awake, and tasks that take their time have a goroutine each.
type poolWorker struct {
	woken chan struct{} // receives when it is woken; closed when it has to end
}

// goroutines are those of a pool that run no task.
type goroutines struct {
	parked []*poolWorker // the one that was parked last is the last
	waking bool          // one was woken and has not arrived yet
	leaves int           // how many that arrive have to end
}

// wake wakes a goroutine for ready tasks, unless one is on its way.
func (g *goroutines) wake(ready int) {
	if ready == 0 || g.waking {
		return
	}
	last := len(g.parked) - 1
	w := g.parked[last]
	g.parked[last] = nil
	g.parked = g.parked[:last]
	g.waking = true
	w.woken <- struct{}{}
}

// end ends n goroutines that run no task: those that have been parked for
// longest, and else the one that is on its way.
func (g *goroutines) end(n int) {
	for _, w := range g.parked[:min(n, len(g.parked))] {
		close(w.woken)
	}
	left := copy(g.parked, g.parked[min(n, len(g.parked)):])
	g.leaves += n - (len(g.parked) - left)
	clear(g.parked[left:])
	g.parked = g.parked[:left]
}

// hire starts a worker with its first task.
func (p *pool) hire(t Task) {
	p.workers++
	p.busy++
	p.largest = max(p.largest, p.workers)
	go p.work(&poolWorker{woken: make(chan struct{}, 1)}, t)
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

// proceed ends a task of the goroutine and waits for the next one. It returns
// false where the goroutine has to end.
func (p *pool) proceed(w *poolWorker) (t Task, more bool) {
	p.mu.Lock()
	p.busy--
	p.completed++
	if t, more = p.next(); more {
		p.mu.Unlock()
		return t, true
	}
	quits := p.workers > p.max || p.ends()
	if quits {
		p.quit()
	} else {
		p.rest()
		p.parked = append(p.parked, w)
	}
	p.mu.Unlock()
	if quits {
		return Task{}, false
	}
	return p.awake(w)
}

// next is what a goroutine runs next, if there is something.
func (p *pool) next() (t Task, more bool) {
	switch {
	case p.workers > p.max:
		return Task{}, false // others run what is ready
	case p.queue.count > 0 || p.waiting.count > 0:
		t = p.take()
		p.busy++
		if p.ready.count > 0 {
			p.ready.push(t)
			t = p.ready.pop()
		}
		return t, true
	case p.ready.count == 0:
		return Task{}, false
	}
	// The worker whose task that is has none now. This one goes on in its place.
	if p.ends() {
		p.end(1)
		p.quit()
	} else {
		p.rest()
	}
	return p.ready.pop(), true
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

// ends reports whether a worker that has nothing to do ends at once.
func (p *pool) ends() bool { return p.stopped || p.workers > p.core && p.cfg.KeepAlive == 0 }

// awake waits until a goroutine has something to run, or has to end.
func (p *pool) awake(w *poolWorker) (t Task, more bool) {
	for range w.woken {
		p.mu.Lock()
		p.waking = false
		switch {
		case p.leaves > 0:
			p.leaves--
			p.wake(p.ready.count)
			p.mu.Unlock()
			return Task{}, false
		case p.ready.count > 0:
			t = p.ready.pop()
			p.wake(p.ready.count)
			p.mu.Unlock()
			return t, true
		}
		p.parked = append(p.parked, w) // another one was faster
		p.mu.Unlock()
	}
	return Task{}, false
}

// quit ends a worker.
func (p *pool) quit() {
	p.workers--
	p.closeIfDone()
}

// leave ends the n workers that have been idle for longest.
func (p *pool) leave(n int) {
	if n <= 0 {
		return
	}
	p.idle = p.idle[:copy(p.idle, p.idle[n:])]
	p.workers -= n
	p.end(n)
}

// rest makes a worker idle.
func (p *pool) rest() {
	if p.workers <= p.core {
		p.idle = append(p.idle, 0) // it does not expire
		return
	}
	p.idle = append(p.idle, time.Since(p.start))
	if !p.expiring {
		p.expireAfter(p.cfg.KeepAlive)
	}
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
	now := time.Since(p.start)
	n := 0
	for n < len(p.idle) && n < p.workers-p.core && now-p.idle[n] >= p.cfg.KeepAlive {
		n++
	}
	p.leave(n)
	if len(p.idle) > 0 && p.workers > p.core {
		p.expireAfter(p.cfg.KeepAlive - (now - p.idle[0]))
	}
}

// restartExpiry has all idle workers begin their time to keep alive anew.
func (p *pool) restartExpiry() {
	if len(p.idle) == 0 || p.workers <= p.core || p.stopped {
		return
	}
	now := time.Since(p.start)
	for i := range p.idle {
		p.idle[i] = now
	}
	if !p.expiring {
		p.expireAfter(p.cfg.KeepAlive)
	}
}
