package tcpproxy

import (
	"net"
	"sync"
	"time"
)

// flow is one direction of all connections of a proxy.
type flow struct {
	mu      sync.Mutex
	gate    chan struct{} // closed while bytes may pass
	isOpen  bool
	latency time.Duration
}

func (f *flow) shut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.isOpen || f.gate == nil {
		f.gate, f.isOpen = make(chan struct{}), false
	}
}

func (f *flow) open() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.isOpen {
		close(f.gate)
		f.isOpen = true
	}
}

func (f *flow) setLatency(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.latency = d
}

// due is when bytes that arrive now are to leave.
func (f *flow) due() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return time.Now().Add(f.latency)
}

// pass blocks while the flow is shut, and reports whether it was opened before done.
func (f *flow) pass(done <-chan struct{}) bool {
	f.mu.Lock()
	gate := f.gate
	f.mu.Unlock()
	select {
	case <-gate:
		return true
	case <-done:
		return false
	}
}

// link is one proxied connection.
type link struct {
	done chan struct{} // closed by close and reset

	mu    sync.Mutex
	conns []net.Conn // the client's, and the broker's once it was reached
	ended bool
	rst   bool // ended by reset
}

func newLink(client net.Conn) *link {
	return &link{conns: []net.Conn{client}, done: make(chan struct{})}
}

// attach adds the connection to the broker, or ends it as well when the link has ended meanwhile.
func (l *link) attach(server net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns = append(l.conns, server)
	if l.ended {
		l.closeConns()
	}
	return !l.ended
}

// close ends both connections; what was written before still arrives.
func (l *link) close() { l.end(false) }

// reset ends both connections with a TCP reset.
func (l *link) reset() { l.end(true) }

func (l *link) end(rst bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return
	}
	l.ended, l.rst = true, rst
	close(l.done)
	l.closeConns()
}

func (l *link) closeConns() {
	for _, conn := range l.conns {
		if tcp, ok := conn.(*net.TCPConn); ok && l.rst {
			_ = tcp.SetLinger(0)
		}
		_ = conn.Close()
	}
}

// chunk is a piece of a stream on its way through the proxy.
type chunk struct {
	data []byte
	due  time.Time
}

// pump forwards from src to dst until either ends, then ends the link. Reading runs ahead of writing by a bounded
// amount, so that latency delays the stream without narrowing it.
func (l *link) pump(f *flow, src, dst net.Conn) {
	chunks := make(chan chunk, 16)
	var reader sync.WaitGroup
	defer reader.Wait()
	defer l.close()
	reader.Go(func() {
		defer close(chunks)
		l.read(f, src, chunks)
	})
	for c := range chunks {
		if !l.waitUntil(c.due) || !f.pass(l.done) {
			return
		}
		if _, err := dst.Write(c.data); err != nil {
			return
		}
	}
}

// read reads chunks from src until it ends or the link does.
func (l *link) read(f *flow, src net.Conn, chunks chan<- chunk) {
	for f.pass(l.done) {
		buf := make([]byte, 16<<10)
		n, err := src.Read(buf)
		if n > 0 {
			select {
			case chunks <- chunk{buf[:n], f.due()}:
			case <-l.done:
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// waitUntil returns at the given time, or reports false when the link ends before.
func (l *link) waitUntil(at time.Time) bool {
	wait := time.Until(at)
	if wait <= 0 {
		return true
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-l.done:
		return false
	}
}
