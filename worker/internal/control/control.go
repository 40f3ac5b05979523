// Package control serves what operators may look at and change while a worker
// runs, on its admin address: the sizes of its executor.
package control

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"sync"

	"github.com/twinlane/twinlane/internal/service"
	"github.com/twinlane/twinlane/internal/task"
	"github.com/twinlane/twinlane/worker/internal/executor"
)

// path is where the executor is.
const path = "/executor"

// maxBody bounds a request.
const maxBody = 1 << 10

// sizes are those of an executor on the wire. A size that the model does not
// have, or that is not to be changed, is missing.
type sizes struct {
	Concurrency *int `json:"concurrency,omitempty"`
	Core        *int `json:"core,omitempty"`
	Max         *int `json:"max,omitempty"`
}

// state is the answer of every request that is allowed.
type state struct {
	Model  executor.Model `json:"model"`
	Sizes  sizes          `json:"sizes"`
	Limits sizes          `json:"limits"`
	// Capacity is how many tasks the worker takes in at once, at its limits.
	Capacity int             `json:"capacity"`
	Policy   executor.Policy `json:"policy,omitempty"`
	Stats    executor.Stats  `json:"stats"`
}

// Handler serves one executor, and hands everything else on:
//
//	GET /executor   its sizes, their limits, and what it is doing
//	PUT /executor   changes sizes; those that are left out stay
//
// The limits are the sizes that the worker was started with: as many deliveries
// as these need are in the worker, smaller sizes or not. Every error is an
// application/problem+json.
type Handler struct {
	cfg    executor.Config
	exec   executor.Executor
	mux    *http.ServeMux
	logger *slog.Logger

	resizing sync.Mutex // held from reading the sizes to changing them
}

// NewHandler returns a handler of exec, which was made from cfg. Other requests
// are for next. A nil logger discards.
func NewHandler(cfg executor.Config, exec executor.Executor, next http.Handler, logger *slog.Logger) *Handler {
	h := &Handler{cfg: cfg, exec: exec, mux: http.NewServeMux(), logger: service.OrDiscard(logger).With("component", "control")}
	h.mux.HandleFunc("GET "+path, h.show)
	h.mux.HandleFunc("PUT "+path, h.change)
	h.mux.HandleFunc(path, h.methodNotAllowed)
	h.mux.Handle("/", next)
	return h
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.mux.ServeHTTP(w, r) }

func (h *Handler) show(w http.ResponseWriter, _ *http.Request) {
	h.write(w, http.StatusOK, task.ContentType, h.state())
}

func (h *Handler) state() state {
	s := state{Model: h.cfg.Model, Limits: h.limits(), Capacity: h.cfg.Capacity()}
	if h.cfg.Model == executor.ModelPool {
		s.Policy = h.cfg.Pool.Policy
	}
	if r, ok := h.exec.(executor.Resizer); ok {
		s.Sizes = h.wire(r.Sizes())
	}
	if o, ok := h.exec.(executor.Observed); ok {
		s.Stats = o.Stats()
	}
	return s
}

// limits are the largest sizes that are allowed.
func (h *Handler) limits() sizes {
	switch h.cfg.Model {
	case executor.ModelSerial:
		return sizes{}
	case executor.ModelPool:
		return h.wire(executor.Sizes{Core: h.cfg.Pool.Max, Max: h.cfg.Pool.Max})
	default:
		return h.wire(executor.Sizes{Concurrency: h.cfg.Concurrency})
	}
}

// wire leaves out what the model does not have.
func (h *Handler) wire(s executor.Sizes) sizes {
	if h.cfg.Model == executor.ModelPool {
		return sizes{Core: &s.Core, Max: &s.Max}
	}
	return sizes{Concurrency: &s.Concurrency}
}

func (h *Handler) change(w http.ResponseWriter, r *http.Request) {
	if mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || mediaType != task.ContentType {
		h.problem(w, http.StatusUnsupportedMediaType, task.ProblemUnsupportedMediaType, errors.New("the Content-Type has to be "+task.ContentType))
		return
	}
	wanted, err := decode(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		h.problem(w, http.StatusBadRequest, task.ProblemMalformedJSON, err)
		return
	}
	if err := h.resize(wanted); err != nil {
		h.problem(w, http.StatusUnprocessableEntity, task.ProblemInvalidField, err)
		return
	}
	h.show(w, r)
}

// decode reads the one JSON object of a request.
func decode(body io.Reader) (sizes, error) {
	all, err := io.ReadAll(body)
	if err != nil {
		return sizes{}, fmt.Errorf("read the body: %w", err)
	}
	dec := json.NewDecoder(bytes.NewReader(all))
	dec.DisallowUnknownFields()
	var s *sizes // nil for a null
	if err := dec.Decode(&s); err != nil {
		return sizes{}, fmt.Errorf("the body is not an object of sizes: %w", err)
	}
	if s == nil {
		return sizes{}, errors.New("the body is not an object of sizes: null")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return sizes{}, errors.New("the body is more than one JSON object")
	}
	return *s, nil
}

// resize changes what is wanted, where it is allowed.
func (h *Handler) resize(wanted sizes) error {
	r, ok := h.exec.(executor.Resizer)
	if !ok {
		return fmt.Errorf("the executor %s has no sizes that could change", h.cfg.Model)
	}
	h.resizing.Lock()
	defer h.resizing.Unlock()
	before, limits := r.Sizes(), h.limits()
	after := before
	for _, size := range []struct {
		name          string
		wanted, limit *int
		into          *int
	}{
		{"concurrency", wanted.Concurrency, limits.Concurrency, &after.Concurrency},
		{"core", wanted.Core, limits.Core, &after.Core},
		{"max", wanted.Max, limits.Max, &after.Max},
	} {
		switch {
		case size.wanted == nil:
		case size.limit == nil:
			return fmt.Errorf("%s: not a size of the executor %s", size.name, h.cfg.Model)
		case *size.wanted > *size.limit:
			return fmt.Errorf("%s: %d is not allowed; allowed: up to %d, which the worker was started with", size.name, *size.wanted, *size.limit)
		default:
			*size.into = *size.wanted
		}
	}
	if err := r.Resize(after); err != nil {
		return err //nolint:wrapcheck // It names the size.
	}
	h.logger.Info("executor resized", "from", before, "to", after)
	return nil
}

func (h *Handler) methodNotAllowed(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Allow", "GET, HEAD, PUT")
	h.problem(w, http.StatusMethodNotAllowed, task.ProblemMethodNotAllowed, errors.New("use GET or PUT"))
}

func (h *Handler) problem(w http.ResponseWriter, status int, code task.ProblemCode, err error) {
	h.write(w, status, task.ProblemContentType, task.Problem{Type: code.Type(), Title: code.Title(), Status: status, Detail: err.Error()})
}

func (h *Handler) write(w http.ResponseWriter, status int, contentType string, body any) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		h.logger.Debug("answer not written", "err", err)
	}
}
