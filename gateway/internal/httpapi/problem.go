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
	kind
	next   header
	detail string // or errorText
}

// kind names a problem.
type kind struct {
	code  task.ProblemCode
	title string
}

// shared is a kind of problem that the gateway and the worker have in common.
func shared(code task.ProblemCode) kind { return kind{code: code, title: code.Title()} }

// header tells a client what goes on after a problem. Where there is none, the
// connection stays, and the same request would fail again.
type header struct{ name, value string }

func retryAfter(seconds string) header { return header{"Retry-After", seconds} }

// errorText is the detail of a problem whose error says best what is wrong. Its
// text then has to be fit for a client.
const errorText = ""

// problems is the one translation from an error to an answer. The first row
// that matches is the answer; the last one matches everything.
func problems() []problem {
	none := header{}
	closing := header{"Connection", "close"} // the rest of the body is not worth reading
	workerFailed := kind{"worker-failed", "The worker failed"}
	overloaded := kind{"overloaded", "Too many tasks are being handed in"}
	unknown := kind{"unknown-task", "The task is not known here"}
	return []problem{
		{is(errNotFound), 404, shared(task.ProblemNotFound), none, errorText},
		{is(errMethodNotAllowed), 405, shared(task.ProblemMethodNotAllowed), none, errorText},
		{is(errMediaType), 415, shared(task.ProblemUnsupportedMediaType), none, errorText},
		{is(errBodyTooLarge), 413, shared(task.ProblemBodyTooLarge), closing, errorText},
		{is(errSlowBody), 408, shared(task.ProblemSlowBody), closing, "send the whole body at once"},
		{is(errUnreadableBody), 400, shared(task.ProblemUnreadableBody), closing, "it ends early, or its transfer encoding is broken"},
		{as[*task.SyntaxError], 400, shared(task.ProblemMalformedJSON), none, errorText},
		{as[*task.FieldError], 422, shared(task.ProblemInvalidField), none, errorText},
		{is(errBadKey), 400, kind{"invalid-idempotency-key", "The Idempotency-Key is not valid"}, none, errorText},
		{is(errKeyInUse), 409, kind{"idempotency-key-in-use", "A request with the same Idempotency-Key is being taken in"}, retryAfter("1"), "nothing was done for this one; a retry is answered as the other one is"},
		{is(errKeyReused), 422, kind{"idempotency-key-reused", "The Idempotency-Key belongs to another request"}, none, "it came with another body before; a new task needs a new key"},
		{is(errNoFaults), 422, kind{"fault-injection-off", "Fault injection is off"}, none, "the field fail is honoured only where FAULT_INJECTION is on"},

		{is(errBodiesFull), 429, overloaded, retryAfter("1"), "requests in flight hold as many bytes as allowed; the task was not accepted"},
		{is(errAsyncFull), 429, overloaded, retryAfter("1"), "as many tasks of the async lane as allowed are being published; the task was not accepted"},

		{is(errForeignTask), 404, unknown, none, "no gateway with the same signing keys has given out this id"},
		{is(errUnknownTask), 404, unknown, none, "it was never accepted, is not known yet, or is older than what is kept"},
		{is(errTaskGone), 410, kind{"task-gone", "The task is no longer known"}, none, "it is older than what is kept"},
		{is(errResultsBehind), 503, kind{"results-behind", "The outcomes are still being read"}, retryAfter("1"), "what became of the task is known in a moment"},

		{is(workerclient.ErrSaturated), 503, shared(task.ProblemWorkerBusy), retryAfter("1"), "as many synchronous requests as allowed are in flight"},
		{is(workerclient.ErrBusy), 503, shared(task.ProblemWorkerBusy), retryAfter("1"), "it has no room for the task"},
		{is(workerclient.ErrUnavailable), 503, kind{"worker-unavailable", "The worker is not reachable"}, retryAfter("2"), "the task was not started"},
		{is(workerclient.ErrClosed), 503, kind{"shutting-down", "The gateway is shutting down"}, retryAfter("2"), "the task was given up and may have had effects"},
		{is(workerclient.ErrTimeout), 504, shared(task.ProblemTaskTimeout), none, "it was given up and may have had effects"},
		{is(workerclient.ErrBroken), 502, workerFailed, none, "the connection to it broke; the task may have run"},
		{is(workerclient.ErrBadAnswer), 502, workerFailed, none, "its answer was not understood; the task may have run"},
		{as[*workerclient.TaskError], 502, shared(task.ProblemTaskFailed), none, errorText},

		// First, because the second attempt of a publish may have been refused as below, which says nothing about the first.
		{is(rabbitmq.ErrOutcomeUnknown), 503, kind{"outcome-unknown", "The broker did not confirm in time"}, retryAfter("5"), "the task may have been accepted or not; a retry with the Idempotency-Key that this request had makes no other task"},
		{is(rabbitmq.ErrSaturated), 429, overloaded, retryAfter("1"), "as many publishes as allowed are in flight; the task was not accepted"},
		{is(rabbitmq.ErrNacked), 429, kind{"queue-full", "The queue is full"}, retryAfter("5"), "the broker refused the task; it was not accepted"},
		{is(rabbitmq.ErrBlocked), 503, kind{"broker-blocked", "The broker takes no tasks"}, retryAfter("5"), "it is short of memory or disk; the task was not accepted"},
		{is(rabbitmq.ErrUnavailable), 503, kind{"broker-unavailable", "The broker is not reachable"}, retryAfter("2"), "the task was not accepted"},
		{is(rabbitmq.ErrUnroutable), 503, kind{"not-routable", "The queue is missing"}, retryAfter("5"), "the broker returned the task; it was not accepted"},

		{is(context.Canceled), statusClientGone, kind{"client-gone", "The client hung up"}, none, "nobody reads this"},
		{func(error) bool { return true }, 500, shared(task.ProblemInternal), none, "the request id finds the cause in the log"},
	}
}

func is(target error) func(error) bool {
	return func(err error) bool { return errors.Is(err, target) }
}

func as[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// writeProblem answers with the problem that err is.
func (a *api) writeProblem(c *gin.Context, err error) {
	p := a.problemOf(err)
	a.metrics.problems.WithLabelValues(string(p.code)).Inc()
	a.noteFailure(c, p, err)
	if p.status == http.StatusInternalServerError {
		a.logger.Error("request failed", "request_id", requestID(c), "err", err)
	}
	doc := task.Problem{Type: p.code.Type(), Title: p.title, Status: p.status, Detail: p.detail, RequestID: requestID(c)}
	if doc.Detail == errorText {
		doc.Detail = err.Error()
	}
	addMembers(&doc, err)
	if p.next != (header{}) {
		c.Header(p.next.name, p.next.value)
	}
	_ = writeJSON(c, p.status, task.ProblemContentType, doc) // a document of strings can always be encoded
}

func (a *api) problemOf(err error) problem {
	return a.problems[slices.IndexFunc(a.problems, func(p problem) bool { return p.is(err) })]
}

// addMembers adds what the error knows beyond its text.
func addMembers(doc *task.Problem, err error) {
	if e, ok := errors.AsType[*task.FieldError](err); ok {
		doc.Field, doc.Value, doc.Allowed = e.Field, e.Value, e.Allowed
	}
	if e, ok := errors.AsType[*workerclient.TaskError](err); ok {
		doc.Detail, doc.Reason, doc.Transient = e.Detail, e.Reason, &e.Transient
	}
	if e, ok := errors.AsType[*publishError](err); ok && errors.Is(err, rabbitmq.ErrOutcomeUnknown) {
		doc.TaskID = e.taskID
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
