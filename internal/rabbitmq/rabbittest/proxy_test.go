package rabbittest_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/url"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/rabbitmq/rabbittest"
)

func TestProxyForwards(t *testing.T) {
	t.Parallel()
	server := listen(t)
	p := rabbittest.StartProxy(t, "amqp://u:p@"+server.Addr().String()+"/vhost")
	require.Regexp(t, `^amqp://u:p@127\.0\.0\.1:\d+/vhost$`, p.URL())

	require.Zero(t, p.Accepted())
	a, b := connect(t, p, server)
	connect(t, p, server)
	require.Equal(t, 2, p.Accepted())
	requirePasses(t, a, b)
	requirePasses(t, b, a)

	// What was written before an orderly end arrives.
	data := bytes.Repeat([]byte("twinlane"), 100_000)
	go func() {
		_, _ = b.Write(data)
		_ = b.Close()
	}()
	got, err := io.ReadAll(a)
	require.NoError(t, err)
	require.True(t, bytes.Equal(data, got))
}

func TestProxyPausesOneDirection(t *testing.T) {
	t.Parallel()
	server := listen(t)
	p := rabbittest.StartProxy(t, "amqp://"+server.Addr().String())
	client, broker := connect(t, p, server)
	for paused, conns := range map[rabbittest.Direction][2]net.Conn{
		rabbittest.ToServer: {client, broker},
		rabbittest.ToClient: {broker, client},
	} {
		from, to := conns[0], conns[1]
		p.Pause(paused)
		p.Pause(paused)
		_, err := from.Write([]byte("held back"))
		require.NoError(t, err)
		requireSilence(t, to)
		requirePasses(t, to, from)

		p.Resume(paused)
		require.Equal(t, "held back", read(t, to, len("held back")))
		requirePasses(t, from, to)
	}
	p.Pause()
	_, err := client.Write([]byte("a"))
	require.NoError(t, err)
	_, err = broker.Write([]byte("b"))
	require.NoError(t, err)
	requireSilence(t, client)
	requireSilence(t, broker)
	p.Resume()
	require.Equal(t, "ba", read(t, client, 1)+read(t, broker, 1))
}

func TestProxyPauseBlocksASender(t *testing.T) {
	t.Parallel()
	server := listen(t)
	p := rabbittest.StartProxy(t, "amqp://"+server.Addr().String())
	client, _ := connect(t, p, server)
	p.Pause(rabbittest.ToServer)
	require.NoError(t, client.SetWriteDeadline(time.Now().Add(time.Second)))
	_, err := client.Write(make([]byte, 64<<20))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
}

func TestProxyDrops(t *testing.T) {
	t.Parallel()
	server := listen(t)
	p := rabbittest.StartProxy(t, "amqp://"+server.Addr().String())
	a, b := connect(t, p, server)
	p.Pause() // a dead network can lose its connections as well
	require.Equal(t, 1, p.Drop())
	for _, conn := range []net.Conn{a, b} {
		_, err := conn.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ECONNRESET)
	}
	p.Resume()
	require.Eventually(t, func() bool { return p.Drop() == 0 }, patience, time.Millisecond)
	a, b = connect(t, p, server)
	requirePasses(t, a, b)
}

func TestProxyRefuses(t *testing.T) {
	t.Parallel()
	server := listen(t)
	p := rabbittest.StartProxy(t, "amqp://"+server.Addr().String())
	a, b := connect(t, p, server)
	p.Refuse()
	p.Refuse()
	_, err := net.Dial("tcp", host(t, p.URL()))
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	requirePasses(t, a, b)

	require.NoError(t, p.Accept())
	require.NoError(t, p.Accept())
	a, b = connect(t, p, server)
	requirePasses(t, a, b)
	require.Equal(t, 2, p.Accepted())
}

func TestProxyDelays(t *testing.T) {
	t.Parallel()
	server := listen(t)
	p := rabbittest.StartProxy(t, "amqp://"+server.Addr().String())
	a, b := connect(t, p, server)
	const delay = 100 * time.Millisecond
	p.SetLatency(delay)
	began := time.Now()
	requirePasses(t, a, b)
	requirePasses(t, b, a)
	require.GreaterOrEqual(t, time.Since(began), 2*delay)

	// A stream is delayed as a whole, not piece by piece.
	p.SetLatency(0, rabbittest.ToClient)
	began = time.Now()
	data := make([]byte, 2<<20)
	go func() { _, _ = a.Write(data) }()
	read(t, b, len(data))
	require.Less(t, time.Since(began), 128*delay/2, "128 pieces")
}

func TestProxyWithoutServer(t *testing.T) {
	t.Parallel()
	server := listen(t)
	require.NoError(t, server.Close())
	p := rabbittest.StartProxy(t, "amqp://"+server.Addr().String())
	conn, err := net.Dial("tcp", host(t, p.URL()))
	if err == nil {
		t.Cleanup(func() { _ = conn.Close() })
		_, err = conn.Read(make([]byte, 1))
	}
	require.ErrorIs(t, err, syscall.ECONNRESET)
}

func TestProxyCloses(t *testing.T) {
	t.Parallel()
	server := listen(t)
	p := rabbittest.StartProxy(t, "amqp://"+server.Addr().String())
	a, _ := connect(t, p, server)
	p.SetLatency(time.Hour)
	_, err := a.Write([]byte("x"))
	require.NoError(t, err)
	p.Close()
	_, err = a.Read(make([]byte, 1))
	require.ErrorIs(t, err, syscall.ECONNRESET)
	require.NoError(t, p.Accept(), "stays closed")
	_, err = net.Dial("tcp", host(t, p.URL()))
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
}

func TestProxyHoldsAConfirmBack(t *testing.T) {
	t.Parallel()
	queue := rabbittest.Prefix(t)
	p := rabbittest.StartProxy(t, rabbittest.URL(t))
	c := dial(t, p.URL())
	c.declare(t, queue)
	c.send(t, queue, "first")
	require.Equal(t, "first", c.get(t, queue))

	p.Pause(rabbittest.ToClient)
	confirm := c.publish(t, queue, "second")
	direct := dial(t, rabbittest.URL(t))
	require.Eventually(t, func() bool {
		q, err := direct.QueueDeclarePassive(queue, true, false, false, false, nil)
		return err == nil && q.Messages == 1
	}, patience, 10*time.Millisecond, "the broker has it")
	_, err := confirm.WaitContext(within(t, 50*time.Millisecond))
	require.ErrorIs(t, err, context.DeadlineExceeded, "but nobody knows")
	p.Resume(rabbittest.ToClient)
	acked, err := confirm.WaitContext(within(t, patience))
	require.NoError(t, err)
	require.True(t, acked)
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func host(t *testing.T, brokerURL string) string {
	t.Helper()
	u, err := url.Parse(brokerURL)
	require.NoError(t, err)
	return u.Host
}

// connect connects to the server through the proxy and returns both ends.
func connect(t *testing.T, p *rabbittest.Proxy, server net.Listener) (client, broker net.Conn) {
	t.Helper()
	client, err := net.Dial("tcp", host(t, p.URL()))
	require.NoError(t, err)
	broker, err = server.Accept()
	require.NoError(t, err)
	for _, conn := range []net.Conn{client, broker} {
		t.Cleanup(func() { _ = conn.Close() })
	}
	return client, broker
}

func requirePasses(t *testing.T, from, to net.Conn) {
	t.Helper()
	_, err := from.Write([]byte("hello"))
	require.NoError(t, err)
	require.Equal(t, "hello", read(t, to, len("hello")))
}

func read(t *testing.T, conn net.Conn, n int) string {
	t.Helper()
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(patience)))
	buf := make([]byte, n)
	_, err := io.ReadFull(conn, buf)
	require.NoError(t, err)
	return string(buf)
}

// requireSilence requires that nothing arrives for a moment.
func requireSilence(t *testing.T, conn net.Conn) {
	t.Helper()
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(100*time.Millisecond)))
	_, err := conn.Read(make([]byte, 1))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
}
