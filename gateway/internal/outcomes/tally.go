package outcomes

import (
	"time"

	"github.com/DataDog/sketches-go/ddsketch"
	"github.com/DataDog/sketches-go/ddsketch/mapping"
	"github.com/DataDog/sketches-go/ddsketch/store"

	"github.com/twinlane/twinlane/internal/task"
)

// tally counts for the books of a run.
type tally struct {
	seen         time.Time // when the run was last heard of
	acceptedHere int64
	settled      [discarded + 1]int64 // by status
	duplicates   int64
	// The following are of completions; the sketches are nil before the first.
	endToEnd, queueWait, serviceTime *ddsketch.DDSketchWithExactSummaryStatistics
	firstCompleted, lastCompleted    time.Time
	lastAccepted                     time.Time // of all settled tasks
}

// settle counts an outcome of a task that had none before in this run.
func (t *tally) settle(r *task.Result) {
	s := statusOf(r.Status)
	t.settled[s]++
	if r.AcceptedAt.After(t.lastAccepted) {
		t.lastAccepted = r.AcceptedAt
	}
	if s == completed {
		t.complete(r)
	}
}

func (t *tally) complete(r *task.Result) {
	if t.endToEnd == nil {
		t.endToEnd, t.queueWait, t.serviceTime = newSketch(), newSketch(), newSketch()
	}
	if !r.AcceptedAt.IsZero() {
		add(t.endToEnd, r.EndToEnd())
	}
	if !r.AcceptedAt.IsZero() && !r.StartedAt.IsZero() {
		add(t.queueWait, r.QueueWait())
	}
	if !r.StartedAt.IsZero() {
		add(t.serviceTime, r.ServiceTime())
	}
	if t.firstCompleted.IsZero() || r.FinishedAt.Before(t.firstCompleted) {
		t.firstCompleted = r.FinishedAt
	}
	if r.FinishedAt.After(t.lastCompleted) {
		t.lastCompleted = r.FinishedAt
	}
}

func (t *tally) books(name string) Books {
	b := Books{
		Run:              name,
		AcceptedHere:     t.acceptedHere,
		Completed:        t.settled[completed],
		Dead:             t.settled[dead],
		Discarded:        t.settled[discarded],
		Duplicates:       t.duplicates,
		EndToEnd:         distributionOf(t.endToEnd),
		QueueWait:        distributionOf(t.queueWait),
		ServiceTime:      distributionOf(t.serviceTime),
		FirstCompletedAt: known(t.firstCompleted),
		LastCompletedAt:  known(t.lastCompleted),
		LastAcceptedAt:   known(t.lastAccepted),
	}
	b.Settled = b.Completed + b.Dead + b.Discarded
	if b.LastCompletedAt != nil && b.LastAcceptedAt != nil {
		drain := milliseconds(t.lastCompleted.Sub(t.lastAccepted))
		b.DrainMS = &drain
	}
	return b
}

func known(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

const (
	// accuracy is how far a percentile may be from the time that has its rank,
	// relative to that.
	accuracy = 0.01
	// maxBins bounds a sketch to 8 KiB. With it, times from a microsecond to
	// ten minutes are accurate; where a run's spread more, its lowest are not.
	maxBins = 1024
)

func newSketch() *ddsketch.DDSketchWithExactSummaryStatistics {
	index, _ := mapping.NewLogarithmicMapping(accuracy) // it refuses only what is not between 0 and 1
	return ddsketch.NewDDSketchWithExactSummaryStatistics(index, func() store.Store {
		return store.NewCollapsingLowestDenseStore(maxBins)
	})
}

func add(s *ddsketch.DDSketchWithExactSummaryStatistics, d time.Duration) {
	_ = s.Add(milliseconds(d)) // it refuses only what no duration can be
}

// milliseconds is d in milliseconds, and not negative: clocks differ.
func milliseconds(d time.Duration) float64 {
	return float64(max(d, 0)) / float64(time.Millisecond)
}

func distributionOf(s *ddsketch.DDSketchWithExactSummaryStatistics) Distribution {
	if s == nil || s.IsEmpty() {
		return Distribution{}
	}
	p, _ := s.GetValuesAtQuantiles([]float64{.5, .95, .99}) // these fail for an empty sketch alone, as does the next
	longest, _ := s.GetMaxValue()
	return Distribution{
		Count: int64(s.GetCount()), Mean: s.GetSum() / s.GetCount(),
		P50: p[0], P95: p[1], P99: p[2], Max: longest,
	}
}
