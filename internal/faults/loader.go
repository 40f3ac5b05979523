package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/twinlane/twinlane/internal/task"
)

// traffic is what clients hand in.
type traffic struct {
	// Rate is in requests a second. Requests are sent at random times that do not depend on any answer.
	Rate float64
	// Count is how many; without it, until the load is stopped.
	Count int
	// Work bounds how long a task works: evenly between half of it and all of it.
	Work time.Duration
	// Padding is how many bytes each request carries besides.
	Padding int
	// To are the gateways, in turn, those that a watch has found not ready left out. Where nobody listens, the next one
	// is tried.
	To []*service
	// Shape changes a request before it is sent.
	Shape func(n int, p *payload, r *task.Request)
	// Headers are sent with each request.
	Headers map[string]string
	// Keyed sends each request with an Idempotency-Key, and again under the same key until it is accepted.
	Keyed bool
}

// load is traffic under way.
type load struct {
	traffic
	run    string
	prefix string
	ledger *ledger
	rand   *rand.Rand // of the goroutine that sends
	client *http.Client
	cancel context.CancelFunc
	done   chan struct{}
}

const (
	// requestTimeout is a client's patience. It is longer than a gateway ever takes.
	requestTimeout = 15 * time.Second
	// maxRequests bounds the requests in flight.
	maxRequests = 4096
)

func newClient() *http.Client {
	return &http.Client{
		Timeout: requestTimeout,
		Transport: &http.Transport{
			DialContext:         (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
			MaxIdleConnsPerHost: maxRequests,
			IdleConnTimeout:     30 * time.Second,
		},
	}
}

// stop ends the load, and returns when every request has its outcome.
func (l *load) stop() {
	l.cancel()
	<-l.done
}

// wait returns when the load has ended by itself and every request has its outcome.
func (l *load) wait() { <-l.done }

// send sends requests until ctx ends.
func (l *load) send(ctx context.Context) {
	defer close(l.done)
	defer l.client.CloseIdleConnections()
	var requests sync.WaitGroup
	defer requests.Wait()
	places := make(chan struct{}, maxRequests)
	due := time.Now()
	for n := 0; l.Count == 0 || n < l.Count; n++ {
		due = due.Add(time.Duration(l.rand.ExpFloat64() / l.Rate * float64(time.Second)))
		if !work(ctx, time.Until(due)) {
			return
		}
		client, body := l.request(n)
		select {
		case places <- struct{}{}:
		case <-ctx.Done():
			return
		}
		requests.Go(func() {
			l.attempt(context.WithoutCancel(ctx), n, client, body)
			<-places
		})
	}
}

// request makes the next request of the seeded sequence.
func (l *load) request(n int) (client string, body []byte) {
	client = fmt.Sprintf("%s-%06d", l.prefix, n)
	p := payload{
		Client:  client,
		WorkMS:  int((l.Work/2 + upTo(l.rand, l.Work/2)).Milliseconds()),
		Padding: strings.Repeat("x", l.Padding),
	}
	r := task.Request{Action: task.ActionHTTP, Run: l.run}
	if l.Shape != nil {
		l.Shape(n, &p, &r)
	}
	var err error
	if r.Payload, err = json.Marshal(p); err == nil {
		body, err = json.Marshal(r)
	}
	if err != nil {
		panic(err) // strings and numbers can be encoded
	}
	return client, body
}

// upTo is a random duration below limit.
func upTo(r *rand.Rand, limit time.Duration) time.Duration {
	if limit <= 0 {
		return 0
	}
	return time.Duration(r.Int64N(int64(limit)))
}

// attempt hands one task in and books what comes of it.
func (l *load) attempt(ctx context.Context, n int, client string, body []byte) {
	l.ledger.begin(client)
	a := l.post(ctx, n, client, body)
	unknown := a.Outcome == Unknown
	for again := 1; l.Keyed && (a.Outcome == Unknown || a.Outcome == Refused) && again <= maxRepeats; again++ {
		work(ctx, repeatPause)
		next := l.post(ctx, n+again, client, body)
		next.Elapsed, next.Started, next.Repeated = next.ended().Sub(a.Started), a.Started, again
		if a.TaskID != "" && next.TaskID != "" && a.TaskID != next.TaskID {
			next.Outcome, next.Error = Wrong, "the task was "+a.TaskID+" before"
		}
		a = next
		unknown = unknown || a.Outcome == Unknown
	}
	if unknown && (a.Outcome == Refused || a.Outcome == Unsent) {
		a.Outcome = Unknown // that the last request was refused says nothing about those before
	}
	l.ledger.end(a)
}

// A keyed request is repeated for as long as a broker may take to come back.
const (
	maxRepeats  = 40
	repeatPause = 500 * time.Millisecond
)

// post sends a request to the first gateway that takes the connection.
func (l *load) post(ctx context.Context, n int, client string, body []byte) (a Attempt) {
	to := slices.DeleteFunc(slices.Clone(l.To), func(s *service) bool { return s.out.Load() })
	if len(to) == 0 {
		to = l.To
	}
	for i := range to {
		a = l.postTo(ctx, to[(n+i)%len(to)].url(), client, body)
		if a.Outcome != Unsent {
			break
		}
	}
	return a
}

func (l *load) postTo(ctx context.Context, url, client string, body []byte) Attempt {
	a := Attempt{Client: client, Started: time.Now(), Outcome: Unknown}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/v1/async", bytes.NewReader(body))
	if err != nil {
		panic(err) // the URL is one that a gateway has logged
	}
	r.Header.Set("Content-Type", task.ContentType)
	for name, value := range l.Headers {
		r.Header.Set(name, value)
	}
	if l.Keyed {
		r.Header.Set("Idempotency-Key", client)
	}
	var answer []byte
	resp, err := l.client.Do(r)
	if err == nil {
		answer, err = io.ReadAll(resp.Body)
		_ = resp.Body.Close()
	}
	if err != nil {
		a.Error = err.Error()
		if errors.Is(err, syscall.ECONNREFUSED) {
			a.Outcome = Unsent
		}
	} else {
		a.classify(resp, answer)
	}
	a.Elapsed = time.Since(a.Started)
	return a
}

// classify reads an answer.
func (a *Attempt) classify(resp *http.Response, body []byte) {
	a.Status, a.RetryAfter = resp.StatusCode, resp.Header.Get("Retry-After") != ""
	a.Outcome = Wrong
	if resp.StatusCode == http.StatusAccepted || resp.StatusCode == http.StatusOK {
		var accepted struct {
			ID     string      `json:"id"`
			Status task.Status `json:"status"`
			Output output      `json:"output"`
		}
		// 200 says how the task ended, 202 does not know.
		if json.Unmarshal(body, &accepted) != nil || accepted.Status.Final() != (resp.StatusCode == http.StatusOK) ||
			resp.Header.Get("Location") != "/v1/tasks/"+accepted.ID {
			return
		}
		if accepted.Status == task.StatusCompleted && accepted.Output.Client != a.Client {
			a.Error = fmt.Sprintf("the result is that of %q", accepted.Output.Client)
			return
		}
		a.Outcome, a.TaskID = Accepted, accepted.ID
		if accepted.Status.Final() {
			a.Final = accepted.Status
		}
		return
	}
	var problem task.Problem
	if json.Unmarshal(body, &problem) != nil || resp.Header.Get("Content-Type") != task.ProblemContentType {
		return
	}
	a.Problem, a.TaskID = strings.TrimPrefix(problem.Type, problemPrefix), problem.TaskID
	switch code := resp.StatusCode; {
	case a.Problem == problemUnknown && code == http.StatusServiceUnavailable && a.TaskID != "":
		a.Outcome = Unknown
	case a.Problem == problemInUse: // its first request is still under way
		a.Outcome = Unknown
	case code == http.StatusServiceUnavailable || code == http.StatusTooManyRequests:
		a.Outcome = Refused
	case code >= 400 && code < 500:
		a.Outcome = Rejected
	}
}

// The codes of problems that rows look for.
const (
	problemPrefix      = "urn:twinlane:problem:"
	problemUnknown     = "outcome-unknown"
	problemQueueFull   = "queue-full"
	problemBlocked     = "broker-blocked"
	problemUnavailable = "broker-unavailable"
	problemUnroutable  = "not-routable"
	problemInUse       = "idempotency-key-in-use"
)
