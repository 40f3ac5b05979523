package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/gin-gonic/gin"

	"github.com/twinlane/twinlane/gateway/internal/workerclient"
	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/task"
)

// The refusals that come from the router.
var (
	errNotFound         = errors.New("no such route")
	errMethodNotAllowed = errors.New("method not allowed")
)

// statusClientGone stands in metrics and logs for a request whose client has
// hung up. No client ever sees it.
const statusClientGone = 499

// problem is a row of the table that turns an error into an answer.
type problem struct {
	is     func(error) bool
	status int
	code   string // the last part of the problem's type
	then   then
	title  string
	detail string // or itself: the text of the error, which then has to be fit for a client
}

// itself is the detail of a problem whose error says best what is wrong.
const itself = ""

// then says what goes on after a problem.
type then struct {
	retryAfter string // in seconds; empty: the same request would fail again
	hangUp     bool   // the connection ends, because the rest of the body is not worth reading
}

// problems is the one translation from an error to an answer. The first row
// that matches is the answer; the last one matches everything.
func problems() []problem {
	done, hangUp := then{}, then{hangUp: true}
	retry := func(seconds string) then { return then{retryAfter: seconds} }
	return []problem{
		{is(errNotFound), 404, "not-found", done, "No such route", itself},
		{is(errMethodNotAllowed), 405, "method-not-allowed", done, "The route does not know the method", itself},
		{is(errMediaType), 415, "unsupported-media-type", done, "The body is not plain JSON", itself},
		{is(errBodyTooLarge), 413, "body-too-large", hangUp, "The body is too large", itself},
		{is(errSlowBody), 408, "slow-body", hangUp, "The body did not arrive in time", "send the whole body at once"},
		{is(errUnreadableBody), 400, "unreadable-body", hangUp, "The body could not be read", "it ends early, or its transfer encoding is broken"},
		{as[*task.SyntaxError], 400, "malformed-json", done, "The body is not one JSON object", itself},
		{as[*task.FieldError], 422, "invalid-field", done, "A field is not allowed as it is", itself},
		{is(errNoFaults), 422, "fault-injection-off", done, "Fault injection is off", "the field fail is honoured only where FAULT_INJECTION is on"},

		{is(workerclient.ErrSaturated), 503, "worker-busy", retry("1"), "The worker is busy", "as many synchronous requests as allowed are in flight"},
		{is(workerclient.ErrBusy), 503, "worker-busy", retry("1"), "The worker is busy", "it has no room for the task"},
		{is(workerclient.ErrUnavailable), 503, "worker-unavailable", retry("2"), "The worker is not reachable", "the task was not started"},
		{is(workerclient.ErrClosed), 503, "shutting-down", retry("2"), "The gateway is shutting down", "the task was given up and may have had effects"},
		{is(workerclient.ErrTimeout), 504, "task-timeout", done, "The task took too long", "it was given up and may have had effects"},
		{is(workerclient.ErrBroken), 502, "worker-failed", done, "The worker failed", "the connection to it broke; the task may have run"},
		{is(workerclient.ErrBadAnswer), 502, "worker-failed", done, "The worker failed", "its answer was not understood; the task may have run"},
		{as[*workerclient.TaskError], 502, "task-failed", done, "The task failed", itself},

		// First, because the second attempt of a publish may have been refused as below, which says nothing about the first.
		{is(rabbitmq.ErrOutcomeUnknown), 503, "outcome-unknown", retry("5"), "The broker did not confirm in time", "the task may have been accepted or not"},
		{is(rabbitmq.ErrSaturated), 429, "overloaded", retry("1"), "Too many tasks are being handed in", "as many publishes as allowed are in flight; the task was not accepted"},
		{is(rabbitmq.ErrNacked), 429, "queue-full", retry("5"), "The queue is full", "the broker refused the task; it was not accepted"},
		{is(rabbitmq.ErrBlocked), 503, "broker-blocked", retry("5"), "The broker takes no tasks", "it is short of memory or disk; the task was not accepted"},
		{is(rabbitmq.ErrUnavailable), 503, "broker-unavailable", retry("2"), "The broker is not reachable", "the task was not accepted"},
		{is(rabbitmq.ErrUnroutable), 503, "not-routable", retry("5"), "The queue is missing", "the broker returned the task; it was not accepted"},

		{is(context.Canceled), statusClientGone, "client-gone", done, "The client hung up", "nobody reads this"},
		{func(error) bool { return true }, 500, "internal", done, "The gateway failed", "the request id finds the cause in the log"},
	}
}

func is(target error) func(error) bool {
	return func(err error) bool { return errors.Is(err, target) }
}

func as[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// document is a problem as a client sees it: RFC 9457 and the members that the
// description of the API lists.
type document struct {
	Type      string      `json:"type"`
	Title     string      `json:"title"`
	Status    int         `json:"status"`
	Detail    string      `json:"detail"`
	RequestID string      `json:"request_id"`
	TaskID    string      `json:"task_id,omitempty"`
	Field     string      `json:"field,omitempty"`
	Value     string      `json:"value,omitempty"`
	Allowed   string      `json:"allowed,omitempty"`
	Reason    task.Reason `json:"reason,omitempty"`
	Transient *bool       `json:"transient,omitempty"`
}

// refuse answers with the problem that err is.
func (a *api) refuse(c *gin.Context, err error) {
	p := a.problemOf(err)
	a.metrics.problems.WithLabelValues(p.code).Inc()
	if p.status == http.StatusInternalServerError {
		a.logger.Error("request failed", "request_id", requestID(c), "err", err)
	}
	doc := document{
		Type: "urn:twinlane:problem:" + p.code, Title: p.title, Status: p.status, Detail: p.detail, RequestID: requestID(c),
	}
	if doc.Detail == itself {
		doc.Detail = err.Error()
	}
	doc.explain(err)
	if p.then.retryAfter != "" {
		c.Header("Retry-After", p.then.retryAfter)
	}
	if p.then.hangUp {
		c.Header("Connection", "close")
	}
	_ = writeJSON(c, p.status, "application/problem+json", doc) // a document of strings can always be encoded
}

func (a *api) problemOf(err error) problem {
	return a.problems[slices.IndexFunc(a.problems, func(p problem) bool { return p.is(err) })]
}

// explain adds what the error knows beyond its text.
func (d *document) explain(err error) {
	if e, ok := errors.AsType[*task.FieldError](err); ok {
		d.Field, d.Value, d.Allowed = e.Field, e.Value, e.Allowed
	}
	if e, ok := errors.AsType[*workerclient.TaskError](err); ok {
		d.Detail, d.Reason, d.Transient = e.Detail, e.Reason, &e.Transient
	}
	if e, ok := errors.AsType[*publishError](err); ok && errors.Is(err, rabbitmq.ErrOutcomeUnknown) {
		d.TaskID = e.taskID
	}
}

// writeJSON answers with one JSON value on a line of its own. That the client
// has hung up meanwhile is no error of this server.
func writeJSON(c *gin.Context, status int, contentType string, v any) error {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	c.Header("Content-Type", contentType)
	c.Status(status)
	_, _ = c.Writer.Write(buf.Bytes())
	return nil
}
