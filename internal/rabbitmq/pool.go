package rabbitmq

import (
	"context"
	"slices"
	"sync"
)

// pool hands out channels. A channel is in it from when its owner adds it
// until its owner removes it; nobody else can lose a place in it.
type pool interface {
	add(c *confirmChannel)
	remove(c *confirmChannel)
	// acquire returns a usable channel. It waits for one until ctx ends.
	acquire(ctx context.Context) (*confirmChannel, error)
	// tryAcquire returns a usable channel, or nil where it would have to wait.
	tryAcquire() *confirmChannel
	release(c *confirmChannel)
}

// pipelinedPool lets any number of publishes share a channel.
type pipelinedPool struct {
	mu       sync.Mutex
	channels []*confirmChannel // replaced, never changed
	added    chan struct{}     // closed, and replaced, by add
}

func newPipelinedPool() *pipelinedPool { return &pipelinedPool{added: make(chan struct{})} }

func (p *pipelinedPool) add(c *confirmChannel) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.channels = append(slices.Clone(p.channels), c)
	close(p.added)
	p.added = make(chan struct{})
}

func (p *pipelinedPool) remove(c *confirmChannel) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.channels = slices.DeleteFunc(slices.Clone(p.channels), func(o *confirmChannel) bool { return o == c })
}

func (p *pipelinedPool) acquire(ctx context.Context) (*confirmChannel, error) {
	for {
		p.mu.Lock()
		channels, added := p.channels, p.added
		p.mu.Unlock()
		if c := leastLoaded(channels); c != nil {
			return c, nil
		}
		select {
		case <-added:
		case <-ctx.Done():
			return nil, ErrUnavailable
		}
	}
}

func (p *pipelinedPool) tryAcquire() *confirmChannel {
	p.mu.Lock()
	channels := p.channels
	p.mu.Unlock()
	return leastLoaded(channels)
}

func (p *pipelinedPool) release(*confirmChannel) {}

func leastLoaded(channels []*confirmChannel) *confirmChannel {
	var best *confirmChannel
	for _, c := range channels {
		if c.usable() && (best == nil || c.inFlight.Load() < best.inFlight.Load()) {
			best = c
		}
	}
	return best
}

// exclusivePool lends each channel to one publish at a time.
type exclusivePool struct {
	free chan *confirmChannel
}

// newExclusivePool returns a pool for at most size channels.
func newExclusivePool(size int) *exclusivePool {
	return &exclusivePool{free: make(chan *confirmChannel, size)}
}

func (p *exclusivePool) add(c *confirmChannel) { p.free <- c }

// remove drops c where it is free. Where it is out, release drops it.
func (p *exclusivePool) remove(c *confirmChannel) {
	for range len(p.free) {
		select {
		case o := <-p.free:
			if o != c {
				p.free <- o
			}
		default:
			return
		}
	}
}

func (p *exclusivePool) acquire(ctx context.Context) (*confirmChannel, error) {
	for {
		select {
		case c := <-p.free:
			switch {
			case c.usable():
				return c, nil
			case c.dead(): // its owner is about to remove it
			default:
				p.free <- c
				return nil, ErrBlocked
			}
		case <-ctx.Done():
			return nil, ErrSaturated
		}
	}
}

func (p *exclusivePool) tryAcquire() *confirmChannel {
	select {
	case c := <-p.free:
		if c.usable() {
			return c
		}
		p.release(c)
	default:
	}
	return nil
}

func (p *exclusivePool) release(c *confirmChannel) {
	if !c.dead() {
		p.free <- c
	}
}
