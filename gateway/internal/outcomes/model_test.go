package outcomes

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/task"
)

// model is an index as simple as can be. It is told of each message of the
// stream once, and so has nothing to do for those that are read again.
type model struct {
	maxTasks int
	held     []*modelTask // the first was heard of longest ago
	books    map[string]*Books
	horizon  time.Time
}

type modelTask struct {
	id         string
	issued     time.Time
	shown      task.Result
	executions map[execution]bool
}

func (m *model) find(id string) *modelTask {
	for _, held := range m.held {
		if held.id == id {
			return held
		}
	}
	return nil
}

func (m *model) outcome(r task.Result, issued time.Time) {
	b := m.books[r.Run]
	if b == nil {
		b = &Books{}
		m.books[r.Run] = b
	}
	counter := map[task.Status]*int64{
		task.StatusCompleted: &b.Completed, task.StatusDead: &b.Dead, task.StatusDiscarded: &b.Discarded,
	}
	this := execution{at: r.FinishedAt.UnixNano(), status: statusOf(r.Status)}
	held := m.find(r.ID)
	switch {
	case held == nil:
		held = &modelTask{id: r.ID, issued: issued, shown: r, executions: map[execution]bool{}}
		m.held = append(m.held, held)
		*counter[r.Status]++
	case held.executions[this]:
		return
	case held.shown.Status == task.StatusCompleted:
		b.Duplicates++
	default:
		*counter[held.shown.Status]--
		*counter[r.Status]++
		held.shown = r
	}
	held.executions[this] = true
	at := slices.Index(m.held, held)
	m.held = append(slices.Delete(m.held, at, at+1), held)
	if len(m.held) > m.maxTasks {
		if forgotten := m.held[0].issued; forgotten.After(m.horizon) {
			m.horizon = forgotten
		}
		m.held = m.held[1:]
	}
}

func (m *model) lookup(id string, issued time.Time) (task.Result, State) {
	if held := m.find(id); held != nil {
		return held.shown, Known
	}
	if !issued.After(m.horizon) {
		return task.Result{}, Gone
	}
	return task.Result{}, Accepted
}

// history makes a stream at random: tasks that are executed once or more, in
// any order, by workers whose clocks differ, and results that are published
// twice. It is made anew where a stream replaces another.
type history struct {
	*stream
	model  *model
	rand   *rand.Rand
	clock  time.Time // of the broker
	issued []time.Time
	ids    []string
	old    []task.Result // that can be published again
	from   int           // where the reader was set back to last
}

// step writes one result.
func (h *history) step() {
	h.clock = h.clock.Add(time.Duration(h.rand.IntN(300)) * time.Millisecond)
	if len(h.old) > 0 && h.rand.IntN(10) == 0 {
		again := h.old[h.rand.IntN(len(h.old))]
		if h.model.find(again.ID) != nil { // once forgotten, it would count again
			h.publish(again)
			return
		}
	}
	n := len(h.ids)
	if n > 0 && h.rand.IntN(3) == 0 {
		n = h.rand.IntN(n)
	}
	if n == len(h.ids) {
		h.issued = append(h.issued, h.clock.Truncate(time.Millisecond))
		h.ids = append(h.ids, idAt(h.clock, n))
	}
	r := done(h.ids[n], fmt.Sprintf("run-%d", n%3), h.skewed())
	switch h.rand.IntN(4) {
	case 0:
		r.Status, r.Reason = task.StatusDead, task.ReasonExhausted
	case 1:
		r.Status = task.StatusDiscarded
	}
	h.publish(r)
	h.old = append(h.old, r)
}

// skewed is the time by the clock of some worker.
func (h *history) skewed() time.Time {
	return h.clock.Add(time.Duration(h.rand.IntN(40)-20) * time.Second)
}

func (h *history) publish(r task.Result) {
	m := resultMessage(h.t, r)
	m.Timestamp = h.skewed().Truncate(time.Second)
	h.write(m)
	h.model.outcome(r, h.issued[slices.Index(h.ids, r.ID)])
}

// readAgain sets the reader back and has it read to the end. It is never set
// back further than before: it goes back by the same time each time.
func (h *history) readAgain() {
	h.from += h.rand.IntN(len(h.messages) - h.from)
	h.replay(h.from)
}

// replaced begins another stream, with some results before the marker that a
// follower writes to it.
func (h *history) replaced() {
	h.messages, h.from = nil, 0
	h.clock = h.clock.Add(time.Minute)
	for range h.rand.IntN(3) {
		h.step()
	}
	h.write(rabbitmq.StreamMessage{Type: task.MessageTypeMarker, Timestamp: h.clock})
	h.position.fresh()
}

func (h *history) requireSame() {
	h.t.Helper()
	for i, id := range h.ids {
		want, wantState := h.model.lookup(id, h.issued[i])
		got, state := h.Lookup(id, h.issued[i])
		require.Equal(h.t, wantState, state, "state of task %d", i)
		require.Equal(h.t, want, got)
	}
	for run, want := range h.model.books {
		got := h.Run(run)
		require.Equal(h.t, *want, Books{
			Completed: got.Completed, Dead: got.Dead, Discarded: got.Discarded, Duplicates: got.Duplicates,
		}, "books of %s", run)
		require.GreaterOrEqual(h.t, got.EndToEnd.Count, got.Completed)
	}
	require.EqualValues(h.t, len(h.model.held), h.metric("outcomes_tasks"))
	require.Equal(h.t, len(h.ids), max(len(h.ids), h.entries.len))
}

// TestIndexIsLikeItsModel holds that whatever is read again, however often and
// from wherever, the index is what it would be if each message had been read
// once.
func TestIndexIsLikeItsModel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			maxTasks := 1 + int(seed%4)*30
			h := &history{
				stream: newStream(t, Config{MaxTasks: maxTasks}),
				model:  &model{maxTasks: maxTasks, books: map[string]*Books{}},
				rand:   rand.New(rand.NewPCG(seed, 1)),
				clock:  time.Now().Add(-30 * time.Minute).UTC(),
			}
			h.setCaughtUp(true)
			for range 600 {
				h.step()
				switch h.rand.IntN(100) {
				case 0, 1, 2, 3:
					h.readAgain()
				case 4:
					h.replaced()
				case 5:
					h.setCaughtUp(false)
					h.readAgain()
					h.setCaughtUp(true)
				}
			}
			h.requireSame()
			h.requireBytes()
		})
	}
}

// requireBytes requires that the memory counted is that of what is held.
func (h *history) requireBytes() {
	h.t.Helper()
	sum := int64(0)
	for i := h.entries.oldest(); i != 0; i = h.entries.at(i).next {
		sum += h.entries.at(i).size()
	}
	require.Equal(h.t, sum, h.bytes)
}

// FuzzRead holds that no message, whoever wrote it, stops the reader.
func FuzzRead(f *testing.F) {
	f.Add(task.MessageTypeResult, "id", int64(5), "", "", []byte(`{"id":"a","status":"dead","attempt":-1,"finished_at":"0001-02-03T04:05:06Z"}`))
	f.Add(task.MessageTypeAccepted, "id", int64(-5), "", "", []byte(`{"id":"a"}`))
	f.Add(task.MessageType, "", int64(1<<62), "", "\xff", []byte("\x00"))
	f.Add("", "id", int64(1), "permanent", "expired", []byte(nil))
	f.Fuzz(func(t *testing.T, kind, id string, at int64, dead, first string, body []byte) {
		s := newStream(t, Config{MaxTasks: 2})
		m := rabbitmq.StreamMessage{Type: kind, ID: id, Timestamp: time.Unix(at, at), Body: body, Headers: map[string]any{}}
		if dead != "" {
			m.Headers[task.HeaderDeadReason] = dead
		}
		if first != "" {
			m.Headers[task.HeaderFirstDeathReason] = first
		}
		for range 3 {
			s.write(m)
			s.replay(0)
		}
		require.LessOrEqual(t, s.entries.len, 1)
		for i := s.entries.oldest(); i != 0; i = s.entries.at(i).next {
			require.Equal(t, s.bytes, s.entries.at(i).size())
		}
	})
}
