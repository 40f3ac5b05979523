package executor

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/alitto/pond/v2"
	"github.com/panjf2000/ants/v2"
	"github.com/stretchr/testify/require"
)

const (
	benchWorkers = 1000    // of each contender
	benchTasks   = 100_000 // of each turn
)

// BenchmarkSubmit measures what it takes from a submit until the task starts:
// bursts of tasks that do nothing else than to note when they do, from one
// goroutine, as from a delivery loop. The models, a bare goroutine a task, and
// two libraries take turns, so that they share whatever else happens on the
// machine; read the ratios. All have had a burst before.
func BenchmarkSubmit(b *testing.B) {
	for _, tasks := range []int{1_000, benchTasks} {
		b.Run(fmt.Sprint(tasks), func(b *testing.B) { raceSubmits(b, tasks) })
	}
}

// contender is something that runs tasks.
type contender struct {
	name   string
	submit func(run func()) error

	burst   []float64 // nanoseconds a task until all of a burst have started, of each burst
	waits   []float64 // the median of nanoseconds from a submit to its start, of each burst
	mallocs uint64
}

func contenders(b *testing.B) []*contender {
	b.Helper()
	all := []*contender{{name: "bare goroutine", submit: func(run func()) error {
		go run()
		return nil
	}}}
	for _, m := range []struct {
		name   string
		config Config
	}{
		{"goroutine", Config{Model: ModelGoroutine, Concurrency: benchWorkers}},
		{"serial", Config{Model: ModelSerial, Concurrency: benchWorkers}},
		{"keyed", Config{Model: ModelKeyed, Concurrency: benchWorkers}},
		{"pool, hand-off", Config{Model: ModelPool, Pool: PoolConfig{Core: benchWorkers, Max: benchWorkers, Policy: Block}}},
		{"pool, queue", Config{Model: ModelPool, Pool: Fixed(benchWorkers)}},
	} {
		exec, err := New(m.config, nil, nil)
		require.NoError(b, err)
		b.Cleanup(func() { require.Zero(b, exec.Drain(context.Background())) })
		all = append(all, &contender{name: m.name, submit: func(run func()) error {
			return exec.Submit(context.Background(), Task{Run: run})
		}})
	}
	a, err := ants.NewPool(benchWorkers)
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, a.ReleaseTimeout(time.Minute)) })
	p := pond.NewPool(benchWorkers)
	b.Cleanup(p.StopAndWait)
	return append(all, &contender{name: "ants", submit: a.Submit}, &contender{name: "pond", submit: p.Go})
}

func raceSubmits(b *testing.B, tasks int) {
	b.Helper()
	all := contenders(b)
	for _, c := range all {
		c.play(b, tasks)
		*c = contender{name: c.name, submit: c.submit}
	}
	for n := 0; b.Loop(); n++ {
		for i := range all {
			for range benchTasks / tasks {
				all[(n+i)%len(all)].play(b, tasks)
			}
		}
	}
	table := tabwriter.NewWriter(b.Output(), 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintf(table, "\n%d tasks\tns a task\tat best\tmedian ns from submit to start\tallocs a task\t\n", tasks)
	by := make(map[string]*contender)
	for _, c := range all {
		by[c.name] = c
		done := float64(len(c.burst) * tasks)
		_, _ = fmt.Fprintf(table, "%s\t%.0f\t%.0f\t%.0f\t%.2f\t\n", c.name, median(c.burst), slices.Min(c.burst), median(c.waits), float64(c.mallocs)/done)
	}
	_ = table.Flush()
	best := min(median(by["ants"].burst), median(by["pond"].burst))
	b.ReportMetric(median(by["pool, hand-off"].burst)/best, "hand-off/library")
	b.ReportMetric(median(by["pool, queue"].burst)/best, "queue/library")
}

// play has one burst, and waits for all of it.
func (c *contender) play(b *testing.B, tasks int) {
	b.Helper()
	waits := make([]float64, tasks)
	var all sync.WaitGroup
	all.Add(tasks)
	var before, after runtime.MemStats
	runtime.GC() // what the one before has left
	runtime.ReadMemStats(&before)
	began := time.Now()
	for i := range tasks {
		submitted := time.Now()
		err := c.submit(func() {
			waits[i] = float64(time.Since(submitted))
			all.Done()
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	all.Wait()
	c.burst = append(c.burst, float64(time.Since(began))/float64(tasks))
	runtime.ReadMemStats(&after)
	c.mallocs += after.Mallocs - before.Mallocs
	c.waits = append(c.waits, median(waits))
}

func median(values []float64) float64 {
	return slices.Sorted(slices.Values(values))[(len(values)-1)/2]
}
