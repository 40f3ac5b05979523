package lab

import (
	"context"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/twinlane/twinlane/worker/internal/executor"
)

// postOffice is a sender, its receivers, and what they run on.
type postOffice struct {
	env              *Env
	interval, blocks time.Duration
	mailbox          int

	ctx            context.Context //nolint:containedctx // Of the one run, for handlers that loops call without one.
	loops          []*loop
	workers        []observed
	sent, received atomic.Int64
}

// run lets all loops loop for length and returns how long that was.
func (p *postOffice) run(ctx context.Context, dog *executor.Watchdog, length time.Duration) (time.Duration, error) {
	limited, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	p.ctx = limited
	start := time.Now()
	var g errgroup.Group
	g.Go(func() error { return dog.Run(limited) })
	for _, l := range p.loops {
		g.Go(func() error { return l.run(limited, dog) })
	}
	err := g.Wait()
	elapsed := time.Since(start)
	for _, w := range p.workers {
		w.Drain(context.WithoutCancel(ctx)) // whatever is left in a queue sees that the time is over
	}
	if err == nil {
		err = context.Cause(ctx)
	}
	return elapsed, err
}

// threads is how many loops and workers there were.
func (p *postOffice) threads() int {
	n := len(p.loops)
	for _, w := range p.workers {
		n += w.Stats().LargestWorkers
	}
	return n
}

// receive is what a receiver does with a message.
func (p *postOffice) receive() {
	if pause(p.ctx, p.blocks) == nil {
		p.received.Add(1)
	}
}

func (p *postOffice) loop(name string) (*loop, error) {
	l, err := p.env.newLoop(name, p.mailbox)
	p.loops = append(p.loops, l)
	return l, err
}

// sender returns a loop that sends a message at each interval.
func (p *postOffice) sender(name string, deliver func()) error {
	l, err := p.loop(name)
	if err != nil {
		return err
	}
	l.tick = p.interval
	l.onTick = func() {
		p.sent.Add(1)
		deliver()
	}
	return nil
}

func (p *postOffice) pool(name string, c executor.Config) (observed, error) {
	c.OSThreads = true
	w, err := p.env.newExecutor(name, c)
	p.workers = append(p.workers, w)
	return w, err
}

func (p *postOffice) oneLoop() error {
	return p.sender("event-loop", func() { p.loops[0].post(p.receive) })
}

func (p *postOffice) ownLoops() error {
	receiver, err := p.loop("receiver-loop")
	if err != nil {
		return err
	}
	return p.sender("sender-loop", func() { receiver.post(p.receive) })
}

func (p *postOffice) workerPool() error {
	pool, err := p.pool("receivers", executor.Config{Model: executor.ModelPool, Pool: executor.Fixed(receivers)})
	if err != nil {
		return err
	}
	return p.sender("sender-loop", func() { p.submit(pool, executor.Task{Run: p.receive}) })
}

// blockingSender has a thread of its own for what the sender does, so that its
// loop would be free even if that took time.
func (p *postOffice) blockingSender() error {
	pool, err := p.pool("receivers", executor.Config{Model: executor.ModelPool, Pool: executor.Fixed(receivers)})
	if err != nil {
		return err
	}
	calls, err := p.pool("sender", executor.Config{Model: executor.ModelPool, Pool: executor.Single()})
	if err != nil {
		return err
	}
	l, err := p.loop("sender-loop")
	if err != nil {
		return err
	}
	l.tick = p.interval
	l.onTick = func() {
		p.submit(calls, executor.Task{Run: func() {
			p.sent.Add(1)
			p.submit(pool, executor.Task{Run: p.receive})
		}})
	}
	return nil
}

// orderedReceiver has a receiver's loop hand its messages to workers, which take
// them one after the other: they all have one key.
func (p *postOffice) orderedReceiver() error {
	calls, err := p.pool("receivers", executor.Config{Model: executor.ModelKeyed, Concurrency: receivers, KeyQueue: p.mailbox})
	if err != nil {
		return err
	}
	receiver, err := p.loop("receiver-loop")
	if err != nil {
		return err
	}
	return p.sender("sender-loop", func() {
		receiver.post(func() { p.submit(calls, executor.Task{Key: receiver.name, Run: p.receive}) })
	})
}

// submit hands a task to workers whose queue has room for all that is sent. It
// fails only when the time is over.
func (p *postOffice) submit(to executor.Executor, t executor.Task) { _ = to.Submit(p.ctx, t) }
