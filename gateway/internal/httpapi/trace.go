package httpapi

import (
	"net/http"

	"github.com/gin-gonic/gin"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/twinlane/twinlane/internal/tracing"
)

// problemKey is where a request keeps the failure that it was answered with, for
// its span.
const problemKey = "httpapi.problem"

// failure is a problem and the error behind it.
type failure struct {
	problem problem
	err     error
}

// trace has each request be a span, in the client's trace where the client names
// one. What is published and called for the request belongs to that span. It is
// in use only where there are traces.
func (a *api) trace(c *gin.Context) {
	var span oteltrace.Span
	c.Request, span = tracing.Serve(a.tracer, c.Request, c.FullPath())
	defer span.End()
	span.SetAttributes(tracing.RequestID.String(requestID(c)))
	c.Next()
	why, _ := c.Value(problemKey).(failure)
	tracing.Answered(span, c.Writer.Status(), string(why.problem.code), why.err)
}

// noteFailure keeps what a request failed of for its span.
func (a *api) noteFailure(c *gin.Context, p problem, err error) {
	if a.tracer != nil && p.status >= http.StatusInternalServerError {
		c.Set(problemKey, failure{problem: p, err: err})
	}
}
