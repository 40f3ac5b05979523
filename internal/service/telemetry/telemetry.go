// Package telemetry sends the spans of a process to a collector, over OTLP and
// HTTP, where it is told of one.
//
// Traces are for looking at, and nothing depends on them: spans wait in a queue
// that is bounded, what does not fit is dropped, a batch that the collector does
// not take is lost, and a stop waits for the last ones only so long. It sets none
// of OpenTelemetry's globals.
package telemetry

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/twinlane/twinlane/internal/service"
)

// FlushTime is how long a stop waits for the spans that have not been sent.
const FlushTime = time.Second

const (
	scope = "github.com/twinlane/twinlane"
	// path is where an OTLP collector takes spans, below its endpoint.
	path = "v1/traces"
	// exportWithin bounds how long the collector may take for a batch.
	exportWithin = 5 * time.Second
	// collectFor is how long spans wait for others to be sent with.
	collectFor = time.Second
	// queued is how many spans may wait: at a few spans a task and a collector that
	// answers in no time, some thousand tasks a second.
	queued = 16_384
	batch  = 2048
)

// Config says where spans go to.
type Config struct {
	// Service is the name of the process among others.
	Service string
	// Endpoint is the base URL of the collector, as ParseEndpoint returns it. Nil
	// turns traces off.
	Endpoint *url.URL
	// Ratio is how many of the traces that begin here are kept, 0 to 1. Of the
	// others the side decides on which they begin.
	Ratio float64
}

// ParseEndpoint parses the setting name, the base URL of a collector. Nothing
// stands for none.
func ParseEndpoint(name, value string) (*url.URL, error) {
	if value == "" {
		return nil, nil //nolint:nilnil // It is the one value that says that there is none.
	}
	u, err := service.HTTPURL(name, value)
	if err == nil && (u.User != nil || u.RawQuery != "" || u.Fragment != "") {
		return nil, service.NotAllowed(name, "a user, a query or a fragment", "http://host:port or https://host:port, with a path or without")
	}
	return u, err
}

// Traces makes the spans of a process and sends them on. Nil is off.
type Traces struct {
	provider *sdktrace.TracerProvider
	// hurry ends the exports that are under way, and those that follow.
	hurry context.CancelFunc
}

// New returns what makes spans and sends them, or nil where cfg has no endpoint.
// Beyond cfg it keeps to the variables that are common to all exporters of OTLP,
// such as OTEL_EXPORTER_OTLP_HEADERS and OTEL_RESOURCE_ATTRIBUTES.
func New(ctx context.Context, cfg Config, reg prometheus.Registerer, logger *slog.Logger) (*Traces, error) {
	if cfg.Endpoint == nil {
		return nil, nil //nolint:nilnil // Nil is the Traces that are off.
	}
	client, err := otlptracehttp.New(
		ctx,
		otlptracehttp.WithEndpointURL(cfg.Endpoint.JoinPath(path).String()),
		otlptracehttp.WithTimeout(exportWithin),
		otlptracehttp.WithRetry(otlptracehttp.RetryConfig{Enabled: false}),
	)
	if err != nil {
		return nil, fmt.Errorf("exporter of spans: %w", err)
	}
	about, err := resource.New(
		ctx,
		resource.WithTelemetrySDK(),
		resource.WithHost(),
		resource.WithAttributes(semconv.ServiceName(cfg.Service), semconv.ServiceVersion(version())),
		resource.WithFromEnv(),
	)
	if err != nil {
		return nil, fmt.Errorf("resource of spans: %w", err)
	}
	life, hurry := context.WithCancel(context.WithoutCancel(ctx))
	exporter := newExporter(life, client, cfg.Endpoint.Redacted(), reg, service.OrDiscard(logger).With("component", "traces"))
	return &Traces{
		hurry: hurry,
		provider: sdktrace.NewTracerProvider(
			sdktrace.WithResource(about),
			sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(cfg.Ratio))),
			sdktrace.WithSpanProcessor(counting{exporter.metrics.ended, sdktrace.NewBatchSpanProcessor(
				exporter,
				sdktrace.WithMaxQueueSize(queued),
				sdktrace.WithMaxExportBatchSize(batch),
				sdktrace.WithBatchTimeout(collectFor),
				sdktrace.WithExportTimeout(exportWithin),
			)}),
		),
	}, nil
}

// version is that of the program, as far as it was built with one.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return ""
}

// Tracer makes the spans. It is nil where traces are off.
func (t *Traces) Tracer() trace.Tracer {
	if t == nil {
		return nil
	}
	return t.provider.Tracer(scope, trace.WithSchemaURL(semconv.SchemaURL))
}

// Close ends at once what New began. It is for a process that may end without
// having come to Run; after Run it does nothing.
func (t *Traces) Close(ctx context.Context) {
	if t == nil {
		return
	}
	t.hurry()
	_ = t.provider.Shutdown(context.WithoutCancel(ctx)) // nothing is sent any more, so it does not block
}

// Run sends spans until ctx ends, and then those that are left, for FlushTime at
// most. Whatever makes spans has to stop before it.
func (t *Traces) Run(ctx context.Context) error {
	<-ctx.Done()
	if t == nil {
		return nil
	}
	late := time.AfterFunc(FlushTime, t.hurry)
	defer late.Stop()
	defer t.hurry()
	// It is not the context that ends the wait but the exports, so that none of
	// its goroutines is left behind.
	if err := t.provider.Shutdown(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("flush spans: %w", err)
	}
	return nil
}
