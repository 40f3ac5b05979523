package outcomes

import (
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/rabbitmq"
)

// heap is what is in use after a collection.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestMemory holds that a task of one second without output takes no more than
// 200 bytes, and that the index knows roughly what its tasks take.
//
//nolint:paralleltest // It measures the memory of the process.
func TestMemory(t *testing.T) {
	const tasks = 100_000
	now := time.Now()
	before := heap()
	x := New(Config{}, prometheus.NewRegistry(), nil)
	for n := range tasks {
		m := resultMessage(t, done(idAt(now, n), "run", now))
		m.Offset = int64(n)
		x.Read(m)
	}
	took := float64(heap()-before) / tasks
	require.Less(t, took, 200.0, "bytes a task")
	require.InEpsilon(t, took, float64(x.bytes)/tasks, .25)
	t.Logf("%.0f bytes a task, counted as %d", took, x.bytes/tasks)
	runtime.KeepAlive(x)
}

// BenchmarkRead reads results as one gateway's reader does.
func BenchmarkRead(b *testing.B) {
	now := time.Now()
	messages := make([]rabbitmq.StreamMessage, b.N)
	for n := range messages {
		messages[n] = resultMessage(b, done(idAt(now, n), "run", now))
		messages[n].Offset = int64(n)
	}
	before := heap()
	x := New(Config{}, prometheus.NewRegistry(), nil)
	b.ReportAllocs()
	b.ResetTimer()
	for n := range messages {
		x.Read(messages[n])
	}
	b.StopTimer()
	b.ReportMetric(float64(heap()-before)/float64(x.entries.len), "B/task")
	runtime.KeepAlive(messages)
}

// BenchmarkLookup looks tasks up on all processors, while another goroutine
// reads 2,000 results a second or nothing.
func BenchmarkLookup(b *testing.B) {
	for name, reading := range map[string]bool{"idle": false, "reading": true} {
		b.Run(name, func(b *testing.B) {
			const tasks = 100_000
			now := time.Now()
			x := New(Config{}, prometheus.NewRegistry(), nil)
			ids := make([]string, tasks)
			for n := range ids {
				ids[n] = idAt(now, n)
				m := resultMessage(b, done(ids[n], "run", now))
				m.Offset = int64(n)
				x.Read(m)
			}
			if reading {
				defer readSlowly(b, x, tasks)()
			}
			var next atomic.Int64
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				n := int(next.Add(7919))
				for pb.Next() {
					n++
					if _, state := x.Lookup(ids[n%tasks], now); state != Known {
						b.Error("not known")
					}
				}
			})
		})
	}
}

// readSlowly has x read 2,000 new results a second, until stop or for 20 s.
func readSlowly(b *testing.B, x *Index, from int) (stop func()) {
	b.Helper()
	messages := make([]rabbitmq.StreamMessage, 40_000)
	for n := range messages {
		messages[n] = resultMessage(b, done(idAt(time.Now(), from+n), "run", time.Now()))
		messages[n].Offset = int64(from + n)
	}
	stopped := make(chan struct{})
	go func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for batch := range slices.Chunk(messages, 10) {
			select {
			case <-stopped:
				return
			case <-tick.C:
			}
			for _, m := range batch {
				x.Read(m)
			}
		}
	}()
	return func() { close(stopped) }
}

// BenchmarkRun asks for the books of a run with many different times.
func BenchmarkRun(b *testing.B) {
	now := time.Now()
	x := New(Config{}, prometheus.NewRegistry(), nil)
	for n := range 100_000 {
		r := done(idAt(now, n), "run", now)
		r.AcceptedAt = now.Add(-time.Duration(n) * time.Millisecond)
		m := resultMessage(b, r)
		m.Offset = int64(n)
		x.Read(m)
	}
	b.ReportAllocs()
	for b.Loop() {
		x.Run("run")
	}
}
