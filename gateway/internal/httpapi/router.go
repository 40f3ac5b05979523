// Package httpapi is the gateway's HTTP API: it reads requests, hands them to
// one of the two lanes, tells what became of tasks and answers. It is the only
// package that knows Gin.
//
// It deliberately keeps no task and has no queue of its own: what does not fit
// into its bounds, or into those of what is behind it, is refused at once.
package httpapi

import (
	"cmp"
	"context"
	_ "embed"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/semaphore"

	"github.com/twinlane/twinlane/gateway/internal/outcomes"
	"github.com/twinlane/twinlane/gateway/internal/taskid"
	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/service"
	"github.com/twinlane/twinlane/internal/task"
)

// Publisher publishes a message. It returns nil only for a message that the
// broker has confirmed, and decides itself how long to wait for that, whether
// or not ctx ends.
type Publisher interface {
	Publish(ctx context.Context, m rabbitmq.Message) error
}

// Worker does a task and returns its result. It blocks until then.
type Worker interface {
	Execute(ctx context.Context, m task.Message, h task.Headers) (task.Result, error)
}

// Outcomes knows what became of tasks. None of its methods blocks.
type Outcomes interface {
	// Lookup returns the result of a task that has ended, or says why there is
	// none. issuedAt is zero for the id of a request with an Idempotency-Key.
	Lookup(id string, issuedAt time.Time) (task.Result, outcomes.State)
	// Watch returns a channel that gets the result of a task, at once where there
	// is one. The caller calls stop when it waits no longer.
	Watch(id string) (result <-chan task.Result, stop func())
	// Acceptance returns what was accepted with the Idempotency-Key of an id.
	Acceptance(id string) (task.Acceptance, bool)
	// Accepted notes what this gateway has accepted with an Idempotency-Key.
	Accepted(a task.Acceptance)
	// AcceptedHere counts a task that this gateway has accepted for a run.
	AcceptedHere(run string)
	// Run returns the books of a run.
	Run(name string) outcomes.Books
}

// Config holds what the API depends on and its settings.
type Config struct {
	// Publisher publishes tasks, Records what is to be known of them.
	Publisher Publisher
	Records   Publisher
	Worker    Worker
	IDs       *taskid.Signer
	Outcomes  Outcomes
	// CaughtUp returns nil once the outcomes of the past are known.
	CaughtUp func() error
	// FaultInjection lets clients ask for failures.
	FaultInjection bool
	// MaxBodyBytes bounds the bodies of all requests in flight together. Zero
	// stands for DefaultMaxBodyBytes.
	MaxBodyBytes int64
	// AsyncMaxInFlight bounds the tasks of the async lane that are being published.
	// Zero stands for DefaultMaxInFlight.
	AsyncMaxInFlight int
	// WaitMaxInFlight bounds the requests that wait for a result. Zero stands for
	// DefaultMaxInFlight.
	WaitMaxInFlight int
	// WaitsEnd ends all waits once it is closed. Nil is never closed.
	WaitsEnd <-chan struct{}
	// Links are what the page for people points to.
	Links []Link
	// ReportsDir is the folder of the reports of sweeps. Empty serves none.
	ReportsDir string
	// Tracer makes a span for each request. Nil makes none.
	Tracer     trace.Tracer
	Registerer prometheus.Registerer
	Logger     *slog.Logger
}

// The bounds of a Config that names none.
const (
	DefaultMaxBodyBytes = 128 * task.MaxRequestBytes // of the largest requests
	DefaultMaxInFlight  = 1024
)

type api struct {
	publisher      Publisher
	records        Publisher
	worker         Worker
	ids            *taskid.Signer
	outcomes       Outcomes
	caughtUp       func() error
	faultInjection bool
	bodies         *semaphore.Weighted // in bytes
	taking         *semaphore.Weighted // tasks of the async lane
	keys           keySet              // of the requests being taken in that have an Idempotency-Key
	pending        pending             // of those before, what only this gateway knows
	waiting        *semaphore.Weighted // requests that wait for a result
	waitsEnd       <-chan struct{}
	page           *page
	reports        string       // their folder
	tracer         trace.Tracer // nil where there are no traces
	logger         *slog.Logger
	metrics        *metrics
	problems       []problem
}

// New returns the API's handler.
func New(cfg Config) (http.Handler, error) {
	a := &api{
		publisher:      cfg.Publisher,
		records:        cfg.Records,
		worker:         cfg.Worker,
		ids:            cfg.IDs,
		outcomes:       cfg.Outcomes,
		caughtUp:       cfg.CaughtUp,
		faultInjection: cfg.FaultInjection,
		bodies:         semaphore.NewWeighted(cmp.Or(cfg.MaxBodyBytes, DefaultMaxBodyBytes)),
		taking:         semaphore.NewWeighted(int64(cmp.Or(cfg.AsyncMaxInFlight, DefaultMaxInFlight))),
		waiting:        semaphore.NewWeighted(int64(cmp.Or(cfg.WaitMaxInFlight, DefaultMaxInFlight))),
		waitsEnd:       cfg.WaitsEnd,
		reports:        cfg.ReportsDir,
		tracer:         cfg.Tracer,
		logger:         service.OrDiscard(cfg.Logger).With("component", "httpapi"),
		problems:       problems(),
	}
	var err error
	if a.page, err = newPage(cfg.Links, cfg.FaultInjection); err != nil {
		return nil, err
	}
	routes := a.routes()
	a.metrics = newMetrics(cfg.Registerer, routes, a.problems)

	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	if err := engine.SetTrustedProxies(nil); err != nil {
		return nil, fmt.Errorf("trust no proxy: %w", err)
	}
	engine.RedirectTrailingSlash = false
	engine.HandleMethodNotAllowed = true
	engine.Use(a.assignRequestID)
	if a.tracer != nil {
		engine.Use(a.trace)
	}
	engine.Use(a.drain, a.measure, a.recoverPanic)
	for _, r := range routes {
		engine.Handle(r.method, r.path, a.adapt(r.handle))
	}
	engine.NoRoute(a.adapt(notFound))
	engine.NoMethod(a.adapt(methodNotAllowed))
	return engine, nil
}

// handler answers a request, or returns the error that the table of problems
// turns into an answer.
type handler func(*gin.Context) error

type route struct {
	method, path string
	handle       handler
	statuses     []int // every status it answers with
}

// routes is the one list of what the API serves.
func (a *api) routes() []route {
	status := []int{200, 404, 410, 500, 503}
	books := []int{200, 422, 500, 503}
	description := []int{200, 500}
	report := []int{200, 404, 500}
	return []route{
		{http.MethodGet, "/", a.landing, description},
		{http.MethodHead, "/", a.landing, description},
		{http.MethodPost, "/v1/sync", a.sync, []int{200, 400, 408, 413, 415, 422, 429, 500, 502, 503, 504}},
		{http.MethodPost, "/v1/async", a.async, []int{200, 202, 400, 408, 409, 413, 415, 422, 429, 500, 503}},
		{http.MethodGet, "/v1/tasks/:id", a.task, status},
		{http.MethodHead, "/v1/tasks/:id", a.task, status},
		{http.MethodGet, "/v1/runs/:run", a.run, books},
		{http.MethodHead, "/v1/runs/:run", a.run, books},
		{http.MethodGet, "/openapi.yaml", serveOpenAPI, description},
		{http.MethodHead, "/openapi.yaml", serveOpenAPI, description},
		{http.MethodGet, "/reports/:run/:file", a.reportPart, report},
		{http.MethodHead, "/reports/:run/:file", a.reportPart, report},
	}
}

//go:embed openapi.yaml
var openAPI []byte

// serveOpenAPI serves the description of the API.
func serveOpenAPI(c *gin.Context) error {
	c.Data(http.StatusOK, "application/yaml", openAPI)
	return nil
}
