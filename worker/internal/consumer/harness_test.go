package consumer

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"

	"github.com/twinlane/twinlane/internal/service"
	"github.com/twinlane/twinlane/internal/service/servicetest"
	"github.com/twinlane/twinlane/worker/internal/action"
	"github.com/twinlane/twinlane/worker/internal/executor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sleep passes virtual time.
func sleep(d time.Duration) { time.Sleep(d) } //nolint:forbidigo // Called in synctest bubbles only.

// value reads a counter or a gauge.
func value(c prometheus.Collector) int { return int(testutil.ToFloat64(c)) }

// bench is a consumer with everything around it that a test looks at.
type bench struct {
	*Consumer
	journal   *journal
	publisher *fakePublisher
	acks      *fakeAcknowledger
	source    *fakeSource
	logged    *servicetest.Log
	reg       *prometheus.Registry
	stop      context.CancelFunc
	done      chan error

	tags uint64
}

type options struct {
	queue       string // of the lane; the task queue where empty
	lanes       []Lane // of the worker; made from model and concurrency where nil
	model       executor.Model
	pool        executor.PoolConfig // of the pool; made of concurrency and without a queue where it is zero
	keyQueue    int
	concurrency int
	timeout     time.Duration
	tracer      trace.Tracer  // nil for none
	grace       time.Duration // of lanes on a broker; it is the constant elsewhere
	watched     bool          // by a watchdog
	sharing     *bench        // another lane of the worker, whose results these are too; none where nil
}

const grace = 10 * time.Second

// newBench starts a consumer. stopAndWait has to end it.
func newBench(t *testing.T, o options) *bench {
	t.Helper()
	if o.model == "" {
		o.model = executor.ModelGoroutine
	}
	if o.concurrency == 0 {
		o.concurrency = 4
	}
	if o.timeout == 0 {
		o.timeout = time.Minute
	}
	j := &journal{}
	b := &bench{
		journal:   j,
		publisher: &fakePublisher{journal: j},
		acks:      &fakeAcknowledger{journal: j},
		source:    &fakeSource{journal: j, deliveries: make(chan amqp.Delivery), lose: make(chan struct{})},
		logged:    &servicetest.Log{},
		done:      make(chan error, 1),
	}
	reg := prometheus.NewRegistry()
	b.reg = reg
	logger := slog.New(slog.NewJSONHandler(b.logged, nil))
	tasks := oneKind{b.publisher, t, false, &service.Signal{}}
	results := NewResults(oneKind{b.publisher, t, true, &service.Signal{}}, logger)
	if o.sharing != nil {
		results = o.sharing.settler.results
	}
	lane := laneOf(t, o)
	exec, err := executor.New(lane.Executor, reg, logger)
	require.NoError(t, err)
	runner := action.NewRunner(action.Config{
		DefaultDuration: time.Second,
		Timeout:         o.timeout,
		FaultInjection:  true,
		Exit:            func(int) { t.Error("the process was told to exit") },
	}, reg, logger)
	cfg := Config{Lane: lane, MaxAttempts: 4, TaskTimeout: o.timeout, Grace: grace, Tracer: o.tracer}
	ctx, stop := context.WithCancel(t.Context())
	if o.watched {
		cfg.Watchdog = executor.NewWatchdog(executor.WatchdogConfig{}, reg, logger)
		go func() { _ = cfg.Watchdog.Run(ctx) }()
	}
	b.Consumer = New(cfg, b.source, tasks, results, exec, runner, reg, logger)
	b.stop = stop
	go func() { b.done <- b.Run(ctx) }()
	sleep(headStart)
	synctest.Wait()
	return b
}

// laneOf is the lane that the options name.
func laneOf(t *testing.T, o options) Lane {
	t.Helper()
	lanes := o.lanes
	if lanes == nil {
		if o.pool == (executor.PoolConfig{}) {
			o.pool = executor.PoolConfig{Core: o.concurrency, Max: o.concurrency, Policy: executor.Block}
		}
		lanes = Lanes(executor.Config{Model: o.model, Concurrency: o.concurrency, Pool: o.pool, KeyQueue: o.keyQueue}, o.timeout)
	}
	i := slices.IndexFunc(lanes, func(l Lane) bool { return l.Queue == o.queue })
	if o.queue == "" {
		i = 0
	}
	require.GreaterOrEqual(t, i, 0, "%s is no lane", o.queue)
	return lanes[i]
}

func (b *bench) stopAndWait(t *testing.T) {
	t.Helper()
	b.stop()
	require.NoError(t, <-b.done)
}

// deliver hands a message to the consumer, which has taken it on return, and
// returns its delivery tag.
func (b *bench) deliver(body string, headers amqp.Table) uint64 {
	b.tags++
	_, redelivered := headers["x-delivery-count"]
	b.source.deliveries <- amqp.Delivery{
		Acknowledger: b.acks, DeliveryTag: b.tags, Headers: headers, Redelivered: redelivered,
		MessageId: "property-id", Type: "foreign.type", ContentType: "text/foreign", Body: []byte(body),
	}
	return b.tags
}

// ran is how many times a task has run.
func (b *bench) ran(t *testing.T) int {
	t.Helper()
	families, err := b.reg.Gather()
	require.NoError(t, err)
	runs := 0
	for _, f := range families {
		if f.GetName() == "tasks_total" {
			for _, m := range f.GetMetric() {
				runs += int(m.GetCounter().GetValue())
			}
		}
	}
	return runs
}

// suspicious are the headers of a message that has come back often enough to
// move on from any lane.
func suspicious() amqp.Table { return amqp.Table{"x-delivery-count": int64(20)} }

// taskBody is a message whose id is t-n and which delays for a duration.
func taskBody(n int, d time.Duration, extra string) string {
	return fmt.Sprintf(`{"id":"t-%d","accepted_at":"2026-01-02T03:04:05Z","action":"delay","duration_ms":%d%s}`, n, d.Milliseconds(), extra)
}
