package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/rabbitmq/rabbittest"
	"github.com/twinlane/twinlane/internal/service/servicetest"
	"github.com/twinlane/twinlane/internal/task"
)

// TestMain takes the variables that configure a gateway out of the environment.
// With AMQP_URL among them, rabbittest.URL is always a private node, and no
// broker of anybody else is given the tasks that these tests queue.
func TestMain(m *testing.M) {
	for field := range reflect.TypeFor[config]().Fields() {
		if err := os.Unsetenv(field.Tag.Get("env")); err != nil {
			panic(err)
		}
	}
	rabbittest.Main(m)
}

// patience bounds every wait for something that is bound to happen.
const patience = 30 * time.Second

// gateway is a running process: the real run, but for signals.
type gateway struct {
	api, admin string // base URLs
	terminate  context.CancelFunc
	log        *servicetest.Log
	exited     chan struct{}
	code       int // valid once exited is closed
}

// startGateway runs the gateway on free ports until the test ends.
func startGateway(t *testing.T, args ...string) *gateway {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	g := &gateway{terminate: cancel, log: &servicetest.Log{}, exited: make(chan struct{})}
	args = append([]string{"--http-addr=127.0.0.1:0", "--admin-addr=127.0.0.1:0"}, args...)
	go func() {
		defer close(g.exited)
		g.code = run(ctx, args, io.Discard, g.log)
	}()
	t.Cleanup(func() {
		cancel()
		<-g.exited
		http.DefaultClient.CloseIdleConnections()
	})
	require.Eventually(t, func() bool {
		g.api, g.admin = g.listening("http"), g.listening("admin")
		return g.api != "" && g.admin != ""
	}, patience, time.Millisecond, g.log)
	return g
}

// listening returns the base URL of a server, once the log tells it.
func (g *gateway) listening(server string) string {
	for line := range strings.Lines(g.log.String()) {
		var entry struct {
			Msg    string `json:"msg"`
			Server string `json:"server"`
			Addr   string `json:"addr"`
		}
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == "listening" && entry.Server == server {
			return "http://" + entry.Addr
		}
	}
	return ""
}

// awaitReady waits until the gateway can publish.
func (g *gateway) awaitReady(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool {
		return g.get(t, g.admin+"/readyz").status == http.StatusOK
	}, patience, 10*time.Millisecond, g.log)
}

// stop ends the process as SIGTERM does and returns its exit code.
func (g *gateway) stop(t *testing.T) int {
	t.Helper()
	g.terminate()
	select {
	case <-g.exited:
	case <-time.NewTimer(patience).C:
		require.Fail(t, "the gateway did not stop", "%s", g.log)
	}
	return g.code
}

type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) field(t *testing.T, name string) string {
	t.Helper()
	var fields map[string]any
	require.NoError(t, json.Unmarshal(a.body, &fields), "%s", a.body)
	s, _ := fields[name].(string)
	return s
}

func (g *gateway) post(t *testing.T, path, body string, header ...string) answer {
	t.Helper()
	a, err := g.tryPost(t.Context(), path, body, header...)
	require.NoError(t, err)
	return a
}

// tryPost is for goroutines, which must not end a test. The header lines are
// given as pairs.
func (g *gateway) tryPost(ctx context.Context, path, body string, header ...string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.api+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Content-Type", task.ContentType)
	set(req.Header, header)
	return do(req)
}

func (g *gateway) get(t *testing.T, url string) answer {
	t.Helper()
	a, err := tryGet(t.Context(), url)
	require.NoError(t, err)
	return a
}

// tryGet is to get as tryPost is to post.
func tryGet(ctx context.Context, url string, header ...string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return answer{}, err
	}
	set(req.Header, header)
	return do(req)
}

func set(h http.Header, pairs []string) {
	for i := 0; i < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
	}
}

func do(req *http.Request) (answer, error) {
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return answer{status: resp.StatusCode, header: resp.Header, body: body}, err
}

// raw opens a connection to the API and sends the text as it is. The server
// itself may cut it off in the middle.
func (g *gateway) raw(t *testing.T, text string) net.Conn {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(g.api, "http://"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	_, _ = io.WriteString(conn, text)
	return conn
}

// statusOf reads an answer from a raw connection.
func statusOf(t *testing.T, conn net.Conn) int {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	_, err = io.Copy(io.Discard, resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode
}

// metric adds up the samples of a counter or a gauge that have the labels.
func (g *gateway) metric(t *testing.T, name string, labels map[string]string) int {
	t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(g.get(t, g.admin+"/metrics").body))
	require.NoError(t, err)
	require.Contains(t, families, name)
	var sum float64
	for _, m := range families[name].GetMetric() {
		rest := maps.Clone(labels)
		for _, l := range m.GetLabel() {
			if rest[l.GetName()] == l.GetValue() {
				delete(rest, l.GetName())
			}
		}
		if len(rest) == 0 {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return int(sum)
}

// fakeWorker answers every task once release is closed, and says so when one starts.
type fakeWorker struct {
	*httptest.Server
	started chan struct{}
	release chan struct{}
}

func startWorker(t *testing.T) *fakeWorker {
	t.Helper()
	w := &fakeWorker{started: make(chan struct{}, 1000), release: make(chan struct{})}
	w.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		m, err := task.DecodeMessage(body)
		if err != nil {
			rw.WriteHeader(http.StatusBadRequest)
			return
		}
		w.started <- struct{}{}
		select {
		case <-w.release:
		case <-r.Context().Done():
			return
		}
		now := time.Now()
		_ = json.NewEncoder(rw).Encode(task.Result{
			ID: m.ID, Run: m.Run, Status: task.StatusCompleted, Attempt: 1, AcceptedAt: m.AcceptedAt, StartedAt: now, FinishedAt: now,
		})
	}))
	t.Cleanup(w.Close)
	return w
}

// startFreeWorker answers every task at once.
func startFreeWorker(t *testing.T) *fakeWorker {
	t.Helper()
	w := startWorker(t)
	close(w.release)
	return w
}
