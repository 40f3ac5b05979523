package faults

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/twinlane/twinlane/internal/task"
)

func gatewayRows() []Row {
	return []Row{
		{
			Name:    "rolling-restart",
			Fault:   "two gateways and two workers are restarted (SIGTERM) one by one, under clients of which some wait for results",
			Promise: "only 202 and 200, and nothing runs twice",
			run:     rollingRestart,
		},
		{
			Name:    "gateway-killed",
			Fault:   "the gateway is killed between publish and answer, six times",
			Promise: "clients see a broken connection",
			run:     gatewayKilled,
		},
		{
			Name:    "hostile-clients",
			Fault:   "keys, headers and bodies beyond every limit, broken JSON, clients that send a byte at a time",
			Promise: "4xx for them, 202 for everybody else, and the connection to the broker stays",
			run:     hostileClients,
		},
	}
}

// drainDelay is longer than a load balancer takes to notice.
const drainDelay = time.Second

func rollingRestart(l *Lab) {
	drain := settings{"DRAIN_DELAY": drainDelay.String()}
	few := settings{"CONCURRENCY": "30"} // less than the load takes, so that each has deliveries that wait for their turn
	g, w := l.pair(drain, few)
	gateways, workers := []*service{g, l.gateway(drain)}, []*service{w, l.worker(few)}
	l.ready(append(gateways, workers...)...)
	l.watch(gateways...)
	load := l.start(traffic{Rate: 150, Work: 400 * time.Millisecond, To: gateways})
	// These are still waiting when a gateway has been drained.
	waits := l.start(traffic{Rate: 5, Work: 2 * (drainDelay + time.Second), To: gateways, Headers: map[string]string{"Prefer": "wait=10"}})
	l.pause(time.Second)
	for _, s := range append(gateways, workers...) {
		l.pause(500*time.Millisecond + upTo(l.rand, time.Second))
		ctx, cancel := context.WithTimeout(l.ctx, l.opts.patient(startTimeout))
		began := time.Now()
		l.must(s.terminate(ctx))
		cancel()
		took := time.Since(began)
		l.fact(s.kind+" stopped within", took)
		l.check(s.kind != "gateway" || took >= drainDelay, "%s stopped after %s and drains for %s", s.name, took, drainDelay)
		l.restart(s)
		l.ready(s)
	}
	l.pause(time.Second)
	load.stop()
	waits.stop()
	l.requireAccepted(l.timeline())
	for client, x := range l.finish().Executions {
		l.check(len(x.Begun) == 1, "%s was begun %d times", client, len(x.Begun))
	}
}

func gatewayKilled(l *Lab) {
	// A broker that takes its time, so that there is something between publish and answer.
	g, _, p, _ := l.behindProxies()
	p.SetLatency(25 * time.Millisecond)
	l.start(traffic{Rate: 200, Work: 50 * time.Millisecond, To: []*service{g}})
	for range 6 {
		l.pause(time.Second + upTo(l.rand, time.Second))
		g.kill()
		l.restart(g)
		l.ready(g)
	}
	l.pause(time.Second)
	l.finish()
	l.check(l.counters.Unknown > 0, "the fault had no effect: no request was cut off")
}

func hostileClients(l *Lab) {
	g, _ := l.pair(nil, nil)
	load := l.start(traffic{Rate: 100, Work: 50 * time.Millisecond, To: []*service{g}})
	// What a client may send as it likes is ignored where it makes no sense.
	odd := l.start(traffic{Rate: 50, Work: 50 * time.Millisecond, To: []*service{g}, Headers: map[string]string{
		"Traceparent": strings.Repeat("0", 3000), "Tracestate": strings.Repeat("a=b,", 2500), "X-Request-Id": strings.Repeat("r", 300),
	}})
	connects := l.metric(g, "gateway_amqp_connects_total")
	failures := l.metric(g, "gateway_amqp_connection_failures_total")
	slow := l.slowClients(g)
	for range 3 {
		for _, h := range hostileRequests() {
			l.hostile(g, h)
		}
	}
	for kind, cut := range slow() {
		l.fact("slow "+kind+" cut off after", cut)
	}
	load.stop()
	odd.stop()
	l.requireAccepted(l.timeline())
	l.check(l.metric(g, "gateway_amqp_connects_total") == connects, "the gateway has connected to the broker again")
	l.check(l.metric(g, "gateway_amqp_connection_failures_total") == failures, "a connection to the broker has failed")
	l.finish()
}

// hostileRequest is a request that no well-meaning client sends, and the answers that are in order.
type hostileRequest struct {
	name        string
	body        string
	contentType string
	headers     map[string]string
	want        []int
}

func hostileRequests() []hostileRequest {
	const fine = `{"action":"delay","duration_ms":0}`
	key := func(n int) map[string]string { return map[string]string{"Idempotency-Key": strings.Repeat("k", n)} }
	return []hostileRequest{
		{"a key of 256 bytes", fine, task.ContentType, key(256), []int{400}},
		{"a key of 1 MB", fine, task.ContentType, key(1 << 20), []int{431}},
		{"a key of other bytes", fine, task.ContentType, map[string]string{"Idempotency-Key": "schl\u00fcssel"}, []int{400}},
		{"headers of 200 KB", fine, task.ContentType, map[string]string{"Traceparent": strings.Repeat("t", 200<<10)}, []int{431}},
		{"a body of 1 MB", `{"action":"delay","payload":"` + strings.Repeat("x", 1<<20) + `"}`, task.ContentType, nil, []int{413}},
		{"no JSON", "action=delay", task.ContentType, nil, []int{400}},
		{"half a body", `{"action":"del`, task.ContentType, nil, []int{400}},
		{"invalid UTF-8", "{\"action\":\"delay\",\"run\":\"\xff\"}", task.ContentType, nil, []int{400, 422}},
		{"deep nesting", `{"action":"delay","payload":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}`, task.ContentType, nil, []int{400, 422}},
		{"an unknown field", `{"action":"delay","sudo":true}`, task.ContentType, nil, []int{422}},
		{"an unknown action", `{"action":"rm"}`, task.ContentType, nil, []int{422}},
		{"a run of 100 KB", `{"action":"delay","run":"` + strings.Repeat("r", 100<<10) + `"}`, task.ContentType, nil, []int{422}},
		{"a duration without end", `{"action":"delay","duration_ms":1e300}`, task.ContentType, nil, []int{422}},
		{"another media type", fine, "text/xml", nil, []int{415}},
	}
}

// hostile sends a hostile request and checks the answer.
func (l *Lab) hostile(g *service, h hostileRequest) {
	r, err := http.NewRequestWithContext(l.ctx, http.MethodPost, g.url()+"/v1/async", strings.NewReader(h.body))
	l.must(err)
	r.Header.Set("Content-Type", h.contentType)
	for name, value := range h.headers {
		r.Header.Set(name, value)
	}
	resp, err := l.client.Do(r)
	if err != nil {
		l.violate("%s is not answered: %v", h.name, err)
		return
	}
	defer func() { _ = resp.Body.Close() }()
	for _, code := range h.want {
		// Headers that are too large are refused before there is a request to answer in the API's own words.
		problem := resp.Header.Get("Content-Type") == task.ProblemContentType || code == http.StatusRequestHeaderFieldsTooLarge
		if resp.StatusCode == code && problem {
			return
		}
	}
	l.violate("%s is answered %d %s", h.name, resp.StatusCode, resp.Header.Get("Content-Type"))
}

// slowClients opens connections that send a byte now and then. The function that it returns waits until the gateway has
// cut off all of them, and returns how long that took at most, by what they were slow to send.
func (l *Lab) slowClients(g *service) func() map[string]time.Duration {
	const each = 50
	const head = "POST /v1/async HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\n"
	var mu sync.Mutex
	var clients sync.WaitGroup
	cut := make(map[string]time.Duration)
	for kind, opening := range map[string]string{"headers": head, "bodies": head + "Content-Length: 200000\r\n\r\n{"} {
		for range each {
			clients.Go(func() {
				took, err := drip(l.ctx, strings.TrimPrefix(g.url(), "http://"), opening)
				if err != nil {
					l.violate("a client that is slow to send %s: %v", kind, err)
				}
				mu.Lock()
				defer mu.Unlock()
				cut[kind] = max(cut[kind], took)
			})
		}
	}
	return func() map[string]time.Duration {
		clients.Wait()
		return cut
	}
}

// patience is how long a gateway may let a slow client be: its read timeout is 15 s.
const patience = 20 * time.Second

// drip sends the opening, then a byte twice a second until the server ends the connection. It returns when that was.
func drip(ctx context.Context, addr, opening string) (time.Duration, error) {
	began := time.Now()
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return 0, fmt.Errorf("connect: %w", err)
	}
	defer func() { _ = conn.Close() }()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for reader := bufio.NewReader(conn); ; {
			if _, err := reader.ReadByte(); err != nil {
				return
			}
		}
	}()
	defer func() { <-ended }()
	defer func() { _ = conn.Close() }()
	_, _ = conn.Write([]byte(opening))
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for time.Since(began) < patience {
		select {
		case <-tick.C:
			_, _ = conn.Write([]byte("x"))
		case <-ended:
			return time.Since(began), nil
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	return 0, fmt.Errorf("still connected after %s", patience)
}
