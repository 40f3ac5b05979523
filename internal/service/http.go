package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// The limits of every HTTP server. A client that is slow to send is cut off
// before it can hold a connection for long.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 15 * time.Second
	idleTimeout       = 60 * time.Second
	maxHeaderBytes    = 16 << 10
)

// HTTPServer serves one handler on one listener until its context ends.
type HTTPServer struct {
	server   *http.Server
	listener net.Listener
	grace    time.Duration
}

// Listen binds addr, so that a port that is taken is found before anything
// starts. Port 0 takes a free one; ask Addr for it.
func Listen(ctx context.Context, addr string) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", addr, err)
	}
	return l, nil
}

// NewHTTPServer returns a server of handler on l. writeTimeout has to exceed
// the longest answer; grace is how long requests in flight may finish on stop.
func NewHTTPServer(l net.Listener, handler http.Handler, writeTimeout, grace time.Duration, logger *slog.Logger) *HTTPServer {
	return &HTTPServer{
		listener: l,
		grace:    grace,
		server: &http.Server{
			Handler:           handler,
			ReadHeaderTimeout: readHeaderTimeout,
			ReadTimeout:       readTimeout,
			WriteTimeout:      writeTimeout,
			IdleTimeout:       idleTimeout,
			MaxHeaderBytes:    maxHeaderBytes,
			ErrorLog:          slog.NewLogLogger(OrDiscard(logger).Handler(), slog.LevelDebug),
		},
	}
}

// Addr is the address that the server listens on.
func (s *HTTPServer) Addr() string { return s.listener.Addr().String() }

// Run serves until ctx ends, then takes no more connections and lets requests
// in flight finish within the grace time; what is left is cut off.
func (s *HTTPServer) Run(ctx context.Context) error {
	failed := make(chan error, 1)
	go func() { failed <- s.server.Serve(s.listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve %s: %w", s.Addr(), err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.grace)
	defer cancel()
	err := s.server.Shutdown(stop)
	if err != nil {
		err = fmt.Errorf("requests were still in flight on %s after %s: %w", s.Addr(), s.grace, errors.Join(err, s.server.Close()))
	}
	<-failed //nolint:errcheck // It is http.ErrServerClosed.
	return err
}
