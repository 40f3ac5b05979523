// Package workerclient is the gateway's side of the sync lane: it hands a task
// to a worker over HTTP and waits for the result.
//
// It bounds everything: how many calls are in flight, how long each may take
// and how much it reads of an answer. It deliberately has no queue and no
// retries: a call that finds no room fails at once, and a task that may have
// run is never run again.
package workerclient

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/twinlane/twinlane/internal/task"
)

// Config says where the worker is and bounds the calls to it.
type Config struct {
	// URL is the worker's base address, such as http://127.0.0.1:8090.
	URL *url.URL
	// MaxInFlight is the number of calls that may be in flight, at least 1.
	MaxInFlight int
	// Timeout bounds a call, from the dial to the last byte of the answer.
	Timeout time.Duration
	// Tracer makes a span for each call. Nil makes none.
	Tracer trace.Tracer
}

// Client calls a worker. It is safe for concurrent use.
type Client struct {
	http    *http.Client
	execute *url.URL // to post to
	tracer  trace.Tracer
	timeout time.Duration
	slots   chan struct{} // the bulkhead: one element for each call in flight
	metrics *metrics

	closed context.Context //nolint:containedctx // It is the client's own life, not a caller's.
	close  context.CancelFunc
}

// New returns a client that dials when it is first used.
func New(cfg Config, reg prometheus.Registerer) *Client {
	c := &Client{
		execute: cfg.URL.JoinPath(task.PathExecute),
		tracer:  cfg.Tracer,
		timeout: cfg.Timeout,
		slots:   make(chan struct{}, cfg.MaxInFlight),
	}
	c.metrics = newMetrics(reg, c.slots)
	c.http = &http.Client{
		Transport: newTransport(cfg.MaxInFlight, c.metrics.connections.Inc),
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse // a redirect is no answer of a worker
		},
	}
	c.closed, c.close = context.WithCancel(context.Background())
	return c
}

// Close ends the calls in flight with ErrClosed and refuses further ones.
func (c *Client) Close() {
	c.close()
	c.http.CloseIdleConnections()
}

// Execute has the worker do the task of m and returns its result. It blocks
// until the answer is there, ctx ends or the time is up. Its errors are those
// of this package, or the cause of ctx's end.
func (c *Client) Execute(ctx context.Context, m task.Message, h task.Headers) (task.Result, error) {
	if !c.tryAcquire() {
		c.metrics.count(ErrSaturated)
		return task.Result{}, ErrSaturated
	}
	defer c.release()
	ctx, span := c.startSpan(ctx, m, &h)
	result, err := c.call(ctx, m, h)
	outcome := c.metrics.count(err)
	endSpan(span, outcome, err)
	if err != nil {
		return task.Result{}, fmt.Errorf("execute task %s: %w", m.ID, err)
	}
	return result, nil
}

// tryAcquire takes a slot of the bulkhead where one is free.
func (c *Client) tryAcquire() bool {
	select {
	case c.slots <- struct{}{}:
		return true
	default:
		return false
	}
}

func (c *Client) release() { <-c.slots }

func (c *Client) call(ctx context.Context, m task.Message, h task.Headers) (task.Result, error) {
	if c.closed.Err() != nil {
		return task.Result{}, ErrClosed
	}
	ctx, cancelCause := context.WithCancelCause(ctx)
	defer cancelCause(nil)
	unregister := context.AfterFunc(c.closed, func() { cancelCause(ErrClosed) }) //nolint:contextcheck // It is the client's end that is waited for.
	defer unregister()
	ctx, cancel := context.WithTimeoutCause(ctx, c.timeout, ErrTimeout)
	defer cancel()

	req, err := c.request(ctx, m, h)
	if err != nil {
		return task.Result{}, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return task.Result{}, transportError(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }()
	c.noteStatus(ctx, resp.StatusCode)
	return readAnswer(ctx, resp, m.ID)
}

func (c *Client) request(ctx context.Context, m task.Message, h task.Headers) (*http.Request, error) {
	body, err := m.Encode()
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.execute.String(), bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	req.Header.Set("Content-Type", task.ContentType)
	req.Header.Set("User-Agent", "twinlane-gateway")
	for name, value := range map[string]string{
		task.HTTPRequestID: h.RequestID, task.HTTPTraceparent: h.Traceparent, task.HTTPTracestate: h.Tracestate,
	} {
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	return req, nil
}

// The limits of the transport. An idle connection is dropped well before the
// worker's server drops it, because a request that meets the end of its
// connection fails, and must not be sent twice.
const (
	dialTimeout      = 2 * time.Second
	keepAlive        = 15 * time.Second
	idleTimeout      = 30 * time.Second
	maxAnswerHeaders = 16 << 10
	bufferSize       = 2 << 10 // each way; tasks and results are small, and connections many
)

// newTransport keeps an idle connection for every call that may be in flight,
// so that a burst leaves no trail of closed sockets. It never goes through a
// proxy of the environment.
func newTransport(maxInFlight int, dialed func()) *http.Transport {
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: keepAlive}
	return &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, addr)
			if err == nil {
				dialed()
			}
			return conn, err
		},
		MaxIdleConns:           maxInFlight,
		MaxIdleConnsPerHost:    maxInFlight,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxAnswerHeaders,
		ReadBufferSize:         bufferSize,
		WriteBufferSize:        bufferSize,
		DisableCompression:     true,
	}
}
