package faults

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/task"
)

// answering is a gateway that gives the same answer to everybody.
func answering(t *testing.T, handle http.HandlerFunc) *service {
	t.Helper()
	server := httptest.NewServer(handle)
	t.Cleanup(server.Close)
	return &service{api: server.URL}
}

// handIn hands tasks in and returns what became of them.
func handIn(t *testing.T, traffic traffic) []Attempt {
	t.Helper()
	book, err := newLedger(filepath.Join(t.TempDir(), "attempts"))
	require.NoError(t, err)
	l := &Lab{ctx: t.Context(), ledger: book, run: "run"}
	traffic.Rate = 1000
	l.start(traffic).wait()
	require.NoError(t, book.close())
	return book.all()
}

func TestAnswersAreClassified(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status    int
		body      string
		header    http.Header
		want      Outcome
		wantTask  string
		wantRetry bool
	}{
		"completed":              {200, `{"id":"x","status":"completed","output":{"client":"run-1-000000"}}`, http.Header{"Location": {"/v1/tasks/x"}}, Accepted, "x", false},
		"another's result":       {200, `{"id":"x","status":"completed","output":{"client":"run-1-000001"}}`, http.Header{"Location": {"/v1/tasks/x"}}, Wrong, "", false},
		"completed, no output":   {200, `{"id":"x","status":"completed"}`, http.Header{"Location": {"/v1/tasks/x"}}, Wrong, "", false},
		"dead":                   {200, `{"id":"x","status":"dead"}`, http.Header{"Location": {"/v1/tasks/x"}}, Accepted, "x", false},
		"done without a result":  {200, `{"id":"x","status":"accepted"}`, http.Header{"Location": {"/v1/tasks/x"}}, Wrong, "", false},
		"accepted":               {202, `{"id":"x"}`, http.Header{"Location": {"/v1/tasks/x"}, "Retry-After": {"1"}}, Accepted, "x", true},
		"accepted without place": {202, `{"id":"x"}`, nil, Wrong, "", false},
		"queue full":             {429, problem("queue-full"), http.Header{"Retry-After": {"5"}}, Refused, "", true},
		"no broker":              {503, problem("broker-unavailable"), nil, Refused, "", false},
		"unknown":                {503, `{"type":"urn:twinlane:problem:outcome-unknown","task_id":"x"}`, nil, Unknown, "x", false},
		"unknown without task":   {503, problem("outcome-unknown"), nil, Refused, "", false},
		"rejected":               {422, problem("invalid-field"), nil, Rejected, "", false},
		"failed":                 {500, problem("internal"), nil, Wrong, "", false},
		"a page":                 {503, `<html>`, nil, Wrong, "", false},
		"not asked for":          {200, `{"id":"x"}`, nil, Wrong, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			gateway := answering(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", task.ProblemContentType)
				maps.Copy(w.Header(), c.header)
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte(c.body))
			})
			attempts := handIn(t, traffic{Count: 1, To: []*service{gateway}})
			require.Len(t, attempts, 1)
			require.Equal(t, c.want, attempts[0].Outcome)
			require.Equal(t, c.wantTask, attempts[0].TaskID)
			require.Equal(t, c.wantRetry, attempts[0].RetryAfter)
			require.Equal(t, c.status, attempts[0].Status)
		})
	}
}

func problem(code string) string { return `{"type":"urn:twinlane:problem:` + code + `"}` }

func TestBrokenConnectionIsUnknown(t *testing.T) {
	t.Parallel()
	gateway := answering(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	attempts := handIn(t, traffic{Count: 1, To: []*service{gateway}})
	require.Equal(t, Unknown, attempts[0].Outcome)
	require.NotEmpty(t, attempts[0].Error)
}

func TestRefusedConnectionGoesToTheNextGateway(t *testing.T) {
	t.Parallel()
	gone := answering(t, nil)
	closed := httptest.NewServer(nil)
	gone.api = closed.URL
	closed.Close()
	attempts := handIn(t, traffic{Count: 1, To: []*service{gone}})
	require.Equal(t, Unsent, attempts[0].Outcome)

	there := answering(t, accept)
	attempts = handIn(t, traffic{Count: 2, To: []*service{gone, there}})
	for _, a := range attempts {
		require.Equal(t, Accepted, a.Outcome)
	}
}

// accept accepts every task under its key, or under the id x.
func accept(w http.ResponseWriter, r *http.Request) {
	id := r.Header.Get("Idempotency-Key")
	if id == "" {
		id = "x"
	}
	w.Header().Set("Location", "/v1/tasks/"+id)
	w.WriteHeader(http.StatusAccepted)
	_, _ = w.Write([]byte(`{"id":"` + id + `"}`))
}

func TestClientIsInTheLedgerBeforeItsRequest(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	early := false
	file := filepath.Join(t.TempDir(), "attempts")
	book, err := newLedger(file)
	require.NoError(t, err)
	gateway := answering(t, func(w http.ResponseWriter, r *http.Request) {
		text, err := os.ReadFile(file)
		mu.Lock()
		defer mu.Unlock()
		early = err == nil && strings.Contains(string(text), `"run-1-000000"`)
		accept(w, r)
	})
	l := &Lab{ctx: t.Context(), ledger: book, run: "run"}
	l.start(traffic{Rate: 1000, Count: 1, To: []*service{gateway}}).wait()
	require.NoError(t, book.close())
	require.True(t, early)
}

func TestKeyedRequestIsRepeatedUntilAccepted(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	calls := make(map[string]int)
	gateway := answering(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		key := r.Header.Get("Idempotency-Key")
		if calls[key]++; calls[key] == 1 {
			panic(http.ErrAbortHandler)
		}
		accept(w, r)
	})
	attempts := handIn(t, traffic{Count: 1, To: []*service{gateway}, Keyed: true})
	require.Len(t, attempts, 1)
	require.Equal(t, Accepted, attempts[0].Outcome)
	require.Equal(t, 1, attempts[0].Repeated)
	require.Equal(t, map[string]int{attempts[0].Client: 2}, calls)
}

// The same seed makes the same traffic.
func TestTrafficIsRepeatable(t *testing.T) {
	t.Parallel()
	sent := func(seed uint64) []string {
		var bodies []string
		l := &Lab{ctx: t.Context(), opts: Options{Seed: seed}, run: "run"}
		load := l.newLoad(traffic{Rate: 1, Work: time.Second})
		for n := range 20 {
			client, body := load.request(n)
			bodies = append(bodies, client+string(body))
		}
		return bodies
	}
	first := sent(1)
	require.Equal(t, first, sent(1))
	require.NotEqual(t, first, sent(2))
}

func TestTimelineKnowsWhenAnswersCame(t *testing.T) {
	t.Parallel()
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	line := timeline{
		{Client: "a", Outcome: Accepted, Started: at(1), Elapsed: 5 * time.Second},
		{Client: "b", Outcome: Refused, Problem: problemQueueFull, Started: at(2), Elapsed: time.Second},
		{Client: "c", Outcome: Accepted, Started: at(3), Elapsed: time.Second},
	}
	require.Equal(t, at(4), line.of(Accepted).answered(at(0)), "the first answer, not that to the first request")
	require.Equal(t, at(6), line.of(Accepted).answered(at(4)))
	require.True(t, line.answered(at(9)).IsZero())
	require.Equal(t, []string{"b"}, line.told(problemQueueFull).ids())
	require.Equal(t, []string{"b"}, line.between(at(1), at(3)).ids())
	require.Equal(t, time.Second, line.percentile(50))
	require.Equal(t, 5*time.Second, line.percentile(99))
	require.Zero(t, timeline{}.percentile(99))
}

func TestMetricLineIsReadByNameAndLabels(t *testing.T) {
	t.Parallel()
	const line = `gateway_problems_total{code="queue-full",lane="async"} 12`
	value, ok := sample(line, "gateway_problems_total", []string{`code="queue-full"`})
	require.True(t, ok)
	require.Equal(t, 12.0, value)
	for name, labels := range map[string][]string{
		"gateway_problems":       nil,
		"gateway_problems_total": {`code="internal"`},
	} {
		_, ok := sample(line, name, labels)
		require.False(t, ok, name)
	}
	value, ok = sample("up 1.5e+03", "up", nil)
	require.True(t, ok)
	require.Equal(t, 1500.0, value)
}
