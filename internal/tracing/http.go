package tracing

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/twinlane/twinlane/internal/task"
)

// FromRequest returns the trace that a request belongs to, as headers. An
// invalid one counts as none, as its specification demands; a tracestate may be
// spread over several lines.
func FromRequest(h http.Header) (traceparent, tracestate string) {
	parents := h[task.HTTPTraceparent]
	if len(parents) != 1 {
		return "", ""
	}
	return task.TraceContext(parents[0], strings.Join(h[task.HTTPTracestate], ","))
}

// Serve begins the span of a request that is being answered, in the trace of
// whoever sent it, and returns the request with it. The route is the pattern
// that the request matched, and empty where it matched none.
func Serve(tracer trace.Tracer, r *http.Request, route string) (*http.Request, trace.Span) {
	var sent task.Headers
	sent.Traceparent, sent.Tracestate = FromRequest(r.Header)
	method := methodOf(r.Method)
	attributes := []attribute.KeyValue{
		method,
		semconv.URLScheme("http"),
		semconv.URLPath(task.Truncate(r.URL.Path, task.MaxShortString)),
		semconv.UserAgentOriginal(task.Truncate(r.UserAgent(), task.MaxShortString)),
		semconv.NetworkProtocolVersion(strconv.Itoa(r.ProtoMajor) + "." + strconv.Itoa(r.ProtoMinor)),
	}
	if route != "" {
		attributes = append(attributes, semconv.HTTPRoute(route))
	}
	ctx, span := tracer.Start(Continue(r.Context(), sent), nameOf(method, route),
		trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(attributes...))
	return r.WithContext(ctx), span
}

// Answered says how a request was answered. A status of the 4xx is the client's
// error and no failure of this span; one of the 5xx is, and its class is the
// status where nobody has told a better one.
func Answered(span trace.Span, status int, class string, err error) {
	span.SetAttributes(semconv.HTTPResponseStatusCode(status))
	if status < http.StatusInternalServerError {
		return
	}
	if class == "" {
		class = strconv.Itoa(status)
	}
	Fail(span, class, err)
}

// Call begins the span of a request to another service. The route is the last
// part of its URL.
func Call(ctx context.Context, tracer trace.Tracer, method string, to *url.URL, route string) (context.Context, trace.Span) {
	known := methodOf(method)
	attributes := []attribute.KeyValue{
		known,
		semconv.URLFull(to.Redacted()),
		semconv.ServerAddress(to.Hostname()),
		semconv.URLTemplate(route),
	}
	if port, err := strconv.Atoi(to.Port()); err == nil {
		attributes = append(attributes, semconv.ServerPort(port))
	}
	return tracer.Start(ctx, nameOf(known, route), trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attributes...))
}

// methodOf is a method as an attribute. Clients can make methods up, and
// attributes are to be searched for.
func methodOf(method string) attribute.KeyValue {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodConnect, http.MethodOptions, http.MethodTrace:
		return semconv.HTTPRequestMethodKey.String(method)
	default:
		return semconv.HTTPRequestMethodOther
	}
}

// nameOf is the name of the span of a request.
func nameOf(method attribute.KeyValue, route string) string {
	name := method.Value.AsString()
	if method == semconv.HTTPRequestMethodOther {
		name = "HTTP"
	}
	if route == "" {
		return name
	}
	return name + " " + route
}
