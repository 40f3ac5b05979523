// Package httpapi is the worker's side of the sync lane: it runs one task per
// request and answers with the result when the task is done.
//
// It retries nothing and keeps nothing: a client that goes away takes its task
// with it.
package httpapi

import (
	"encoding/json"
	"log/slog"
	"net/http"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/twinlane/twinlane/internal/service"
	"github.com/twinlane/twinlane/internal/task"
	"github.com/twinlane/twinlane/worker/internal/action"
)

// Config bounds the sync lane.
type Config struct {
	// Concurrency is how many tasks may run at once; more are refused.
	Concurrency int
	// Tracer makes a span for each request to run a task. Nil makes none.
	Tracer trace.Tracer
}

// Handler serves the sync lane:
//
//	POST /v1/execute   a task.Message in, a task.Result out
//
// Every error is an application/problem+json.
type Handler struct {
	runner  *action.Runner
	tracer  trace.Tracer  // nil where there are no traces
	places  chan struct{} // holds one element for each task that runs
	mux     *http.ServeMux
	logger  *slog.Logger
	metrics *metrics
}

// NewHandler returns a handler that runs tasks with runner. A nil logger discards.
func NewHandler(cfg Config, runner *action.Runner, reg prometheus.Registerer, logger *slog.Logger) *Handler {
	h := &Handler{
		runner:  runner,
		tracer:  cfg.Tracer,
		places:  make(chan struct{}, cfg.Concurrency),
		mux:     http.NewServeMux(),
		logger:  service.OrDiscard(logger).With("component", "httpapi"),
		metrics: newMetrics(reg),
	}
	h.mux.Handle(http.MethodPost+" "+task.PathExecute, h.answering(h.execute))
	h.mux.Handle(task.PathExecute, h.answering(methodNotAllowed))
	h.mux.Handle("/", h.answering(notFound))
	return h
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.mux.ServeHTTP(w, r) }

// endpoint returns the result to answer with, or the problem.
type endpoint func(w http.ResponseWriter, r *http.Request, requestID string) (task.Result, *problem)

// answering writes what an endpoint returns.
func (h *Handler) answering(e endpoint) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requestID := r.Header.Get(task.HTTPRequestID)
		if !task.ValidName(requestID) {
			requestID = uuid.NewString()
		}
		w.Header().Set(task.HTTPRequestID, requestID)
		r, span := h.startSpan(r, requestID)
		defer end(span)
		res, p := e(w, r, requestID)
		noteAnswer(span, p)
		if p != nil {
			p.RequestID = requestID
			p.setHeader(w.Header())
			h.write(w, p.Status, task.ProblemContentType, p)
			return
		}
		h.write(w, http.StatusOK, task.ContentType, res)
	})
}

func (h *Handler) write(w http.ResponseWriter, status int, contentType string, body any) {
	h.metrics.responses.WithLabelValues(codeLabel(status)).Inc()
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false) // an output may grow sixfold by it, beyond what a gateway takes
	if err := enc.Encode(body); err != nil {
		h.logger.Debug("answer not written", "err", err)
	}
}
