package sizing

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/twinlane/twinlane/worker/internal/executor"
)

// Measure runs t on exec, which has t.Queue.Servers places, and drains it. Tasks
// arrive at times drawn in advance, one submitted after the other: while the
// executor is full they wait for it as messages in a queue do, and their wait
// counts from when they arrived. What it measures it holds against the formulas,
// and against an ideal waiting line that is given the very same tasks.
func (t Trial) Measure(ctx context.Context, exec executor.Executor, percentile float64, random *rand.Rand) (Comparison, error) {
	arrivals := t.arrivals(random)
	start := time.Now()
	var late lateness
	var delays []float64 // of this loop, where it waited for an arrival
	for i := range arrivals {
		a := &arrivals[i]
		early := time.Until(start.Add(a.at))
		err := sleep(ctx, early)
		if early > 0 {
			delays = append(delays, (time.Since(start) - a.at).Seconds())
		}
		if err == nil {
			err = exec.Submit(ctx, executor.Task{Run: func() { a.work(ctx, start, &late) }})
		}
		if err != nil {
			return Comparison{}, fmt.Errorf("measure: %w", err)
		}
	}
	if left := exec.Drain(ctx); left > 0 {
		return Comparison{}, fmt.Errorf("measure: %d tasks are not done: %w", left, ctx.Err())
	}
	measured := t.evaluate(arrivals, percentile)
	ideal(arrivals, t.Queue.Servers)
	c := t.compare(measured, t.evaluate(arrivals, percentile).Figures, percentile, random)
	if len(delays) > 0 {
		c.Late = Seconds(quantile(delays, 0.99))
	}
	c.Verdict = c.verdict()
	return c, nil
}

// arrival is one task of a trial. Its times are since the start.
type arrival struct {
	at     time.Duration
	length time.Duration // that it is meant to take
	began  time.Duration
	took   time.Duration
}

// work is the task: it waits, as one does that is bound by I/O.
func (a *arrival) work(ctx context.Context, start time.Time, late *lateness) {
	a.began = time.Since(start)
	_ = sleep(ctx, a.length-late.usual()) // where ctx ends nobody looks at the figures
	a.took = time.Since(start) - a.began
	late.observe(a.took - a.length)
}

// lateness is by how much timers of this machine fire late, as of late. Tasks
// set theirs earlier by that, so that they take as long as they are meant to.
type lateness struct{ sum atomic.Int64 }

// memory is over how many tasks lateness is averaged.
const memory = 64

func (l *lateness) usual() time.Duration { return time.Duration(l.sum.Load() / memory) }

// observe takes in by how much a task was too long in spite of that.
func (l *lateness) observe(more time.Duration) { l.sum.Add(int64(more)) }

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// arrivals draws the tasks of a trial in the order in which they arrive. It
// begins with as many as are at work on average, so that the line need not fill
// up first.
func (t Trial) arrivals(random *rand.Rand) []arrival {
	q := t.Queue
	all := make([]arrival, 0, int(q.Load()+1.2*q.Rate*float64(t.Length)))
	for range int(q.Load()) {
		begun := q.length(random)
		if q.Tasks == Constant { // on average half of it is done
			begun = time.Duration(random.Float64() * float64(begun))
		}
		all = append(all, arrival{length: begun})
	}
	for at := 0.0; ; {
		at += random.ExpFloat64() / q.Rate
		if at >= float64(t.Length) {
			return all
		}
		all = append(all, arrival{at: seconds(at), length: q.length(random)})
	}
}

func (q Queue) length(random *rand.Rand) time.Duration {
	if q.Tasks == Constant {
		return seconds(q.TaskSeconds)
	}
	return seconds(random.ExpFloat64() * q.TaskSeconds)
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// evaluate makes figures of what arrived after the warm-up.
func (t Trial) evaluate(arrivals []arrival, percentile float64) Measured {
	first, _ := slices.BinarySearchFunc(arrivals, seconds(float64(t.Warmup)), func(a arrival, at time.Duration) int {
		return int(a.at - at)
	})
	counted := arrivals[first:]
	if len(counted) == 0 {
		return Measured{}
	}
	waits := make([]float64, len(counted))
	busy := 0.0
	for i, a := range counted {
		waits[i] = (a.began - a.at).Seconds()
		busy += a.took.Seconds()
	}
	window := float64(t.Length - t.Warmup)
	return Measured{
		Counted:     len(counted),
		Rate:        float64(len(counted)) / window,
		TaskSeconds: busy / float64(len(counted)),
		Utilisation: busy / (float64(t.Queue.Servers) * window),
		Figures:     Figures{Mean: Seconds(mean(waits)), AtPercentile: Seconds(quantile(waits, percentile/100))},
	}
}

func mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

// quantile is the smallest value that a share of the values does not exceed.
func quantile(values []float64, share float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[max(0, int(math.Ceil(share*float64(len(sorted))))-1)]
}
