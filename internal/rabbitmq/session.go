package rabbitmq

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// session is one AMQP connection from its handshake to its loss.
type session struct {
	conn *amqp.Connection
	// raw is the socket beneath. Closing it is the only thing that frees the
	// goroutines which a peer that stopped reading holds inside a write, and
	// with them the library's own shutdown, which waits for those goroutines.
	raw    net.Conn
	closed chan struct{} // closed when the connection is lost or closed
	err    error         // why, to be read once closed is closed

	mu      sync.Mutex
	blocked chan struct{} // closed while the broker blocks the connection
	since   time.Time     // when it began to
}

// dial connects to the broker at url. The session watches itself: when the
// connection is lost it closes the socket first and s.closed next.
func dial(ctx context.Context, url string, cfg ConnectionConfig, onBlocked func(blocked bool, reason string, lasted time.Duration)) (*session, error) {
	ctx, cancel := context.WithTimeout(ctx, cfg.DialTimeout)
	defer cancel()
	s := &session{closed: make(chan struct{}), blocked: make(chan struct{}), err: amqp.ErrClosed}
	properties := amqp.NewConnectionProperties()
	properties.SetClientConnectionName(cfg.Name)
	var giveUp func() bool
	conn, err := amqp.DialConfig(url, amqp.Config{
		Heartbeat:  cfg.Heartbeat,
		Properties: properties,
		Dial: func(network, addr string) (net.Conn, error) {
			var d net.Dialer
			raw, err := d.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			giveUp = context.AfterFunc(ctx, func() { _ = raw.Close() })
			s.raw = &deadlineConn{Conn: raw, timeout: cfg.WriteTimeout}
			return s.raw, nil
		},
	})
	if giveUp != nil && !giveUp() && err == nil {
		err = context.Cause(ctx) // the socket was closed just after the handshake
	}
	if err != nil {
		if s.raw != nil {
			_ = s.raw.Close()
		}
		return nil, fmt.Errorf("connect to %s: %w", hostOf(url), err)
	}
	s.conn = conn
	closes := conn.NotifyClose(make(chan *amqp.Error, 1))
	blocks := conn.NotifyBlocked(make(chan amqp.Blocking, 8))
	go s.watch(closes, blocks, onBlocked)
	return s, nil
}

// watch ends with the connection.
func (s *session) watch(closes <-chan *amqp.Error, blocks <-chan amqp.Blocking, onBlocked func(bool, string, time.Duration)) {
	defer close(s.closed)
	for {
		select {
		case reason, lost := <-closes:
			s.kill()
			if lost {
				s.err = reason
			}
			if lasted, was := s.setBlocked(false); was {
				onBlocked(false, "", lasted)
			}
			return
		case b, ok := <-blocks:
			if !ok {
				blocks = nil
				continue
			}
			if lasted, changed := s.setBlocked(b.Active); changed {
				onBlocked(b.Active, b.Reason, lasted)
			}
		}
	}
}

// setBlocked reports whether the state changed, and how long the session had
// been blocked if it ends.
func (s *session) setBlocked(blocked bool) (lasted time.Duration, changed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := isClosed(s.blocked)
	switch {
	case blocked == was:
		return 0, false
	case blocked:
		s.since = time.Now()
		close(s.blocked)
		return 0, true
	default:
		s.blocked = make(chan struct{})
		return time.Since(s.since), true
	}
}

// blockedSignal returns a channel that is closed once the broker blocks the connection.
func (s *session) blockedSignal() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.blocked
}

func (s *session) isBlocked() bool { return isClosed(s.blockedSignal()) }

func (s *session) isClosed() bool { return isClosed(s.closed) }

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// kill closes the socket. The library notices and shuts the connection down.
func (s *session) kill() { _ = s.raw.Close() }

// call runs RPCs of the client library. They take no context, so when ctx ends
// the session is killed to make them return.
func (s *session) call(ctx context.Context, rpc func() error) error {
	stop := context.AfterFunc(ctx, s.kill)
	err := rpc()
	if !stop() && err != nil {
		return fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	return err
}

// close says goodbye to the broker, and hangs up where it does not answer
// within timeout, whether or not ctx has ended. A broker that blocks the
// connection would not read it.
func (s *session) close(ctx context.Context, timeout time.Duration) {
	if !s.isBlocked() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
		defer cancel()
		_ = s.call(ctx, s.conn.Close) // an error only says that it was closed already
	}
	s.kill()
	<-s.closed
}

// deadlineConn gives every write a deadline of its own. The library sets none,
// and a broker that stops reading would hold a publisher for ever.
type deadlineConn struct {
	net.Conn
	timeout time.Duration
}

// Write implements io.Writer.
func (c *deadlineConn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.timeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}
