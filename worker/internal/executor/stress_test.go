package executor

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestNothingIsLostInARush has everything happen at once, in real time: submits
// that are given up, changes of size, a drain. Every task that was accepted has
// run once or was dropped once, no other has, and no goroutine is left.
func TestNothingIsLostInARush(t *testing.T) {
	t.Parallel()
	configs := map[string]Config{
		"goroutine": {Model: ModelGoroutine, Concurrency: concurrency},
		"serial":    {Model: ModelSerial, Concurrency: 1},
		"keyed":     {Model: ModelKeyed, Concurrency: concurrency, KeyQueue: 3},
	}
	for _, policy := range Policies() {
		configs["pool "+string(policy)] = Config{Model: ModelPool, Pool: PoolConfig{Core: 1, Max: concurrency, Queue: 3, Policy: policy}}
		if policy != DiscardOldest {
			configs["cached pool "+string(policy)] = Config{Model: ModelPool, Pool: PoolConfig{Max: concurrency, Policy: policy}}
		}
	}
	for name, c := range configs {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for range 25 {
				rush(t, c)
			}
		})
	}
}

// outcome is what became of a task, and what its submit said.
type outcome struct {
	ran, dropped atomic.Int32
	err          error
}

func rush(t *testing.T, c Config) {
	t.Helper()
	const submitters, each = 4, 200
	c.Pool.KeepAlive = time.Duration(rand.IntN(2)) * 10 * time.Microsecond
	exec, err := New(c, nil, nil)
	require.NoError(t, err)
	var outcomes [submitters][each]outcome
	var submitting sync.WaitGroup
	for s := range submitters {
		submitting.Go(func() {
			for n := range each {
				submitHastily(exec, &outcomes[s][n])
			}
		})
	}
	var all sync.WaitGroup
	all.Go(func() {
		for range 50 {
			resizeAtRandom(exec)
			runtime.Gosched()
		}
	})
	if rand.IntN(2) == 0 {
		submitting.Wait()
	} // else the drain comes amid the submits
	require.Zero(t, exec.Drain(t.Context()))
	submitting.Wait()
	all.Wait()

	for s := range outcomes {
		for n := range outcomes[s] {
			o := &outcomes[s][n]
			happened, want := o.ran.Load()+o.dropped.Load(), int32(0)
			if o.err == nil {
				want = 1
			}
			require.Equal(t, want, happened, "%v", o.err)
		}
	}
	stats := exec.(Observed).Stats() //nolint:forcetypeassert // Every model is.
	require.Zero(t, stats.Running+stats.Queued+stats.Waiting+stats.Workers, "%+v", stats)
	if p, ok := exec.(*pool); ok {
		p.mu.Lock()
		defer p.mu.Unlock()
		require.Empty(t, p.parked, "a goroutine without a worker")
		require.Empty(t, p.idle)
	}
}

// submitHastily submits a task, and may not wait for long.
func submitHastily(exec Executor, o *outcome) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if rand.IntN(4) == 0 {
		go func() {
			runtime.Gosched()
			cancel()
		}()
	}
	o.err = exec.Submit(ctx, Task{
		Key: fmt.Sprint(rand.IntN(3)),
		Run: func() {
			for range rand.IntN(3) {
				runtime.Gosched()
			}
			o.ran.Add(1)
		},
		Discard: func() { o.dropped.Add(1) },
	})
}

func resizeAtRandom(exec Executor) {
	r, ok := exec.(Resizer)
	if !ok {
		return
	}
	s := Sizes{Concurrency: 1 + rand.IntN(8)}
	if r.Sizes().Max > 0 {
		s = Sizes{Max: 1 + rand.IntN(8)}
		s.Core = rand.IntN(s.Max + 1)
	}
	_ = r.Resize(s) // it is allowed
}
