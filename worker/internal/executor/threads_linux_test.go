package executor

import (
	"context"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/prometheus/client_golang/prometheus"
)

// TestOSThreads holds that tasks that run at once have an OS thread each, even
// while none of them does anything, and that goroutines of one task each do not
// take over the threads of others: each costs a thread.
func TestOSThreads(t *testing.T) {
	t.Parallel()
	const tasks = 50
	for name, c := range map[string]Config{
		"goroutine": {Model: ModelGoroutine, Concurrency: tasks},
		"pool":      {Model: ModelPool, Pool: Fixed(tasks)},
		"keyed":     {Model: ModelKeyed, Concurrency: tasks},
		"caller":    {Model: ModelPool, Pool: PoolConfig{Max: 1, Policy: CallerRuns}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.OSThreads = true
			exec, err := New(c, prometheus.NewRegistry(), nil)
			require.NoError(t, err)
			require.Len(t, threadsOf(t, exec, tasks), tasks)
			require.Zero(t, exec.Drain(context.Background()))
		})
	}
}

// threadsOf runs tasks at once and returns the threads that they find themselves
// on, again and again.
func threadsOf(t *testing.T, exec Executor, tasks int) map[int]bool {
	t.Helper()
	threads := make(map[int]bool)
	var mu sync.Mutex
	var arrived atomic.Int32
	all := make(chan struct{})
	var wg sync.WaitGroup
	for range tasks {
		wg.Add(1)
		run := func() {
			defer wg.Done()
			before := syscall.Gettid()
			if arrived.Add(1) == int32(tasks) {
				close(all)
			}
			<-all
			mu.Lock()
			defer mu.Unlock()
			threads[before] = true
			if now := syscall.Gettid(); now != before {
				t.Errorf("a task moved from thread %d to %d", before, now)
			}
		}
		go func() {
			if err := exec.Submit(context.Background(), Task{Run: run}); err != nil {
				t.Error(err)
				wg.Done()
			}
		}()
	}
	wg.Wait()
	return threads
}

// TestAThreadEndsWithItsGoroutine runs tasks one after the other: each on a
// thread of its own under the model of a goroutine a task, and on one thread
// under a pool of one worker.
func TestAThreadEndsWithItsGoroutine(t *testing.T) {
	t.Parallel()
	const tasks = 20
	for name, tt := range map[string]struct {
		config Config
		want   int
	}{
		"goroutine": {Config{Model: ModelGoroutine, Concurrency: 1, OSThreads: true}, tasks},
		"single":    {Config{Model: ModelPool, Pool: Single(), OSThreads: true}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			exec, err := New(tt.config, prometheus.NewRegistry(), nil)
			require.NoError(t, err)
			threads := make(map[int]bool)
			for range tasks {
				done := make(chan int)
				require.NoError(t, exec.Submit(t.Context(), Task{Run: func() { done <- syscall.Gettid() }}))
				threads[<-done] = true
			}
			require.Zero(t, exec.Drain(t.Context()))
			require.Len(t, threads, tt.want)
		})
	}
}
