package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/task"
	"github.com/twinlane/twinlane/worker/internal/brokertest"
)

// asWorker makes the test binary be the worker, so that tests can kill one.
const asWorker = "TWINLANE_TEST_AS_WORKER"

func TestMain(m *testing.M) {
	if os.Getenv(asWorker) != "" { //nolint:forbidigo // It is no setting of the worker's.
		main()
	}
	goleak.VerifyTestMain(m)
}

// logLines is a writer of JSON log lines that can be waited for.
type logLines struct {
	mu   sync.Mutex
	text strings.Builder
}

// Write implements io.Writer.
func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// String returns everything that was written.
func (l *logLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// addresses waits for the lines that say where a worker listens.
func (l *logLines) addresses(t testing.TB) (httpAddr, adminAddr string) {
	t.Helper()
	require.Eventually(t, func() bool {
		for lines := bufio.NewScanner(strings.NewReader(l.String())); lines.Scan(); {
			var line struct {
				Msg    string `json:"msg"`
				Server string `json:"server"`
				Addr   string `json:"addr"`
			}
			if json.Unmarshal(lines.Bytes(), &line) != nil || line.Msg != "listening" {
				continue
			}
			switch line.Server {
			case "http":
				httpAddr = line.Addr
			case "admin":
				adminAddr = line.Addr
			}
		}
		return httpAddr != "" && adminAddr != ""
	}, brokertest.Patience, brokertest.Interval, "%s", l)
	return httpAddr, adminAddr
}

// process is a worker, or one of its tools, in a process of its own.
type process struct {
	*exec.Cmd
	log  *logLines
	out  *logLines
	done chan error
}

func startProcess(t *testing.T, args ...string) *process {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	p := &process{Cmd: exec.Command(exe, args...), log: &logLines{}, out: &logLines{}, done: make(chan error, 1)}
	p.Env = append(p.Environ(), asWorker+"=1")
	p.Stdout, p.Stderr = p.out, p.log
	require.NoError(t, p.Start())
	go func() { p.done <- p.Wait() }()
	t.Cleanup(func() { p.end(t, os.Kill) })
	return p
}

// end sends a signal, waits for the process and returns its exit code, -1 for
// one that was killed.
func (p *process) end(t *testing.T, signal os.Signal) int {
	t.Helper()
	_ = p.Process.Signal(signal) // it may have ended already
	return p.await(t)
}

func (p *process) await(t *testing.T) int {
	t.Helper()
	late := time.NewTimer(brokertest.Patience)
	defer late.Stop()
	select {
	case err := <-p.done:
		p.done <- err
		return p.ProcessState.ExitCode()
	case <-late.C:
		require.Fail(t, "the process did not end", "%s", p.log)
		return 0
	}
}

// startWorker starts a worker process for the virtual host. It has everything
// on ports of its own and the target as its HTTP action.
func startWorker(t *testing.T, v brokertest.VHost, to *target, more ...string) *process {
	t.Helper()
	return startProcess(t, append([]string{
		"serve", "--amqp-url", v.URL(), "--http-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0",
		"--fault-injection", "--http-action-url", to.URL,
	}, more...)...)
}

// target is where the http action goes: it notes which tasks were begun, and
// which were done. A payload says how long a task takes.
type target struct {
	*httptest.Server
	mu          sync.Mutex
	begun, done map[string]int
}

func newTarget(t *testing.T) *target {
	t.Helper()
	to := &target{begun: make(map[string]int), done: make(map[string]int)}
	to.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		id := r.Header.Get("Idempotency-Key")
		to.note(to.begun, id)
		payload, _ := io.ReadAll(r.Body)
		wait, err := time.ParseDuration(strings.Trim(string(payload), `"`))
		if err != nil {
			wait = 50 * time.Millisecond
		}
		timer := time.NewTimer(wait) // done after a wait, as work is at its end
		defer timer.Stop()
		select {
		case <-timer.C:
			to.note(to.done, id)
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(to.Close)
	return to
}

func (to *target) note(counts map[string]int, id string) {
	to.mu.Lock()
	defer to.mu.Unlock()
	counts[id]++
}

// counts is how often each task was done.
func (to *target) counts() map[string]int {
	to.mu.Lock()
	defer to.mu.Unlock()
	return maps.Clone(to.done)
}

// begunCounts is how often each task was begun.
func (to *target) begunCounts() map[string]int {
	to.mu.Lock()
	defer to.mu.Unlock()
	return maps.Clone(to.begun)
}

// publish puts a task into the queue, as a gateway does.
func publish(t *testing.T, p *rabbitmq.Publisher, id, fail string) {
	t.Helper()
	m := task.Message{ID: id, Request: task.Request{Action: task.ActionHTTP}}
	if fail != "" {
		m.Fail = &task.Fail{Kind: task.FailKind(fail)}
	}
	publishTask(t, p, m)
}

// publishLong puts a task into the queue that takes its time.
func publishLong(t *testing.T, p *rabbitmq.Publisher, id string, takes time.Duration) {
	t.Helper()
	payload, err := json.Marshal(takes.String())
	require.NoError(t, err)
	publishTask(t, p, task.Message{ID: id, Request: task.Request{Action: task.ActionHTTP, Payload: payload}})
}

func publishTask(t *testing.T, p *rabbitmq.Publisher, m task.Message) {
	t.Helper()
	m.AcceptedAt = time.Now()
	body, err := m.Encode()
	require.NoError(t, err)
	require.NoError(t, p.Publish(t.Context(), rabbitmq.TaskMessage("", task.QueueTasks, m.ID, task.Headers{}, body, time.Now())))
}

func ids(prefix string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("%s-%d", prefix, i)
	}
	return all
}

// take takes every message out of a queue and counts them by id.
func take(t *testing.T, v brokertest.VHost, queue string) map[string]int {
	t.Helper()
	conn, stop := v.Connect(t, rabbitmq.Tasks())
	defer stop()
	ch, err := conn.Channel(t.Context())
	require.NoError(t, err)
	got := make(map[string]int)
	for {
		d, ok, err := ch.Get(queue, true)
		require.NoError(t, err)
		if !ok {
			return got
		}
		got[d.MessageId]++
	}
}

// get returns the status and the body of a page.
func get(t *testing.T, url string) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), brokertest.Patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	require.NoError(t, err)
	resp, err := http.DefaultTransport.RoundTrip(r)
	require.NoError(t, err)
	defer func() { require.NoError(t, resp.Body.Close()) }()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(body)
}
