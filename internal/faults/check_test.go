package faults

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/task"
)

// sound is evidence in which everything holds: of the clients a to g, a was completed, b died, c's outcome is unknown
// and it was completed, d's is unknown and it never came to anything, e and f were refused and rejected, and nobody was
// there for g.
func sound() Evidence {
	at := time.Unix(1_000_000, 0)
	done := func(id string) task.Result {
		return task.Result{ID: id, Run: "run", Status: task.StatusCompleted, FinishedAt: at}
	}
	return Evidence{
		Run: "run",
		Attempts: []Attempt{
			{Client: "a", Outcome: Accepted, TaskID: "id-a", Status: 200, Final: task.StatusCompleted},
			{Client: "b", Outcome: Accepted, TaskID: "id-b", Status: 202, RetryAfter: true},
			{Client: "c", Outcome: Unknown, TaskID: "id-c", Status: 503, RetryAfter: true},
			{Client: "d", Outcome: Unknown},
			{Client: "e", Outcome: Refused, Status: 429, RetryAfter: true},
			{Client: "f", Outcome: Rejected, Status: 422},
			{Client: "g", Outcome: Unsent},
		},
		Results: []task.Result{
			done("id-a"),
			{ID: "id-b", Run: "run", Status: task.StatusDead, Reason: task.ReasonPermanent, FinishedAt: at},
			done("id-c"),
			done("id-c"), // reported twice
		},
		Letters: []Letter{{TaskID: "id-b", Client: "b", Reason: task.ReasonPermanent}},
		Executions: map[string]Execution{
			"a": {Tasks: []string{"id-a"}, Begun: []time.Time{at}, Done: 1},
			"b": {Tasks: []string{"id-b"}, Begun: []time.Time{at}},
			"c": {Tasks: []string{"id-c"}, Begun: []time.Time{at}, Done: 1},
		},
		Statuses: map[string]Status{
			"id-a": {Code: 200, Status: task.StatusCompleted, Client: "a"},
			"id-b": {Code: 200, Status: task.StatusDead},
		},
		Books: []Books{{Completed: 2, Dead: 1, Settled: 3, CaughtUp: true}},
	}
}

func TestSoundLedgerIsGreen(t *testing.T) {
	t.Parallel()
	counters, violations := check(sound(), bounds{})
	require.Empty(t, violations)
	require.Equal(t, Counters{
		Attempted: 7, Accepted: 2, Refused: 1, Unknown: 2, Rejected: 1, Unsent: 1, Completed: 2, Dead: 1, Recovered: 1,
	}, counters)
}

// add adds an attempt that was accepted and an execution of it, and nothing else.
func (e *Evidence) add(client string, done int) {
	e.Attempts = append(e.Attempts, Attempt{Client: client, Outcome: Accepted, TaskID: "id-" + client, Status: 202})
	e.Executions[client] = Execution{Tasks: []string{"id-" + client}, Begun: make([]time.Time, done), Done: done}
}

func TestBrokenLedgersAreRed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		breaks func(e *Evidence)
		want   []string
	}{
		"lost": {
			func(e *Evidence) {
				e.Attempts = append(e.Attempts, Attempt{Client: "x", Outcome: Accepted, TaskID: "id-x", Status: 202})
				e.Statuses["id-x"] = Status{Code: 200, Status: task.StatusAccepted}
			},
			[]string{"lost: accepted, and neither completed nor dead: 1, such as [x]"},
		},
		"executed and lost": {
			func(e *Evidence) { e.add("x", 1) },
			[]string{
				"lost: accepted, and neither completed nor dead: 1, such as [x]",
				"executed, and neither completed nor dead: 1, such as [x]",
			},
		},
		"unexpected": {
			func(e *Evidence) {
				e.Results = append(e.Results, task.Result{ID: "id-x", Status: task.StatusCompleted})
				e.Executions["x"] = Execution{Tasks: []string{"id-x"}, Done: 1}
			},
			[]string{"unexpected: completed or dead, and never attempted: 1, such as [x]"},
		},
		"an unexpected letter": {
			func(e *Evidence) {
				e.Results = append(e.Results, task.Result{ID: "id-x", Status: task.StatusDead})
				e.Letters = append(e.Letters, Letter{TaskID: "id-x"})
			},
			[]string{"unexpected: completed or dead, and never attempted: 1, such as [id-x]"},
		},
		"duplicated": {
			func(e *Evidence) { e.Executions["a"] = Execution{Tasks: []string{"id-a"}, Done: 2} },
			[]string{"executed more than once, where 0 may be: 1, such as [a]"},
		},
		"an untrue status": {
			func(e *Evidence) { e.Statuses["id-a"] = Status{Code: 200, Status: task.StatusAccepted} },
			[]string{"GET /v1/tasks/{id} says something else than the results stream: 1, such as [a (200 accepted, not completed)]"},
		},
		"a status with another's result": {
			func(e *Evidence) { e.Statuses["id-a"] = Status{Code: 200, Status: task.StatusCompleted, Client: "c"} },
			[]string{"GET /v1/tasks/{id} has the result of another task: 1, such as [a (that of c)]"},
		},
		"a status that is not there": {
			func(e *Evidence) { e.Statuses["id-b"] = Status{Code: 404} },
			[]string{"GET /v1/tasks/{id} says something else than the results stream: 1, such as [b (404 , not dead)]"},
		},
		"a refusal that was none": {
			func(e *Evidence) { e.Attempts[2].Outcome = Refused },
			[]string{"refused, and done all the same: 1, such as [c]"},
		},
		"a wrong answer": {
			func(e *Evidence) { e.Attempts[4] = Attempt{Client: "e", Outcome: Wrong, Status: 500, RetryAfter: true} },
			[]string{"answered as no client has to expect: 1, such as [e (500)]"},
		},
		"a refusal without Retry-After": {
			func(e *Evidence) { e.Attempts[4].RetryAfter = false },
			[]string{"429 or 503 without Retry-After: 1, such as [e]"},
		},
		"a result that is none": {
			func(e *Evidence) { e.Attempts[1].Final = task.StatusCompleted },
			[]string{"answered with a result that nothing else knows: 1, such as [b]"},
		},
		"one client twice": {
			func(e *Evidence) { e.Attempts = append(e.Attempts, e.Attempts[4]) },
			[]string{"a client is in the ledger twice: 1, such as [e]"},
		},
		"two ids for one request": {
			func(e *Evidence) { e.Executions["a"] = Execution{Tasks: []string{"id-a", "id-z"}, Done: 1} },
			[]string{"one request has several task ids: 1, such as [a]"},
		},
		"one id for two requests": {
			func(e *Evidence) {
				e.Attempts[3].TaskID = "id-a"
				e.Results = append(e.Results, e.Results[0])
			},
			[]string{"one task id stands for two tasks: 1, such as [id-a]"},
		},
		"a death that was not reported": {
			func(e *Evidence) {
				e.Results[1].Status = task.StatusCompleted
				e.Results = append(e.Results[:1], e.Results[2:]...)
				e.Books[0] = Books{Completed: 2, Settled: 2, CaughtUp: true}
			},
			[]string{"in the dead-letter queue, and the results stream does not know: 1, such as [b]"},
		},
		"a death without a letter": {
			func(e *Evidence) { e.Letters, e.Statuses["id-b"] = nil, Status{Code: 200, Status: task.StatusAccepted} },
			[]string{
				"lost: accepted, and neither completed nor dead: 1, such as [b]",
				"dead by the results stream, and not in the dead-letter queue: 1, such as [b]",
			},
		},
		"a completion without an execution": {
			func(e *Evidence) { e.Executions["a"] = Execution{Tasks: []string{"id-a"}} },
			[]string{"completed without an execution: 1, such as [a]"},
		},
		"books with too much": {
			func(e *Evidence) { e.Books[0].Completed++ },
			[]string{"GET /v1/runs/{run} says {Completed:3 Dead:1 Discarded:0 Settled:3 Duplicates:0 CaughtUp:true}; the results stream makes it {Completed:2 Dead:1 Discarded:0 Settled:3 Duplicates:0 CaughtUp:true}"},
		},
		"books without a duplicate": {
			func(e *Evidence) { e.Results[3].FinishedAt = time.Unix(1_000_001, 0) },
			[]string{"GET /v1/runs/{run} says {Completed:2 Dead:1 Discarded:0 Settled:3 Duplicates:0 CaughtUp:true}; the results stream makes it {Completed:2 Dead:1 Discarded:0 Settled:3 Duplicates:1 CaughtUp:true}"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := sound()
			c.breaks(&e)
			_, violations := check(e, bounds{})
			var got []string
			for _, v := range violations {
				got = append(got, v.String())
			}
			require.ElementsMatch(t, c.want, got)
		})
	}
}

func TestBoundsAllow(t *testing.T) {
	t.Parallel()
	e := sound()
	e.Executions["a"] = Execution{Tasks: []string{"id-a"}, Done: 2}
	e.Attempts = append(e.Attempts, Attempt{Client: "x", Outcome: Accepted, TaskID: "id-x", Status: 202})
	counters, violations := check(e, bounds{duplicates: 1, deleted: map[string]bool{"x": true}})
	require.Empty(t, violations)
	require.Equal(t, 1, counters.Duplicated)
	require.Equal(t, 1, counters.Deleted)
	require.Zero(t, counters.Lost)
}

// A task that was replayed after its death is completed, whatever else is left of it.
func TestCompletedWinsOverDead(t *testing.T) {
	t.Parallel()
	e := sound()
	e.Results = append(e.Results, task.Result{ID: "id-b", Run: "run", Status: task.StatusCompleted, FinishedAt: time.Unix(2_000_000, 0)})
	e.Executions["b"] = Execution{Tasks: []string{"id-b"}, Done: 1}
	e.Statuses["id-b"] = Status{Code: 200, Status: task.StatusCompleted}
	e.Books[0] = Books{Completed: 3, Settled: 3, CaughtUp: true}
	counters, violations := check(e, bounds{})
	require.Empty(t, violations)
	require.Equal(t, 3, counters.Completed)
	require.Zero(t, counters.Dead)
}
