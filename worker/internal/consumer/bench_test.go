package consumer

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/rabbitmq/rabbittest"
	"github.com/twinlane/twinlane/internal/service"
	"github.com/twinlane/twinlane/internal/task"
	"github.com/twinlane/twinlane/worker/internal/action"
	"github.com/twinlane/twinlane/worker/internal/executor"
)

const (
	benchTasks       = 10_000 // in each burst
	benchConcurrency = 500
)

// BenchmarkResults measures what it costs to tell the results: tasks that take
// no time run through a whole worker, and a real broker, with their results
// published and with them left out. Both take turns, so that they share
// whatever else happens on the machine; read the ratio. What it costs to put
// the tasks into the queue is not measured.
func BenchmarkResults(b *testing.B) {
	node := rabbittest.Start(b, rabbittest.WithFullSize)
	pub := startPublisher(b, node.URL(), 4)
	with := &contender{name: "with results", results: startPublisher(b, node.URL(), 2)}
	without := &contender{name: "without", results: &nowhere{}}
	contenders := []*contender{with, without}
	for n := 0; b.Loop(); n++ {
		for i := range contenders {
			fillQueue(b, pub, benchTasks)
			contenders[(n+i)%len(contenders)].burst(b, node.URL(), pub) // each takes every place in the order
		}
	}
	table := tabwriter.NewWriter(b.Output(), 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(table, "\nworker\ttasks/s\tallocs a task\tbytes a task\t")
	for _, c := range contenders {
		done := uint64(len(c.rates) * benchTasks)
		_, _ = fmt.Fprintf(table, "%s\t%.0f\t%d\t%d\t\n", c.name, median(c.rates), c.allocs/done, c.bytes/done)
	}
	_ = table.Flush()
	ratios := make([]float64, len(with.rates))
	for i := range ratios {
		ratios[i] = with.rates[i] / without.rates[i]
	}
	b.ReportMetric(median(ratios), "with/without")
}

func median(values []float64) float64 {
	return slices.Sorted(slices.Values(values))[(len(values)-1)/2]
}

// contender is a worker, and what was measured of it.
type contender struct {
	name    string
	results publisher

	rates         []float64 // tasks a second, of each burst
	allocs, bytes uint64
}

// nowhere confirms everything, and publishes nothing.
type nowhere struct{ recovery service.Signal }

func (*nowhere) Publish(context.Context, rabbitmq.Message) error { return nil }

func (n *nowhere) Recovery() *service.Signal { return &n.recovery }

// burst has a worker empty the queue, and measures from its first result on.
func (c *contender) burst(b *testing.B, url string, tasks publisher) {
	b.Helper()
	reg := prometheus.NewRegistry()
	conn, err := rabbitmq.NewConnection(benchConnection(url, "consume"), rabbitmq.Tasks(), reg, nil)
	require.NoError(b, err)
	lane := Lanes(executor.Config{Model: executor.ModelGoroutine, Concurrency: benchConcurrency}, time.Minute)[0]
	sub, err := rabbitmq.NewSubscription(conn, rabbitmq.SubscriptionConfig{
		Queue: lane.Queue, Prefetch: lane.Prefetch, ConsumerTag: "bench",
	}, reg, nil)
	require.NoError(b, err)
	exec, err := executor.New(lane.Executor, reg, nil)
	require.NoError(b, err)
	runner := action.NewRunner(action.Config{Timeout: time.Minute}, reg, nil)
	defer runner.Close()
	counted := &countingPublisher{publisher: c.results, done: make(chan struct{})}
	cfg := Config{Lane: lane, MaxAttempts: 4, TaskTimeout: time.Minute, Grace: time.Minute}
	worker := New(cfg, sub, tasks, NewResults(counted, nil), exec, runner, reg, nil)
	stopConn := background(b, conn.Run)
	require.Eventually(b, func() bool { return conn.Ready() == nil }, time.Minute, time.Millisecond)

	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	stopWorker := background(b, worker.Run)
	<-counted.done
	c.rates = append(c.rates, benchTasks/time.Since(counted.began).Seconds())
	runtime.ReadMemStats(&after)
	c.allocs += after.Mallocs - before.Mallocs
	c.bytes += after.TotalAlloc - before.TotalAlloc
	stopWorker()
	stopConn()
	// More where the broker lost acks of the burst before: it drops what it has not handled when a connection closes.
	require.GreaterOrEqual(b, value(worker.metrics.settlements[settlementCompleted]), benchTasks)
}

// countingPublisher says when the first result of a burst is published, and when
// the last one is confirmed.
type countingPublisher struct {
	publisher
	first   sync.Once
	began   time.Time
	results atomic.Int64
	done    chan struct{}
}

func (p *countingPublisher) Publish(ctx context.Context, m rabbitmq.Message) error {
	p.first.Do(func() { p.began = time.Now() })
	err := p.publisher.Publish(ctx, m)
	if p.results.Add(1) == benchTasks {
		close(p.done)
	}
	return err
}

func benchConnection(url, name string) rabbitmq.ConnectionConfig {
	return rabbitmq.ConnectionConfig{URLs: []string{url}, Name: name, DialTimeout: time.Minute}
}

func startPublisher(b *testing.B, url string, channels int) *rabbitmq.Publisher {
	b.Helper()
	patient := rabbitmq.PublisherConfig{Channels: channels, AcquireWait: time.Minute, ConfirmTimeout: time.Minute}
	pub, err := rabbitmq.NewPublisher(patient, benchConnection(url, "publish"), rabbitmq.Tasks(), nil, nil)
	require.NoError(b, err)
	background(b, pub.Run)
	require.Eventually(b, func() bool { return pub.Ready() == nil }, time.Minute, time.Millisecond)
	return pub
}

// fillQueue puts tasks into the queue, as a gateway does.
func fillQueue(b *testing.B, pub *rabbitmq.Publisher, tasks int) {
	b.Helper()
	const callers = 256
	var next atomic.Int64
	fill := func() error {
		for n := next.Add(1); n <= int64(tasks); n = next.Add(1) {
			id := fmt.Sprintf("0192e4a0-0000-7000-8000-%012d-0123456789abcdef", n)
			none := 0
			m := task.Message{ID: id, AcceptedAt: time.Now().UTC(), Request: task.Request{Action: task.ActionDelay, DurationMS: &none, Run: "bench"}}
			body, err := m.Encode()
			if err != nil {
				return err
			}
			if err := pub.Publish(context.Background(), rabbitmq.TaskMessage("", task.QueueTasks, id, task.Headers{RequestID: "bench"}, body, time.Now())); err != nil {
				return err
			}
		}
		return nil
	}
	errs := make(chan error, callers)
	for range callers {
		go func() { errs <- fill() }()
	}
	for range callers {
		require.NoError(b, <-errs)
	}
}

// background runs a component until stop is called, or the benchmark ends.
func background(b *testing.B, run func(context.Context) error) (stop func()) {
	b.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			cancel()
			require.NoError(b, <-done)
		}
	}
	b.Cleanup(stop)
	return stop
}
