package httpapi

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/gateway/internal/outcomes"
	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/task"
)

// issue returns the id of a new task.
func issue(t *testing.T) string {
	t.Helper()
	id, err := newIDs(t).New()
	require.NoError(t, err)
	return id
}

func TestTaskThatHasEnded(t *testing.T) {
	t.Parallel()
	known := newOutcomes()
	api := start(t, Config{Outcomes: known})
	for _, status := range []task.Status{task.StatusCompleted, task.StatusDead, task.StatusDiscarded} {
		id := issue(t)
		known.finish(id, status)
		a := api.send(t, http.MethodGet, "/v1/tasks/"+id, nil)
		require.Equal(t, http.StatusOK, a.status)
		require.Empty(t, a.header.Get("Retry-After"))
		var got task.Result
		require.NoError(t, json.Unmarshal(a.body, &got))
		require.Equal(t, id, got.ID)
		require.Equal(t, status, got.Status)
	}
}

func TestTaskThatHasNotEnded(t *testing.T) {
	t.Parallel()
	known := newOutcomes()
	api := start(t, Config{Outcomes: known})
	before := time.Now().Truncate(time.Millisecond)
	id := issue(t)
	a := api.send(t, http.MethodGet, "/v1/tasks/"+id, nil)
	require.Equal(t, http.StatusOK, a.status)
	require.Equal(t, "1", a.header.Get("Retry-After"))
	require.JSONEq(t, `{"id":"`+id+`","status":"accepted","links":{"task":"/v1/tasks/`+id+`"}}`, string(a.body))
	require.WithinRange(t, known.issuedAt, before, time.Now())
}

func TestTasksThatAreNotKnown(t *testing.T) {
	t.Parallel()
	keyed := newIDs(t).Keyed("k")[0]
	for name, tc := range map[string]struct {
		id     string
		state  outcomes.State
		status int
		code   string
		retry  string
	}{
		"older than what is kept":    {issue(t), outcomes.Gone, 410, "task-gone", ""},
		"of a key":                   {keyed, 0, 404, "unknown-task", ""},
		"not read yet":               {issue(t), outcomes.Behind, 503, "results-behind", "1"},
		"of a key, and not read yet": {keyed, outcomes.Behind, 503, "results-behind", "1"},
		"a UUID":                     {issue(t)[:36], 0, 404, "unknown-task", ""},
		"forged":                     {strings.Repeat("0", 53), outcomes.Behind, 404, "unknown-task", ""},
		"other capitals":             {strings.ToUpper(issue(t)), 0, 404, "unknown-task", ""},
		"long":                       {strings.Repeat("x", 5000), 0, 404, "unknown-task", ""},
		"escaped":                    {"%2e%2e%5copenapi.yaml", 0, 404, "unknown-task", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			known := newOutcomes()
			known.state = tc.state
			api := start(t, Config{Outcomes: known})
			a := api.send(t, http.MethodGet, "/v1/tasks/"+tc.id, nil)
			require.Equal(t, tc.status, a.status, "%s", a.body)
			require.Equal(t, tc.code, codeOf(a.problem(t)))
			require.Equal(t, tc.retry, a.header.Get("Retry-After"))
			head := api.send(t, http.MethodHead, "/v1/tasks/"+tc.id, nil)
			require.Equal(t, tc.status, head.status)
			require.Equal(t, tc.retry, head.header.Get("Retry-After"))
			require.Empty(t, head.body)
		})
	}
}

// TestTaskOfAKeyIsAwaited holds that the id of a key that is not known yet can be
// waited for, and that its absence is not for good.
func TestTaskOfAKeyIsAwaited(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, Config{})
		keyed := newIDs(t).Keyed
		ask := func(key string) <-chan *httptest.ResponseRecorder {
			return b.serve(t.Context(), http.MethodGet, "/v1/tasks/"+keyed(key)[0], nil, "Prefer", "wait=3")
		}
		found, accepted, never := ask("found"), ask("accepted"), ask("never")
		synctest.Wait()
		b.known.Accepted(task.Acceptance{ID: keyed("accepted")[0]})
		b.known.finish(keyed("found")[0], task.StatusCompleted)
		began := time.Now()
		w := <-found
		require.Equal(t, http.StatusOK, w.Code)
		require.Contains(t, w.Body.String(), `"completed"`)
		require.Equal(t, "wait=3", w.Header().Get("Preference-Applied"))
		require.Zero(t, time.Since(began))
		w = <-accepted
		require.Equal(t, http.StatusOK, w.Code)
		require.Contains(t, w.Body.String(), `"accepted"`)
		w = <-never
		require.Equal(t, http.StatusNotFound, w.Code)
		require.Contains(t, w.Body.String(), "is not known yet")
		require.Equal(t, 3*time.Second, time.Since(began))
		require.Zero(t, b.known.watching())
	})
}

func TestTaskOfTheSyncLaneIsUnknown(t *testing.T) {
	t.Parallel()
	api := start(t, Config{})
	var result task.Result
	require.NoError(t, json.Unmarshal(api.post(t, "/v1/sync", smallest, "Idempotency-Key", "not looked at: ü").body, &result))
	require.Equal(t, http.StatusNotFound, api.send(t, http.MethodGet, "/v1/tasks/"+result.ID, nil).status)
}

// TestTaskOfUnknownOutcome shows that the id in the problem can be asked for.
func TestTaskOfUnknownOutcome(t *testing.T) {
	t.Parallel()
	known := newOutcomes()
	api := start(t, Config{Outcomes: known, Publisher: &fakePublisher{err: rabbitmq.ErrOutcomeUnknown}})
	p := api.post(t, "/v1/async", smallest).problem(t)
	require.Contains(t, p.Detail, "Idempotency-Key")
	a := api.send(t, http.MethodGet, "/v1/tasks/"+p.TaskID, nil)
	require.Equal(t, http.StatusOK, a.status)
	require.Contains(t, string(a.body), `"accepted"`)
	known.finish(p.TaskID, task.StatusCompleted)
	require.Contains(t, string(api.send(t, http.MethodGet, "/v1/tasks/"+p.TaskID, nil).body), `"completed"`)
}

func TestRun(t *testing.T) {
	t.Parallel()
	api := start(t, Config{})
	for range 2 {
		api.post(t, "/v1/async", `{"action":"delay","run":"r-1"}`)
	}
	api.post(t, "/v1/async", `{"action":"delay","run":"r-1"}`, "Idempotency-Key", "k")
	api.post(t, "/v1/async", `{"action":"delay","run":"r-1"}`, "Idempotency-Key", "k")
	api.post(t, "/v1/sync", `{"action":"delay","run":"r-1"}`)
	for run, accepted := range map[string]int64{"r-1": 3, "nobody.knows_it": 0} {
		a := api.send(t, http.MethodGet, "/v1/runs/"+run, nil)
		require.Equal(t, http.StatusOK, a.status)
		var books outcomes.Books
		require.NoError(t, json.Unmarshal(a.body, &books))
		require.Equal(t, outcomes.Books{Run: run, AcceptedHere: accepted}, books)
		head := api.send(t, http.MethodHead, "/v1/runs/"+run, nil)
		require.Equal(t, http.StatusOK, head.status)
		require.Empty(t, head.body)
	}
}

func TestBadRuns(t *testing.T) {
	t.Parallel()
	api := start(t, Config{})
	for _, run := range []string{"a%20b", "%00", strings.Repeat("r", 65), "%c3%bc"} {
		a := api.send(t, http.MethodGet, "/v1/runs/"+run, nil)
		require.Equal(t, http.StatusUnprocessableEntity, a.status, "%s", a.body)
		p := a.problem(t)
		require.Equal(t, "invalid-field", codeOf(p))
		require.Equal(t, "run", p.Field)
	}
}

// TestRunThatIsNotReadYet shows that no books are given out that are only a
// part of the truth.
func TestRunThatIsNotReadYet(t *testing.T) {
	t.Parallel()
	api := start(t, Config{CaughtUp: func() error { return errors.New("1000 messages to go") }})
	a := api.send(t, http.MethodGet, "/v1/runs/r-1", nil)
	require.Equal(t, http.StatusServiceUnavailable, a.status)
	require.Equal(t, "results-behind", codeOf(a.problem(t)))
	require.Equal(t, "1", a.header.Get("Retry-After"))
	require.Equal(t, http.StatusOK, api.post(t, "/v1/sync", smallest).status)
	require.Equal(t, http.StatusAccepted, api.post(t, "/v1/async", smallest).status)
}
