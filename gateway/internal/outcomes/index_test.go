package outcomes

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/task"
)

func TestAnOutcomeIsKnownAsItWasWritten(t *testing.T) {
	t.Parallel()
	s := newStream(t, Config{})
	now := time.Now().UTC()
	full := done(idAt(now, 1), "run-1", now)
	full.Output = []byte(`{"a":[1,2]}`)
	unknownTimes := died("no-times", "", now)
	unknownTimes.AcceptedAt, unknownTimes.StartedAt = time.Time{}, time.Time{}
	discarded := done(keyedID(1), "run-1", now)
	discarded.Status = task.StatusDiscarded
	want := []task.Result{
		full, unknownTimes, discarded, died(idAt(now, 2), "run-2", now), done(strings.Repeat("x", task.MaxNameLen), "", now),
		done(strings.ToUpper(idAt(now, 3)), "", now), done(idAt(now, 3), "run-3", now), // two ids
	}
	for _, r := range want {
		s.outcome(r)
	}
	for _, r := range want {
		got, state := s.Lookup(r.ID, now)
		require.Equal(t, Known, state)
		require.Equal(t, r, got)
	}
}

func TestAnOutputDoesNotKeepItsMessage(t *testing.T) {
	t.Parallel()
	s := newStream(t, Config{})
	r := done(idAt(time.Now(), 1), "", time.Now())
	r.Output = []byte(`"kept"`)
	m := resultMessage(t, r)
	s.Read(m)
	clear(m.Body)
	got, _ := s.Lookup(r.ID, time.Now())
	require.Equal(t, `"kept"`, string(got.Output))
}

// TestExecutions holds the table of Index.record, each row twice over: the
// messages are read again after each, which must not change anything.
func TestExecutions(t *testing.T) {
	t.Parallel()
	const run = "run"
	now := time.Now().UTC()
	id := idAt(now, 1)
	completed := func(n int) task.Result { return done(id, run, now.Add(time.Duration(n)*time.Second)) }
	dead := func(n int) task.Result { return died(id, run, now.Add(time.Duration(n)*time.Second)) }
	discarded := func(n int) task.Result {
		r := completed(n)
		r.Status = task.StatusDiscarded
		return r
	}
	for name, tc := range map[string]struct {
		executions []task.Result
		want       task.Result
		books      Books
	}{
		"completed":            {[]task.Result{completed(1)}, completed(1), Books{Completed: 1}},
		"dead":                 {[]task.Result{dead(1)}, dead(1), Books{Dead: 1}},
		"discarded":            {[]task.Result{discarded(1)}, discarded(1), Books{Discarded: 1}},
		"published twice":      {[]task.Result{completed(1), completed(1)}, completed(1), Books{Completed: 1}},
		"executed twice":       {[]task.Result{completed(1), completed(2)}, completed(1), Books{Completed: 1, Duplicates: 1}},
		"thrice":               {[]task.Result{completed(2), completed(1), completed(3)}, completed(2), Books{Completed: 1, Duplicates: 2}},
		"replayed from DLQ":    {[]task.Result{dead(1), completed(2)}, completed(2), Books{Completed: 1}},
		"died again":           {[]task.Result{dead(1), dead(2)}, dead(2), Books{Dead: 1}},
		"died twice, then not": {[]task.Result{dead(1), dead(2), completed(3)}, completed(3), Books{Completed: 1}},
		"died once completed":  {[]task.Result{completed(1), dead(2)}, completed(1), Books{Completed: 1, Duplicates: 1}},
		"discarded, completed": {[]task.Result{discarded(1), completed(2)}, completed(2), Books{Completed: 1}},
		"dead, then discarded": {[]task.Result{dead(1), discarded(2)}, discarded(2), Books{Discarded: 1}},
		"discarded, then dead": {[]task.Result{discarded(1), dead(2)}, dead(2), Books{Dead: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStream(t, Config{})
			for _, r := range tc.executions {
				s.outcome(r)
				s.replay(0)
			}
			got, state := s.Lookup(id, now)
			require.Equal(t, Known, state)
			require.Equal(t, tc.want, got)

			b := s.Run(run)
			counted := Books{Completed: b.Completed, Dead: b.Dead, Discarded: b.Discarded, Duplicates: b.Duplicates}
			require.Equal(t, tc.books, counted)
			require.EqualValues(t, 1, b.Settled)
			require.Equal(t, b.Completed, b.EndToEnd.Count)
			require.Equal(t, float64(b.Duplicates), s.metric("outcomes_duplicates_total"))
			require.Equal(t, 1.0, s.metric("outcomes_tasks"))
		})
	}
}

// TestMoreExecutionsThanAreRemembered holds that memory is bounded even for one
// task, that nothing is counted twice for it, and that completed still wins.
func TestMoreExecutionsThanAreRemembered(t *testing.T) {
	t.Parallel()
	s := newStream(t, Config{})
	now := time.Now()
	id := idAt(now, 1)
	for n := range 10 * maxOthers {
		s.outcome(died(id, "run", now.Add(time.Duration(n)*time.Millisecond)))
	}
	require.Less(t, s.metric("outcomes_bytes"), 4096.0)
	s.outcome(done(id, "run", now.Add(time.Minute)))
	s.replay(0)
	_, state := s.Lookup(id, now)
	require.Equal(t, Known, state)
	b := s.Run("run")
	require.EqualValues(t, 1, b.Completed)
	require.Zero(t, b.Dead)
	require.Zero(t, b.Duplicates)
}

func TestStates(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStream(t, Config{Retention: time.Minute})
		sleep(time.Hour)
		now := time.Now()
		s.requireState("a", Behind)
		s.setCaughtUp(true)
		s.requireState("a", Accepted)
		_, state := s.Lookup("a", now.Add(-time.Minute-1))
		require.Equal(t, Gone, state, "issued before what is kept")
		_, state = s.Lookup("a", time.Time{})
		require.Equal(t, Unknown, state, "a keyed id without an acceptance")

		s.outcome(done("a", "", now))
		s.requireState("a", Known)
		s.setCaughtUp(false)
		s.requireState("a", Known)
		s.requireState("b", Behind)
	})
}

func TestTheAgeOfTasks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStream(t, Config{Retention: time.Minute})
		s.setCaughtUp(true)
		early, late, replayed := idAt(time.Now(), 1), idAt(time.Now(), 2), idAt(time.Now(), 3)
		issued := time.Now()
		s.outcome(done(early, "run", time.Now()))
		s.outcome(died(replayed, "run", time.Now()))
		sleep(40 * time.Second)
		s.outcome(done(late, "run", time.Now()))
		s.outcome(done(replayed, "run", time.Now()))
		sleep(40 * time.Second)
		require.False(t, s.sweep(time.Now()))

		_, state := s.Lookup(early, issued)
		require.Equal(t, Gone, state)
		_, state = s.Lookup(late, issued)
		require.Equal(t, Known, state)
		_, state = s.Lookup(replayed, issued)
		require.Equal(t, Known, state, "its age counts from its last outcome")
		require.Equal(t, 1.0, s.metric("outcomes_evicted_total", "age"))
		require.EqualValues(t, 3, s.Run("run").Completed, "a run is older than its tasks")

		sleep(time.Minute)
		s.sweep(time.Now())
		require.Zero(t, s.metric("outcomes_tasks"))
		require.Zero(t, s.metric("outcomes_bytes"))
		require.Zero(t, s.Run("run").Completed)
		require.Zero(t, s.metric("outcomes_runs"))
	})
}

// TestTheAgeOfWhatIsReadLater holds that a gateway that starts later forgets
// what it reads when the others do, whatever the clocks of workers say.
func TestTheAgeOfWhatIsReadLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStream(t, Config{Retention: time.Hour})
		now := time.Now()
		s.outcome(done("old", "", now.Add(-50*time.Minute)))
		s.outcome(done("slow-clock", "", now.Add(-5*time.Hour)))
		s.outcome(done("fast-clock", "", now.Add(5*time.Hour)))
		s.setCaughtUp(true)
		for s.sweep(now) {
			continue
		}
		require.Equal(t, 3.0, s.metric("outcomes_tasks"))
		sleep(11 * time.Minute)
		s.sweep(time.Now())
		s.requireState("old", Accepted) // as the id has no time, it is as new as it is said to be
		s.requireState("slow-clock", Accepted)
		s.requireState("fast-clock", Known)
	})
}

func TestTheNumberOfTasks(t *testing.T) {
	t.Parallel()
	const held, more = 100, 40
	s := newStream(t, Config{MaxTasks: held})
	s.setCaughtUp(true)
	start := time.Now().Add(-time.Minute).Truncate(time.Millisecond)
	issued := func(n int) time.Time { return start.Add(time.Duration(n) * time.Millisecond) }
	s.write(rabbitmq.StreamMessage{Type: task.MessageTypeMarker, Timestamp: start.Add(-time.Second).Truncate(time.Second)})
	for n := range held + more {
		s.outcome(done(idAt(issued(n), n), "run", time.Now()))
	}
	require.EqualValues(t, held, s.metric("outcomes_tasks"))
	require.EqualValues(t, more, s.metric("outcomes_evicted_total", "count"))
	for n := range held + more {
		_, state := s.Lookup(idAt(issued(n), n), issued(n))
		require.Equal(t, map[bool]State{true: Gone, false: Known}[n < more], state, n)
	}
	_, state := s.Lookup(idAt(issued(more-1), 1000), issued(more-1))
	require.Equal(t, Gone, state, "issued together with one that was forgotten")
	_, state = s.Lookup(idAt(issued(more), 1000), issued(more))
	require.Equal(t, Accepted, state)
	require.EqualValues(t, held+more, s.Run("run").Completed, "the books keep what the index forgets")
}

func TestTheBytesOfTasks(t *testing.T) {
	t.Parallel()
	const limit = 100 << 10
	s := newStream(t, Config{MaxBytes: limit})
	now := time.Now()
	for n := range 200 {
		r := died(idAt(now, n), "run", now)
		r.Error = strings.Repeat("e", 500)
		r.Output = []byte(`"` + strings.Repeat("o", 4000) + `"`)
		s.outcome(r)
		require.LessOrEqual(t, s.metric("outcomes_bytes"), float64(limit))
	}
	require.InDelta(t, limit/4800, s.metric("outcomes_tasks"), 2)
	require.EqualValues(t, 200, s.metric("outcomes_tasks")+s.metric("outcomes_evicted_total", "bytes"))
}

// TestOneTaskOfMoreThanAllBytes holds that nothing is held then, rather than
// too much.
func TestOneTaskOfMoreThanAllBytes(t *testing.T) {
	t.Parallel()
	s := newStream(t, Config{MaxBytes: 1})
	s.setCaughtUp(true)
	now := time.Now()
	id := idAt(now, 1)
	results, stop := s.Watch(id)
	defer stop()
	s.outcome(done(id, "", now))
	_, state := s.Lookup(id, now.Truncate(time.Millisecond))
	require.Equal(t, Gone, state)
	require.Equal(t, id, (<-results).ID, "who waits is told all the same")
}

// TestAForeignIDDoesNotMoveTheHorizon holds that a task id of the future, which
// no gateway has issued, does not make all others look forgotten.
func TestAForeignIDDoesNotMoveTheHorizon(t *testing.T) {
	t.Parallel()
	s := newStream(t, Config{MaxTasks: 1})
	s.setCaughtUp(true)
	now := time.Now()
	s.outcome(died(idAt(now.Add(1000*time.Hour), 1), "", now))
	s.outcome(died("other", "", now))
	s.requireState("new", Accepted)
}

// TestAClockThatIsAhead holds that a task of a gateway whose clock is a little
// ahead is not taken for unfinished once it is forgotten.
func TestAClockThatIsAhead(t *testing.T) {
	t.Parallel()
	s := newStream(t, Config{MaxTasks: 1})
	s.setCaughtUp(true)
	issued := time.Now().Add(time.Minute).Truncate(time.Millisecond)
	s.outcome(done(idAt(issued, 1), "", time.Now()))
	s.outcome(done("other", "", time.Now()))
	_, state := s.Lookup(idAt(issued, 1), issued)
	require.Equal(t, Gone, state)
}

func TestKeys(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(time.Now().UnixMilli())
	id := idAt(now, 5)
	k, ok := parseKey(id)
	require.True(t, ok)
	require.True(t, now.Equal(k.issuedAt()))

	seen := map[key]string{k: id}
	for i := range len(id) { // each other character makes another key
		other := []byte(id)
		other[i] = '5'
		if other[i] == id[i] {
			other[i] = '6'
		}
		o := keyOf(string(other))
		require.NotContains(t, seen, o)
		seen[o] = string(other)
	}
	for _, foreign := range []string{"", "a", strings.ToUpper(id), id + "0", id[:52], strings.ReplaceAll(id, "-", "0"), keyedID(1)} {
		k := keyOf(foreign)
		require.True(t, k.issuedAt().IsZero(), foreign)
		require.NotContains(t, seen, k)
	}
	invented := []byte(id)
	invented[14] = 'f'
	_, ok = parseKey(string(invented))
	require.False(t, ok, "it could be the key of another id")
}
