package outcomes

import (
	"context"
	"time"
)

const (
	// standstill is how long nothing is read, before everything was once, until
	// a gateway is ready all the same: the stream may never be readable again.
	standstill = 30 * time.Second
	// markerPatience is how long no own marker is read until it is no longer
	// certain that what is written is read: two may fail.
	markerPatience = 2*markEvery + silence
	// sweepEvery is how often what is too old is looked for, and what stands
	// still.
	sweepEvery = time.Second
)

// watch forgets what is too old, where nothing that is read makes it so, and
// notices a stream that gives nothing more.
func (f *Follower) watch(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	messages, markers := still{since: time.Now()}, still{since: time.Now()}
	for {
		select {
		case now := <-tick.C:
			for f.index.sweep(now) && ctx.Err() == nil {
				continue
			}
			if messages.lasts(f.read.Load(), now) >= standstill {
				f.goWithout(ctx)
			}
			// In this order: each marker is counted before it makes it true.
			if caughtUp := f.CaughtUp(); markers.lasts(f.marks.Load(), now) >= markerPatience && caughtUp {
				f.logger.WarnContext(ctx, "own markers do not come back from the results stream, what is in it is not known any more")
				f.index.setCaughtUp(false)
			}
		case <-ctx.Done():
			return
		}
	}
}

// goWithout makes a gateway ready that does not know the outcomes of the past.
func (f *Follower) goWithout(ctx context.Context) {
	if f.ready.CompareAndSwap(false, true) {
		f.logger.ErrorContext(ctx, "nothing can be read from the results stream, ready without the outcomes of the past",
			"messages", f.read.Load(), "silence", standstill.String())
	}
}

// still is a count and since when it has not changed.
type still struct {
	count int64
	since time.Time
}

// lasts returns for how long the count has stood still.
func (s *still) lasts(count int64, now time.Time) time.Duration {
	if count != s.count {
		s.count, s.since = count, now
	}
	return now.Sub(s.since)
}
