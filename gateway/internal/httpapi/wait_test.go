package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/gateway/internal/outcomes"
	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/task"
)

// TestResultFasterThanTheConfirm has a task end before its publish is
// confirmed, and its result be forgotten at once: who waits has seen it.
func TestResultFasterThanTheConfirm(t *testing.T) {
	t.Parallel()
	for _, header := range [][]string{{"Prefer", "wait=30"}, {"Prefer", "wait=30", "Idempotency-Key", "k"}} {
		known := newOutcomes()
		publisher := &fakePublisher{each: func(m rabbitmq.Message) error {
			if m.Type == task.MessageType {
				known.finish(m.ID, task.StatusCompleted)
				known.forget(m.ID)
			}
			return nil
		}}
		api := start(t, Config{Publisher: publisher, Outcomes: known})
		a := api.post(t, "/v1/async", smallest, header...)
		require.Equal(t, http.StatusOK, a.status, "%s", a.body)
		require.Equal(t, "wait=30", a.header.Get("Preference-Applied"))
		require.Empty(t, a.header.Get("Retry-After"))
		var result task.Result
		require.NoError(t, json.Unmarshal(a.body, &result))
		require.Equal(t, publisher.messages[0].ID, result.ID)
		require.Equal(t, "/v1/tasks/"+result.ID, a.header.Get("Location"))
		require.Zero(t, known.watching())
		require.Equal(t, 1, api.count(t, "gateway_http_waits_total", "outcome", "answered"))
	}
}

// TestDeadTaskIsAnswered shows that the wait ends with any end of the task.
func TestDeadTaskIsAnswered(t *testing.T) {
	t.Parallel()
	known := newOutcomes()
	api := start(t, Config{Outcomes: known, Publisher: &fakePublisher{each: func(m rabbitmq.Message) error {
		known.finish(m.ID, task.StatusDead)
		return nil
	}}})
	a := api.post(t, "/v1/async", smallest, "Prefer", "wait=1")
	require.Equal(t, http.StatusOK, a.status)
	require.Contains(t, string(a.body), `"dead"`)
	// Without the preference the answer is the same as ever.
	a = api.post(t, "/v1/async", smallest)
	require.Equal(t, http.StatusAccepted, a.status)
	require.Empty(t, a.header.Get("Preference-Applied"))
}

// bubble is an API without a network, for tests in which time is their own.
type bubble struct {
	http.Handler
	known *fakeOutcomes
	end   chan struct{}
}

func newBubble(t *testing.T, cfg Config) *bubble {
	t.Helper()
	b := &bubble{known: newOutcomes(), end: make(chan struct{})}
	if cfg.Publisher == nil {
		cfg.Publisher = &fakePublisher{}
	}
	cfg.Records = cfg.Publisher
	cfg.Worker, cfg.IDs, cfg.Outcomes, cfg.WaitsEnd = done(), newIDs(t), b.known, b.end
	cfg.CaughtUp = func() error { return nil }
	cfg.Registerer = prometheus.NewRegistry()
	var err error
	b.Handler, err = New(cfg)
	require.NoError(t, err)
	return b
}

// serve answers a request in the background.
func (b *bubble) serve(ctx context.Context, method, path string, body io.Reader, header ...string) <-chan *httptest.ResponseRecorder {
	req := httptest.NewRequestWithContext(ctx, method, path, body)
	req.Header.Set("Content-Type", task.ContentType)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	answered := make(chan *httptest.ResponseRecorder, 1)
	go func() {
		w := httptest.NewRecorder()
		b.ServeHTTP(w, req)
		answered <- w
	}()
	return answered
}

func (b *bubble) post(ctx context.Context, header ...string) <-chan *httptest.ResponseRecorder {
	return b.serve(ctx, http.MethodPost, "/v1/async", strings.NewReader(smallest), header...)
}

// TestWaitEnds holds how long a request waits that gets no result.
func TestWaitEnds(t *testing.T) {
	t.Parallel()
	for prefer, want := range map[string]time.Duration{"wait=0": 0, "wait=5": 5 * time.Second, "wait=3600": MaxWait} {
		t.Run(prefer, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBubble(t, Config{})
				applied := strings.Replace(prefer, "3600", "30", 1)
				if want == 0 {
					applied = ""
				}
				began := time.Now()
				w := <-b.post(t.Context(), "Prefer", prefer)
				require.Equal(t, want, time.Since(began))
				require.Equal(t, http.StatusAccepted, w.Code)
				require.Equal(t, applied, w.Header().Get("Preference-Applied"))
				require.Equal(t, "1", w.Header().Get("Retry-After"))
				for _, method := range []string{http.MethodGet, http.MethodHead} {
					began = time.Now()
					w = <-b.serve(t.Context(), method, "/v1/tasks/"+issue(t), nil, "Prefer", prefer)
					require.Equal(t, want, time.Since(began))
					require.Equal(t, http.StatusOK, w.Code)
					require.Equal(t, applied, w.Header().Get("Preference-Applied"))
				}
				require.Zero(t, b.known.watching())
			})
		})
	}
}

func TestTaskIsAwaited(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, Config{})
		id := issue(t)
		answered := b.serve(t.Context(), http.MethodGet, "/v1/tasks/"+id, nil, "Prefer", "wait=30")
		time.Sleep(29 * time.Second) //nolint:forbidigo // The bubble's time.
		b.known.finish(id, task.StatusCompleted)
		w := <-answered
		require.Equal(t, http.StatusOK, w.Code)
		require.Contains(t, w.Body.String(), `"completed"`)
		require.Equal(t, "wait=30", w.Header().Get("Preference-Applied"))
		require.Zero(t, b.known.watching())
	})
}

// TestTaskThatIsNotReadYetIsAwaited shows that a result counts that is read
// while the request waits, and that its absence tells nothing.
func TestTaskThatIsNotReadYetIsAwaited(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, Config{})
		b.known.state = outcomes.Behind
		found, never := issue(t), issue(t)
		one := b.serve(t.Context(), http.MethodGet, "/v1/tasks/"+found, nil, "Prefer", "wait=3")
		other := b.serve(t.Context(), http.MethodGet, "/v1/tasks/"+never, nil, "Prefer", "wait=3")
		synctest.Wait()
		b.known.finish(found, task.StatusCompleted)
		require.Equal(t, http.StatusOK, (<-one).Code)
		require.Equal(t, http.StatusServiceUnavailable, (<-other).Code)
	})
}

// TestStopEndsWaits shows that the end of all waits is the end of each, and
// that no other begins.
func TestStopEndsWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, Config{})
		began := time.Now()
		posted := b.post(t.Context(), "Prefer", "wait=30")
		asked := b.serve(t.Context(), http.MethodGet, "/v1/tasks/"+issue(t), nil, "Prefer", "wait=30")
		synctest.Wait()
		require.Equal(t, 2, b.known.watching())
		close(b.end)
		require.Equal(t, http.StatusAccepted, (<-posted).Code)
		require.Equal(t, http.StatusOK, (<-asked).Code)
		w := <-b.post(t.Context(), "Prefer", "wait=30")
		require.Equal(t, http.StatusAccepted, w.Code)
		require.Empty(t, w.Header().Get("Preference-Applied"))
		require.Zero(t, time.Since(began))
		require.Zero(t, b.known.watching())
	})
}

func TestClientThatWaitsHangsUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, Config{WaitMaxInFlight: 1})
		ctx, hangUp := context.WithCancel(t.Context())
		answered := b.post(ctx, "Prefer", "wait=30")
		synctest.Wait()
		hangUp()
		began := time.Now()
		<-answered
		require.Zero(t, time.Since(began))
		require.Equal(t, "wait=30", (<-b.post(t.Context(), "Prefer", "wait=30")).Header().Get("Preference-Applied"), "its place is free")
	})
}

// TestWaitsAreBounded shows that one beyond the bound is answered at once.
func TestWaitsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, Config{WaitMaxInFlight: 2})
		began := time.Now()
		first, second := b.post(t.Context(), "Prefer", "wait=5"), b.post(t.Context(), "Prefer", "wait=30")
		synctest.Wait()
		w := <-b.post(t.Context(), "Prefer", "wait=30")
		require.Equal(t, http.StatusAccepted, w.Code)
		require.Empty(t, w.Header().Get("Preference-Applied"))
		w = <-b.serve(t.Context(), http.MethodGet, w.Header().Get("Location"), nil, "Prefer", "wait=30")
		require.Equal(t, http.StatusOK, w.Code)
		require.Empty(t, w.Header().Get("Preference-Applied"))
		require.Zero(t, time.Since(began))
		<-first
		require.Equal(t, 5*time.Second, time.Since(began))
		require.NotEmpty(t, (<-b.post(t.Context(), "Prefer", "wait=1")).Header().Get("Preference-Applied"))
		<-second
	})
}

// TestWaitHoldsNothing shows that a request that merely waits keeps no other
// one out: not by its number, and not by its size.
func TestWaitHoldsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, Config{AsyncMaxInFlight: 1, MaxBodyBytes: task.MaxRequestBytes})
		for i := range 10 {
			header := []string{"Prefer", "wait=30"}
			if i%2 == 0 {
				header = append(header, "Idempotency-Key", strings.Repeat("k", i+1))
			}
			answered := b.serve(t.Context(), http.MethodPost, "/v1/async", strings.NewReader(large(task.MaxRequestBytes)), header...)
			synctest.Wait()
			require.Empty(t, answered, "it waits")
			require.Equal(t, http.StatusAccepted, (<-b.post(t.Context())).Code)
		}
		close(b.end)
	})
}

// TestWaitLetsGoOfTheBody looks for what was read and what was published while
// the request waits: the garbage collector has had both.
func TestWaitLetsGoOfTheBody(t *testing.T) { //nolint:paralleltest // It collects garbage.
	read := &watchedReader{Reader: bytes.NewReader([]byte(large(64 << 10)))}
	var published weak.Pointer[byte]
	confirmed := make(chan struct{})
	b := newBubble(t, Config{Publisher: publishFunc(func(m rabbitmq.Message) {
		published = weak.Make(&m.Body[0])
		close(confirmed)
	})})
	answered := b.serve(t.Context(), http.MethodPost, "/v1/async", read, "Prefer", "wait=30")
	<-confirmed
	require.Eventually(t, func() bool {
		runtime.GC()
		return published.Value() == nil && read.last.Value() == nil
	}, patience, 10*time.Millisecond)
	require.Empty(t, answered, "it waits still")
	close(b.end)
	require.Equal(t, http.StatusAccepted, (<-answered).Code)
}

// watchedReader knows where it was last read into.
type watchedReader struct {
	io.Reader
	last weak.Pointer[byte]
}

func (r *watchedReader) Read(p []byte) (int, error) {
	r.last = weak.Make(&p[0])
	return r.Reader.Read(p)
}

// publishFunc is a publisher whose publishes are confirmed at once.
type publishFunc func(rabbitmq.Message)

func (f publishFunc) Publish(_ context.Context, m rabbitmq.Message) error {
	f(m)
	return nil
}
