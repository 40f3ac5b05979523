package outcomes

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/task"
)

func TestBooks(t *testing.T) {
	t.Parallel()
	s := newStream(t, Config{})
	s.setCaughtUp(true)
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	write := func(n int, status task.Status, acceptedAt, startedAt, finishedAt time.Time) {
		s.outcome(task.Result{
			ID: keyedID(n), Run: "run", Status: status, Attempt: 1,
			AcceptedAt: acceptedAt, StartedAt: startedAt, FinishedAt: finishedAt,
		})
	}
	write(1, task.StatusCompleted, at(0), at(100), at(1100))
	write(2, task.StatusCompleted, at(10), at(20), at(2020))
	write(2, task.StatusCompleted, at(10), at(5000), at(9000)) // a duplicate says nothing of the task
	write(3, task.StatusDead, at(300), at(400), at(5000))
	write(4, task.StatusDiscarded, at(200), at(201), at(201))
	write(5, task.StatusDead, at(150), at(160), at(170))
	write(5, task.StatusCompleted, at(150), at(450), at(950)) // replayed from the DLQ
	s.outcome(done("elsewhere", "other", at(0)))
	s.outcome(done("nowhere", "", at(0)))
	s.AcceptedHere("run")
	s.AcceptedHere("run")
	s.AcceptedHere("")

	got := s.Run("run")
	for _, d := range []*Distribution{&got.EndToEnd, &got.QueueWait, &got.ServiceTime} {
		d.P50, d.P95, d.P99 = 0, 0, 0 // see TestPercentiles
	}
	drain := 1720.0
	require.Equal(t, Books{
		Run: "run", AcceptedHere: 2, Completed: 3, Dead: 1, Discarded: 1, Settled: 5, Duplicates: 1,
		EndToEnd:         Distribution{Count: 3, Mean: (1100 + 2010 + 800) / 3.0, Max: 2010},
		QueueWait:        Distribution{Count: 3, Mean: (100 + 10 + 300) / 3.0, Max: 300},
		ServiceTime:      Distribution{Count: 3, Mean: (1000 + 2000 + 500) / 3.0, Max: 2000},
		FirstCompletedAt: new(at(950)), LastCompletedAt: new(at(2020)), LastAcceptedAt: new(at(300)),
		DrainMS: &drain, CaughtUp: true,
	}, got)
	require.EqualValues(t, 1, s.Run("other").Completed)
	require.Equal(t, 2.0, s.metric("outcomes_runs"))
}

func TestEmptyBooks(t *testing.T) {
	t.Parallel()
	body, err := json.Marshal(newStream(t, Config{}).Run("none"))
	require.NoError(t, err)
	const empty = `{"count":0,"mean":0,"p50":0,"p95":0,"p99":0,"max":0}`
	require.JSONEq(t, `{"run":"none","accepted_here":0,"completed":0,"dead":0,"discarded":0,"settled":0,"duplicates":0,
		"end_to_end_ms":`+empty+`,"queue_wait_ms":`+empty+`,"service_time_ms":`+empty+`,
		"first_completed_at":null,"last_completed_at":null,"last_accepted_at":null,"drain_ms":null,"caught_up":false}`, string(body))
}

func TestDeadBooksHaveNoDrain(t *testing.T) {
	t.Parallel()
	s := newStream(t, Config{})
	s.outcome(died("a", "run", time.Now()))
	b := s.Run("run")
	require.Nil(t, b.DrainMS)
	require.Nil(t, b.LastCompletedAt)
	require.NotNil(t, b.LastAcceptedAt)
	require.Zero(t, b.EndToEnd)
}

// TestSkewedClocks holds that the books stay sane where the worker's clock is
// behind the gateway's.
func TestSkewedClocks(t *testing.T) {
	t.Parallel()
	s := newStream(t, Config{})
	r := done("a", "run", time.Now())
	r.AcceptedAt = r.FinishedAt.Add(time.Minute)
	s.outcome(r)
	b := s.Run("run")
	require.Equal(t, Distribution{Count: 1}, b.EndToEnd)
	require.Equal(t, Distribution{Count: 1}, b.QueueWait)
	require.Equal(t, Distribution{Count: 1, Mean: 1000, P50: 1000, P95: 1000, P99: 1000, Max: 1000}, b.ServiceTime)
	require.Zero(t, *b.DrainMS)
}

// TestPercentiles holds that they are within 1 % of the time of that rank,
// whatever the times are.
func TestPercentiles(t *testing.T) {
	t.Parallel()
	const n = 20_000
	for name, draw := range map[string]func(*rand.Rand) float64{
		"all the same":      func(*rand.Rand) float64 { return 1003 },
		"microseconds":      func(r *rand.Rand) float64 { return .001 + r.Float64() },
		"around a second":   func(r *rand.Rand) float64 { return 1000 + r.ExpFloat64()*20 },
		"up to ten minutes": func(r *rand.Rand) float64 { return .01 + 600_000*r.Float64() },
		"heavy tail":        func(r *rand.Rand) float64 { return min(5*r.ExpFloat64()/(.0001+r.Float64()), 600_000) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStream(t, Config{})
			random := rand.New(rand.NewPCG(1, 2))
			now := time.Now()
			times := make([]float64, n)
			for i := range times {
				d := time.Duration(draw(random) * float64(time.Millisecond))
				times[i] = milliseconds(d)
				s.outcome(task.Result{
					ID: keyedID(i), Run: "run", Status: task.StatusCompleted,
					AcceptedAt: now, StartedAt: now, FinishedAt: now.Add(d),
				})
			}
			slices.Sort(times)
			b := s.Run("run")
			require.Equal(t, b.EndToEnd, b.ServiceTime)
			for _, p := range []struct{ rank, got float64 }{{.5, b.EndToEnd.P50}, {.95, b.EndToEnd.P95}, {.99, b.EndToEnd.P99}} {
				require.InEpsilon(t, times[int(p.rank*(n-1))], p.got, accuracy+1e-9, "p%g", 100*p.rank)
			}
			require.Equal(t, times[n-1], b.EndToEnd.Max)
			require.EqualValues(t, n, b.EndToEnd.Count)
		})
	}
}

func TestTheNumberOfRuns(t *testing.T) {
	t.Parallel()
	s := newStream(t, Config{})
	now := time.Now()
	name := func(n int) string { return fmt.Sprintf("run-%d", n) }
	for n := range maxRuns {
		s.outcome(died(keyedID(n), name(n), now))
	}
	s.AcceptedHere(name(1)) // heard of again, and so not the oldest
	for n := range 10 {
		s.outcome(done(keyedID(maxRuns+n), name(maxRuns+n), now))
	}
	require.EqualValues(t, maxRuns, s.metric("outcomes_runs"))
	require.Zero(t, s.Run(name(0)).Settled)
	require.EqualValues(t, 1, s.Run(name(1)).Settled)
	require.Zero(t, s.Run(name(10)).Settled)
	require.EqualValues(t, 1, s.Run(name(11)).Settled)

	r, _ := s.Lookup(keyedID(0), now)
	require.Equal(t, name(0), r.Run, "a task keeps the name of a run that is forgotten")
	s.replay(0)
	require.Zero(t, s.Run(name(0)).Settled, "what is read again does not bring a run back")
	s.write(acceptanceMessage(t, acceptanceOf(keyedID(0), name(0), now)))
	s.outcome(done(keyedID(0), name(0), now.Add(time.Second)))
	b := s.Run(name(0))
	require.EqualValues(t, 1, b.Completed)
	require.Zero(t, b.Dead, "it was counted in the run that is forgotten")
}

// TestRequestsDisplaceNoRun holds that the books of runs that have outcomes stay
// when requests, with a key or without, name as many other runs as they like.
func TestRequestsDisplaceNoRun(t *testing.T) {
	t.Parallel()
	s := newStream(t, Config{})
	now := time.Now()
	s.outcome(done(keyedID(0), "live", now))
	for n := range 2 * maxRuns {
		name := fmt.Sprintf("run-%d", n)
		s.AcceptedHere(name)
		s.Accepted(acceptanceOf(keyedID(n+1), fmt.Sprintf("keyed-%d", n), now))
	}
	s.AcceptedHere("live")
	require.EqualValues(t, maxRuns, s.metric("outcomes_runs"))
	b := s.Run("live")
	require.EqualValues(t, 1, b.Completed)
	require.EqualValues(t, 1, b.AcceptedHere)

	last := fmt.Sprintf("keyed-%d", 2*maxRuns-1)
	kept, ok := s.Acceptance(keyedID(2 * maxRuns))
	require.True(t, ok)
	require.Equal(t, last, kept.Run, "a task knows its run all the same")
	s.outcome(done(keyedID(2*maxRuns), "", now))
	require.EqualValues(t, 1, s.Run(last).Completed, "an outcome makes room")
}
