package httpapi

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/twinlane/twinlane/internal/task"
)

// assignRequestID gives every request an id, the client's own where it is
// valid, and repeats it in the answer, which is where requestID finds it.
func (a *api) assignRequestID(c *gin.Context) {
	id := c.GetHeader(task.HTTPRequestID)
	if !task.ValidName(id) {
		id = uuid.NewString()
	}
	c.Header(task.HTTPRequestID, id)
}

func requestID(c *gin.Context) string { return c.Writer.Header().Get(task.HTTPRequestID) }

// measure counts and times every request.
func (a *api) measure(c *gin.Context) {
	start := time.Now()
	a.metrics.inFlight.Inc()
	defer a.metrics.inFlight.Dec()
	c.Next()
	elapsed := time.Since(start)
	a.metrics.observe(c.Request.Context(), c.FullPath(), c.Request.Method, c.Writer.Status(), elapsed)
	if !a.logger.Enabled(c.Request.Context(), slog.LevelDebug) {
		return
	}
	a.logger.LogAttrs(c.Request.Context(), slog.LevelDebug, "request answered",
		slog.String("method", c.Request.Method), slog.String("route", c.FullPath()), slog.Int("status", c.Writer.Status()),
		slog.Duration("duration", elapsed), slog.String("request_id", requestID(c)))
}

// maxDrain bounds what is read of a refused request's body, in bytes.
const maxDrain = 64 << 20

// drain reads what a refused request still has to send, within the time that a
// request has. Many a client sends all of it before it reads, and would never
// see the answer that tells it why if it were cut off.
func (a *api) drain(c *gin.Context) {
	c.Next()
	if c.Writer.Status() >= http.StatusBadRequest && c.GetHeader("Expect") == "" {
		_, _ = io.CopyN(io.Discard, c.Request.Body, maxDrain)
	}
}

// recoverPanic turns a panic of a handler into an answer and a line in the log.
func (a *api) recoverPanic(c *gin.Context) {
	defer func() {
		cause := recover()
		if cause == nil {
			return
		}
		if cause == http.ErrAbortHandler { //nolint:errorlint // The value itself is the signal.
			panic(cause)
		}
		a.logger.Error("handler panicked", "request_id", requestID(c), "panic", fmt.Sprint(cause), "stack", string(debug.Stack()))
		a.writeProblem(c, fmt.Errorf("panic: %v", cause))
		c.Abort()
	}()
	c.Next()
}

// adapt makes a handler one of Gin's.
func (a *api) adapt(h handler) gin.HandlerFunc {
	return func(c *gin.Context) {
		if err := h(c); err != nil {
			a.writeProblem(c, err)
		}
	}
}

func notFound(c *gin.Context) error {
	return fmt.Errorf("%w: %s %s", errNotFound, shorten(c.Request.Method), shorten(c.Request.URL.Path))
}

func methodNotAllowed(c *gin.Context) error {
	allowed := strings.Join(c.Writer.Header().Values("Allow"), ", ")
	return fmt.Errorf("%w: %s; allowed: %s", errMethodNotAllowed, shorten(c.Request.Method), allowed)
}
