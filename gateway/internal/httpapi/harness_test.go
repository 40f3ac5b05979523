package httpapi

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
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/task"
)

// patience bounds every wait for something that happens soon.
const patience = 30 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakePublisher keeps what is published and answers with err, or with what each
// says, once release is closed where there is one.
type fakePublisher struct {
	err     error
	each    func(rabbitmq.Message) error
	release chan struct{}

	mu       sync.Mutex
	messages []rabbitmq.Message
}

func (p *fakePublisher) Publish(_ context.Context, m rabbitmq.Message) error {
	if p.release != nil {
		<-p.release
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.messages = append(p.messages, m)
	if p.each != nil {
		return p.each(m)
	}
	return p.err
}

// types lists what was published.
func (p *fakePublisher) types() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	types := []string{}
	for _, m := range p.messages {
		types = append(types, m.Type)
	}
	return types
}

func (p *fakePublisher) only(t *testing.T) rabbitmq.Message {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	require.Len(t, p.messages, 1)
	return p.messages[0]
}

// fakeWorker does a task with its function.
type fakeWorker func(ctx context.Context, m task.Message, h task.Headers) (task.Result, error)

func (w fakeWorker) Execute(ctx context.Context, m task.Message, h task.Headers) (task.Result, error) {
	return w(ctx, m, h)
}

// done is a worker that has every task done at once.
func done() fakeWorker {
	return func(_ context.Context, m task.Message, _ task.Headers) (task.Result, error) {
		now := time.Now()
		return task.Result{
			ID: m.ID, Run: m.Run, Status: task.StatusCompleted, Attempt: 1, Output: json.RawMessage(`{"slept":true}`),
			AcceptedAt: m.AcceptedAt, StartedAt: now, FinishedAt: now,
		}, nil
	}
}

func failing(err error) fakeWorker {
	return func(context.Context, task.Message, task.Headers) (task.Result, error) { return task.Result{}, err }
}

// testAPI is a running API and a client of it that holds every answer against
// the description of the API.
type testAPI struct {
	*httptest.Server
	registry *prometheus.Registry
	spec     *spec
}

// start serves cfg, with fakes that succeed where cfg names none.
func start(t testing.TB, cfg Config, configure ...func(*httptest.Server)) *testAPI {
	t.Helper()
	if cfg.Publisher == nil {
		cfg.Publisher = &fakePublisher{}
	}
	if cfg.Records == nil {
		cfg.Records = cfg.Publisher
	}
	if cfg.Worker == nil {
		cfg.Worker = done()
	}
	if cfg.Outcomes == nil {
		cfg.Outcomes = newOutcomes()
	}
	if cfg.IDs == nil {
		cfg.IDs = newIDs(t)
	}
	if cfg.CaughtUp == nil {
		cfg.CaughtUp = func() error { return nil }
	}
	registry := prometheus.NewRegistry()
	cfg.Registerer = prometheus.WrapRegistererWithPrefix("gateway_", registry)
	handler, err := New(cfg)
	require.NoError(t, err)
	server := httptest.NewUnstartedServer(handler)
	for _, c := range configure {
		c(server)
	}
	server.Start()
	t.Cleanup(server.Close)
	server.Client().Timeout = patience // a test fails rather than hangs
	return &testAPI{Server: server, registry: registry, spec: loadSpec(t)}
}

// answer is an HTTP answer that has been read.
type answer struct {
	status int
	header http.Header
	body   []byte
	last   bool // whether the connection ends with it
}

func (a answer) problem(t testing.TB) task.Problem {
	t.Helper()
	require.Equal(t, task.ProblemContentType, a.header.Get("Content-Type"), "%d %s", a.status, a.body)
	var p task.Problem
	require.NoError(t, json.Unmarshal(a.body, &p))
	return p
}

// codeOf is the last part of a problem's type, as a client reads it.
func codeOf(p task.Problem) string { return strings.TrimPrefix(p.Type, "urn:twinlane:problem:") }

// post sends a JSON body.
func (s *testAPI) post(t testing.TB, path, body string, header ...string) answer {
	t.Helper()
	return s.send(t, http.MethodPost, path, strings.NewReader(body), append([]string{"Content-Type", task.ContentType}, header...)...)
}

// async posts to the async lane from goroutines, which must not end a test. It
// returns the status of the answer, and 0 where there is none.
func (s *testAPI) async(body string, header ...string) int {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, s.URL+"/v1/async", strings.NewReader(body))
	if err != nil {
		return 0
	}
	req.Header.Set("Content-Type", task.ContentType)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := s.Client().Do(req)
	if err != nil {
		return 0
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// send sends a request with the header lines given as pairs; of a name given
// twice the last counts.
func (s *testAPI) send(t testing.TB, method, path string, body io.Reader, header ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, body)
	require.NoError(t, err)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := s.Client().Do(req)
	require.NoError(t, err)
	return s.read(t, req, resp)
}

// raw sends all of a request as it is, and only then reads the answer.
func (s *testAPI) raw(t testing.TB, method, path string, request string) answer {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", s.Listener.Addr().String())
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	_, err = io.WriteString(conn, request)
	require.NoError(t, err)
	req := httptest.NewRequestWithContext(t.Context(), method, path, http.NoBody)
	resp, err := http.ReadResponse(bufio.NewReader(conn), req)
	require.NoError(t, err)
	return s.read(t, req, resp)
}

func (s *testAPI) read(t testing.TB, req *http.Request, resp *http.Response) answer {
	t.Helper()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	a := answer{status: resp.StatusCode, header: resp.Header, body: body, last: resp.Close}
	s.spec.check(t, req, a)
	return a
}

// count adds up the series with the given labels: their values, and of a
// histogram its number of observations.
func (s *testAPI) count(t testing.TB, name string, labels ...string) int {
	t.Helper()
	want := map[string]string{}
	for i := 0; i < len(labels); i += 2 {
		want[labels[i]] = labels[i+1]
	}
	families, err := s.registry.Gather()
	require.NoError(t, err)
	var sum float64
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			got := map[string]string{}
			for _, l := range m.GetLabel() {
				if _, ok := want[l.GetName()]; ok {
					got[l.GetName()] = l.GetValue()
				}
			}
			if maps.Equal(got, want) {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return int(sum)
}

// spec is the description of the API.
type spec struct {
	doc    *openapi3.T
	router routers.Router
}

//nolint:gochecknoglobals // It takes long to read.
var readSpec = sync.OnceValues(func() (*spec, error) {
	doc, err := openapi3.NewLoader().LoadFromData(openAPI)
	if err != nil {
		return nil, err
	}
	doc.Servers = nil // the tests serve elsewhere
	for _, text := range []string{"text/html", "image/svg+xml"} {
		openapi3filter.RegisterBodyDecoder(text, openapi3filter.PlainBodyDecoder)
	}
	router, err := legacy.NewRouter(doc)
	return &spec{doc: doc, router: router}, err
})

func loadSpec(t testing.TB) *spec {
	t.Helper()
	s, err := readSpec()
	require.NoError(t, err)
	return s
}

// check holds an answer against the description.
func (s *spec) check(t testing.TB, req *http.Request, a answer) {
	t.Helper()
	require.NotEmpty(t, a.header.Get("X-Request-Id"))
	require.Empty(t, a.header.Get("Server"))
	if a.status == http.StatusNotFound || a.status == http.StatusMethodNotAllowed {
		if req.Method == http.MethodHead {
			return
		}
		s.checkProblem(t, a)
		if !a.problem(t).Is("unknown-task") { // the others are described in words
			return
		}
	}
	route, params, err := s.router.FindRoute(req)
	require.NoError(t, err)
	input := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: req, Route: route, PathParams: params},
		Status:                 a.status,
		Header:                 a.header,
		Body:                   io.NopCloser(bytes.NewReader(a.body)),
		Options:                &openapi3filter.Options{IncludeResponseStatus: true},
	}
	require.NoError(t, openapi3filter.ValidateResponse(req.Context(), input))
}

func (s *spec) checkProblem(t testing.TB, a answer) {
	t.Helper()
	var value any
	require.NoError(t, json.Unmarshal(a.body, &value))
	schema := s.doc.Components.Schemas["Problem"].Value
	require.NoError(t, schema.VisitJSON(value, openapi3.EnableJSONSchema2020()))
	require.Equal(t, a.status, a.problem(t).Status)
}
