package servicetest

import (
	"compress/gzip"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Collector takes spans as a collector of OpenTelemetry does, over HTTP.
type Collector struct {
	URL string

	mu    sync.Mutex
	spans []Span
}

// Span is a span as it came in.
type Span struct {
	Service, Name   string
	Kind            string // "server", …
	Trace, ID       string
	Parent          string // empty for none
	Links           []string
	Attributes      map[string]string
	Failed          bool
	Began, Finished time.Time
}

// StartCollector starts a collector that lives until the test ends.
func StartCollector(t *testing.T) *Collector {
	t.Helper()
	c := &Collector{}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/traces", func(w http.ResponseWriter, r *http.Request) {
		spans, err := readSpans(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.spans = append(c.spans, spans...)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	c.URL = server.URL
	return c
}

// Trace is the spans of a trace that have come in so far, in the order in which
// they began.
func (c *Collector) Trace(id string) []Span {
	return c.where(func(s Span) bool { return s.Trace == id })
}

// Named is the spans of that name.
func (c *Collector) Named(name string) []Span {
	return c.where(func(s Span) bool { return s.Name == name })
}

func (c *Collector) where(is func(Span) bool) []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found []Span
	for _, s := range c.spans {
		if is(s) {
			found = append(found, s)
		}
	}
	slices.SortFunc(found, func(a, b Span) int { return a.Began.Compare(b.Began) })
	return found
}

func readSpans(r *http.Request) ([]Span, error) {
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(body)
		if err != nil {
			return nil, err
		}
		body = unzipped
	}
	text, err := io.ReadAll(body)
	if err != nil {
		return nil, err
	}
	var request collector.ExportTraceServiceRequest
	if err := proto.Unmarshal(text, &request); err != nil {
		return nil, err
	}
	var spans []Span
	for _, resource := range request.GetResourceSpans() {
		about := attributes(resource.GetResource().GetAttributes())
		for _, scope := range resource.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				spans = append(spans, newSpan(about["service.name"], s))
			}
		}
	}
	return spans, nil
}

func newSpan(service string, s *otlp.Span) Span {
	kinds := map[otlp.Span_SpanKind]string{
		otlp.Span_SPAN_KIND_INTERNAL: "internal", otlp.Span_SPAN_KIND_SERVER: "server", otlp.Span_SPAN_KIND_CLIENT: "client",
		otlp.Span_SPAN_KIND_PRODUCER: "producer", otlp.Span_SPAN_KIND_CONSUMER: "consumer",
	}
	own := Span{
		Service: service, Name: s.GetName(), Kind: kinds[s.GetKind()],
		Trace: hex.EncodeToString(s.GetTraceId()), ID: hex.EncodeToString(s.GetSpanId()), Parent: hex.EncodeToString(s.GetParentSpanId()),
		Attributes: attributes(s.GetAttributes()),
		Failed:     s.GetStatus().GetCode() == otlp.Status_STATUS_CODE_ERROR,
		Began:      time.Unix(0, int64(s.GetStartTimeUnixNano())), Finished: time.Unix(0, int64(s.GetEndTimeUnixNano())), //nolint:gosec // Times of this century.
	}
	for _, link := range s.GetLinks() {
		own.Links = append(own.Links, hex.EncodeToString(link.GetTraceId()))
	}
	return own
}

func attributes(list []*common.KeyValue) map[string]string {
	all := make(map[string]string, len(list))
	for _, a := range list {
		switch v := a.GetValue().GetValue().(type) {
		case *common.AnyValue_StringValue:
			all[a.GetKey()] = v.StringValue
		default:
			all[a.GetKey()] = a.GetValue().String()
		}
	}
	return all
}
