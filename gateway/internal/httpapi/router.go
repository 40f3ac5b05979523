// Package httpapi is the gateway's HTTP API: it reads requests, hands them to
// one of the two lanes and answers. It is the only package that knows Gin.
//
// It deliberately holds no state and has no queue of its own. What bounds the
// work is behind its two interfaces, which fail at once when they are full.
package httpapi

import (
	"cmp"
	"context"
	_ "embed"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"

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

// Config holds what the API depends on and its one setting.
type Config struct {
	Publisher Publisher
	Worker    Worker
	// FaultInjection lets clients ask for failures.
	FaultInjection bool
	// MaxBodyBytes bounds the bodies of all requests in flight together. Zero
	// stands for DefaultMaxBodyBytes.
	MaxBodyBytes int64
	Registerer   prometheus.Registerer
	Logger       *slog.Logger
}

// DefaultMaxBodyBytes has room for 128 of the largest requests.
const DefaultMaxBodyBytes = 128 * task.MaxRequestBytes

type api struct {
	publisher      Publisher
	worker         Worker
	faultInjection bool
	bodies         *semaphore.Weighted
	logger         *slog.Logger
	metrics        *metrics
	problems       []problem
}

// New returns the API's handler.
func New(cfg Config) (http.Handler, error) {
	a := &api{
		publisher:      cfg.Publisher,
		worker:         cfg.Worker,
		faultInjection: cfg.FaultInjection,
		bodies:         semaphore.NewWeighted(cmp.Or(cfg.MaxBodyBytes, DefaultMaxBodyBytes)),
		logger:         service.OrDiscard(cfg.Logger).With("component", "httpapi"),
		problems:       problems(),
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
	engine.Use(a.assignRequestID, a.drain, a.measure, a.recoverPanic)
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
	return []route{
		{http.MethodPost, "/v1/sync", a.admit(a.sync), []int{200, 400, 408, 413, 415, 422, 429, 500, 502, 503, 504}},
		{http.MethodPost, "/v1/async", a.admit(a.async), []int{202, 400, 408, 413, 415, 422, 429, 500, 503}},
		{http.MethodGet, "/openapi.yaml", serveOpenAPI, []int{200, 500}},
		{http.MethodHead, "/openapi.yaml", serveOpenAPI, []int{200, 500}},
	}
}

//go:embed openapi.yaml
var openAPI []byte

// serveOpenAPI serves the description of the API.
func serveOpenAPI(c *gin.Context) error {
	c.Data(http.StatusOK, "application/yaml", openAPI)
	return nil
}
