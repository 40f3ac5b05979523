package workerclient

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/task"
)

func TestRefusedConnection(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	c := newClient(t, "http://"+l.Addr().String())
	_, err = c.Execute(t.Context(), message(), task.Headers{})
	require.ErrorIs(t, err, ErrUnavailable)
	require.Equal(t, 1, counted(c, "unavailable"))
}

func TestUnknownHost(t *testing.T) {
	t.Parallel()
	c := newClient(t, "http://worker.invalid")
	_, err := c.Execute(t.Context(), message(), task.Headers{})
	require.ErrorIs(t, err, ErrUnavailable)
}

// TestBrokenConnections cuts a connection at every stage of an answer.
func TestBrokenConnections(t *testing.T) {
	t.Parallel()
	for name, sent := range map[string]string{
		"before the answer":      "",
		"in the status line":     "HTTP/1.",
		"in the headers":         "HTTP/1.1 200 OK\r\nContent-Type: appl",
		"in the body":            "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"id\":",
		"in a chunk":             "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n{\"id\":",
		"after words of no HTTP": "220 mail.example ESMTP\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			worker := serve(t, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				conn, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					return
				}
				_, _ = io.WriteString(conn, sent)
				_ = conn.(*net.TCPConn).SetLinger(0) //nolint:forcetypeassert // The server's listener is TCP; zero makes it a reset.
				_ = conn.Close()
			})
			c := newClient(t, worker.URL)
			_, err := c.Execute(t.Context(), message(), task.Headers{})
			require.ErrorIs(t, err, ErrBroken)
			require.Equal(t, 1, counted(c, "broken"))
			require.Empty(t, c.slots, "the slot is free again")
		})
	}
}

// stuck is a worker that answers nobody until the test ends, and tells of every
// call that it receives.
func stuck(t *testing.T) (*httptest.Server, chan struct{}) {
	t.Helper()
	received, end := make(chan struct{}, 100), make(chan struct{})
	worker := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		received <- struct{}{}
		select {
		case <-end:
		case <-r.Context().Done():
		}
	})
	t.Cleanup(func() { close(end) })
	return worker, received
}

func TestSlowWorker(t *testing.T) {
	t.Parallel()
	worker, _ := stuck(t)
	c := newClient(t, worker.URL, func(cfg *Config) { cfg.Timeout = 50 * time.Millisecond })
	_, err := c.Execute(t.Context(), message(), task.Headers{})
	require.ErrorIs(t, err, ErrTimeout)
	require.Equal(t, 1, counted(c, "timeout"))
}

func TestSlowBody(t *testing.T) {
	t.Parallel()
	worker := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "{")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	c := newClient(t, worker.URL, func(cfg *Config) { cfg.Timeout = 50 * time.Millisecond })
	_, err := c.Execute(t.Context(), message(), task.Headers{})
	require.ErrorIs(t, err, ErrTimeout)
}

func TestCallerGone(t *testing.T) {
	t.Parallel()
	worker, received := stuck(t)
	c := newClient(t, worker.URL)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-received; cancel() }()
	_, err := c.Execute(ctx, message(), task.Headers{})
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, ErrBroken)
	require.Equal(t, 1, counted(c, "canceled"))
}

func TestClose(t *testing.T) {
	t.Parallel()
	worker, received := stuck(t)
	c := newClient(t, worker.URL)
	go func() { <-received; c.Close() }()
	_, err := c.Execute(t.Context(), message(), task.Headers{})
	require.ErrorIs(t, err, ErrClosed)
	_, err = c.Execute(t.Context(), message(), task.Headers{})
	require.ErrorIs(t, err, ErrClosed)
	require.Equal(t, 2, counted(c, "closed"))
	require.Empty(t, received, "the second call reached nobody")
}
