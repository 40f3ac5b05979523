// Package tcpproxy is a TCP proxy that fails on demand: it pauses, delays,
// resets and refuses connections. The tests and the lab put it between a client
// and a broker, whose protocol it does not know.
package tcpproxy

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"
)

// Direction is a way through a Proxy.
type Direction int

// The directions of a connection. A method of Proxy that is given none means both.
const (
	ToServer Direction = iota
	ToClient
)

// Proxy is a TCP proxy in front of one address. Its methods may be called by several goroutines.
type Proxy struct {
	addr   string // where it listens
	target string
	ctx    context.Context //nolint:containedctx // The lifetime of the proxy, ended by Close.
	cancel context.CancelFunc
	flows  [2]flow // by Direction
	tasks  sync.WaitGroup

	mu       sync.Mutex
	listener net.Listener // nil while connections are refused
	links    map[*link]struct{}
	accepted int
}

// New starts a proxy that accepts on listener, which it owns from then on, and forwards to the address target.
func New(listener net.Listener, target string) *Proxy {
	p := &Proxy{addr: listener.Addr().String(), target: target, listener: listener, links: make(map[*link]struct{})}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.Pause()
	p.Resume()
	p.serve()
	return p
}

// Addr is where the proxy listens.
func (p *Proxy) Addr() string { return p.addr }

// Accepted counts the connections that were ever accepted.
func (p *Proxy) Accepted() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.accepted
}

// Pause stops forwarding and keeps the connections open, as a hung peer or a dead network does: bytes pile up in the
// buffers in between, until the sender blocks.
func (p *Proxy) Pause(dirs ...Direction) {
	for _, f := range p.pick(dirs) {
		f.shut()
	}
}

// Resume forwards again, beginning with what was held back.
func (p *Proxy) Resume(dirs ...Direction) {
	for _, f := range p.pick(dirs) {
		f.open()
	}
}

// SetLatency delays what arrives from now on by d.
func (p *Proxy) SetLatency(d time.Duration, dirs ...Direction) {
	for _, f := range p.pick(dirs) {
		f.setLatency(d)
	}
}

func (p *Proxy) pick(dirs []Direction) []*flow {
	if len(dirs) == 0 {
		dirs = []Direction{ToServer, ToClient}
	}
	flows := make([]*flow, len(dirs))
	for i, d := range dirs {
		flows[i] = &p.flows[d]
	}
	return flows
}

// Drop resets all connections, on both sides, and returns how many there were.
func (p *Proxy) Drop() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.reset()
	}
	return len(p.links)
}

// Refuse lets nobody connect any more: the port is closed. Connections that exist are kept.
func (p *Proxy) Refuse() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil {
		_ = p.listener.Close()
		p.listener = nil
	}
}

// Accept undoes Refuse.
func (p *Proxy) Accept() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil || p.ctx.Err() != nil {
		return nil
	}
	l, err := new(net.ListenConfig).Listen(p.ctx, "tcp", p.addr)
	if err != nil {
		return fmt.Errorf("proxy: %w", err)
	}
	p.listener = l
	p.serve()
	return nil
}

// Close resets all connections and returns after every goroutine of the proxy has ended.
func (p *Proxy) Close() {
	p.cancel()
	p.Refuse()
	p.Drop()
	p.tasks.Wait()
}

// serve accepts connections until the current listener is closed.
func (p *Proxy) serve() {
	listener := p.listener
	p.tasks.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			p.tasks.Go(func() { p.handle(client) })
		}
	})
}

// handle forwards one connection until either side ends it. A broker that cannot be reached resets the client.
func (p *Proxy) handle(client net.Conn) {
	l := newLink(client)
	defer l.close()
	if !p.add(l) {
		l.reset()
		return
	}
	defer p.remove(l)
	server, err := new(net.Dialer).DialContext(p.ctx, "tcp", p.target)
	if err != nil {
		l.reset()
		return
	}
	if !l.attach(server) {
		return
	}
	var pumps sync.WaitGroup
	pumps.Go(func() { l.pump(&p.flows[ToServer], client, server) })
	pumps.Go(func() { l.pump(&p.flows[ToClient], server, client) })
	pumps.Wait()
}

// add registers a link, unless the proxy is closing.
func (p *Proxy) add(l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ctx.Err() != nil {
		return false
	}
	p.accepted++
	p.links[l] = struct{}{}
	return true
}

func (p *Proxy) remove(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, l)
}
