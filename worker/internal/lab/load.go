package lab

import (
	"context"
	"slices"
	"sync"
	"time"
)

// load is what callers have seen of a number of requests.
type load struct {
	accepted []time.Duration // how long each took that succeeded, in order of size
	failed   int
	seconds  float64
}

// closedLoop has callers make one request after the other until the window is
// over, and waits for those under way.
func closedLoop(ctx context.Context, callers int, window time.Duration, request func(context.Context) error) load {
	results := make([]load, callers)
	began := time.Now()
	var all sync.WaitGroup
	for i := range results {
		all.Go(func() {
			for time.Since(began) < window && ctx.Err() == nil {
				sent := time.Now()
				results[i].note(sent, request(ctx))
			}
		})
	}
	all.Wait()
	return merge(results, time.Since(began))
}

// openLoop makes requests at a rate, whether or not earlier ones are answered,
// until the window is over, and waits for those under way.
func openLoop(ctx context.Context, rate float64, window time.Duration, request func(context.Context) error) load {
	var mu sync.Mutex
	var sum load
	var all sync.WaitGroup
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	began := time.Now()
	for made := 0; time.Since(began) < window && ctx.Err() == nil; {
		for ; float64(made) < rate*time.Since(began).Seconds(); made++ {
			all.Go(func() {
				sent := time.Now()
				err := request(ctx)
				mu.Lock()
				defer mu.Unlock()
				sum.note(sent, err)
			})
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	all.Wait()
	return merge([]load{sum}, time.Since(began))
}

// note adds the outcome of a request.
func (l *load) note(sent time.Time, err error) {
	if err != nil {
		l.failed++
		return
	}
	l.accepted = append(l.accepted, time.Since(sent))
}

func merge(parts []load, took time.Duration) load {
	sum := load{seconds: took.Seconds()}
	for _, p := range parts {
		sum.accepted = append(sum.accepted, p.accepted...)
		sum.failed += p.failed
	}
	slices.Sort(sum.accepted)
	return sum
}

// rate is how many were accepted a second.
func (l load) rate() float64 { return float64(len(l.accepted)) / l.seconds }

// mean is in seconds.
func (l load) mean() float64 {
	var sum time.Duration
	for _, d := range l.accepted {
		sum += d
	}
	return sum.Seconds() / float64(max(1, len(l.accepted)))
}

// quantile is in seconds.
func (l load) quantile(q float64) float64 {
	if len(l.accepted) == 0 {
		return 0
	}
	return l.accepted[int(q*float64(len(l.accepted)-1))].Seconds()
}

// failedShare is the share of the requests that failed.
func (l load) failedShare() float64 {
	return float64(l.failed) / float64(max(1, l.failed+len(l.accepted)))
}
