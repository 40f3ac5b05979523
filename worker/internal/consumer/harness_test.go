package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/service/servicetest"
	"github.com/twinlane/twinlane/internal/task"
	"github.com/twinlane/twinlane/worker/internal/action"
	"github.com/twinlane/twinlane/worker/internal/executor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sleep passes virtual time.
func sleep(d time.Duration) { time.Sleep(d) } //nolint:forbidigo // Called in synctest bubbles only.

// value reads a counter or a gauge.
func value(c prometheus.Collector) int { return int(testutil.ToFloat64(c)) }

// journal is what happened, in order.
type journal struct {
	mu      sync.Mutex
	entries []string
}

func (j *journal) add(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries = append(j.entries, fmt.Sprintf(format, args...))
}

func (j *journal) all() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.entries)
}

// last is the newest entry, empty where there is none.
func (j *journal) last() string {
	all := j.all()
	if len(all) == 0 {
		return ""
	}
	return all[len(all)-1]
}

// fakePublisher notes what it publishes and says what fails tells it to. It
// keeps messages and results apart, and is both publishers of a worker: see
// oneKind.
type fakePublisher struct {
	journal *journal
	fails   func(m rabbitmq.Message) error

	mu      sync.Mutex
	sent    []rabbitmq.Message
	results []task.Result
}

func (p *fakePublisher) Publish(ctx context.Context, m rabbitmq.Message) error {
	p.mu.Lock()
	fails := p.fails
	p.mu.Unlock()
	if fails != nil {
		if err := fails(m); err != nil {
			p.journal.add("publish %s failed", m.ID)
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if m.Type == task.MessageTypeResult {
		return p.noteResult(m)
	}
	p.sent = append(p.sent, m)
	p.journal.add("publish %s to %s%s", m.ID, m.Exchange, m.RoutingKey)
	return nil
}

// accept ends the failures, at any time.
func (p *fakePublisher) accept() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fails = nil
}

func (p *fakePublisher) noteResult(m rabbitmq.Message) error {
	res, err := task.DecodeResult(m.Body)
	if err != nil {
		return err
	}
	if res.ID != m.ID || m.Exchange != "" || m.RoutingKey != task.QueueResults {
		return fmt.Errorf("the result of %s was published as %s to %q %q", res.ID, m.ID, m.Exchange, m.RoutingKey)
	}
	p.results = append(p.results, res)
	p.journal.add("result %s %s", res.ID, res.Status)
	return nil
}

// oneKind is a publisher for results, or for everything else.
type oneKind struct {
	publisher
	t       *testing.T
	results bool
}

func (p oneKind) Publish(ctx context.Context, m rabbitmq.Message) error {
	if isResult(m) != p.results {
		p.t.Errorf("%s %s went to the wrong publisher", m.Type, m.ID)
	}
	return p.publisher.Publish(ctx, m)
}

// isResult tells results from what moves tasks.
func isResult(m rabbitmq.Message) bool { return m.Type == task.MessageTypeResult }

// fakeAcknowledger notes answers. Its deliveries are told apart by their tags.
type fakeAcknowledger struct {
	journal *journal
	err     error
	panics  int // that Ack still has
}

func (a *fakeAcknowledger) Ack(tag uint64, multiple bool) error {
	if a.panics > 0 {
		a.panics--
		panic("an error of theirs")
	}
	a.journal.add("ack %d", tag)
	return a.refuse(multiple)
}

func (a *fakeAcknowledger) Nack(tag uint64, multiple, requeue bool) error {
	if !requeue {
		a.journal.add("drop %d", tag)
	} else {
		a.journal.add("requeue %d", tag)
	}
	return a.refuse(multiple)
}

func (a *fakeAcknowledger) Reject(tag uint64, _ bool) error {
	a.journal.add("reject %d", tag)
	return a.err
}

func (a *fakeAcknowledger) refuse(multiple bool) error {
	if multiple {
		return errors.New("several deliveries were answered at once")
	}
	return a.err
}

var errSourceLost = errors.New("source lost")

// fakeSource is a delivery loop on a channel.
type fakeSource struct {
	journal    *journal
	deliveries chan amqp.Delivery // closed, the source ends with errSourceLost
	lose       chan struct{}      // sent to, the channel is gone and there is a new one
	returns    time.Duration      // how long a stop takes
}

func (s *fakeSource) Run(ctx context.Context, deliver func(context.Context, amqp.Delivery)) error {
	for {
		switch err := s.channel(ctx, deliver); {
		case err != nil:
			return err
		case ctx.Err() != nil:
			if s.returns > 0 {
				sleep(s.returns)
				s.journal.add("source returned")
			}
			return nil
		}
	}
}

// channel delivers on one channel until it is lost.
func (s *fakeSource) channel(ctx context.Context, deliver func(context.Context, amqp.Delivery)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for {
		select {
		case d, ok := <-s.deliveries:
			if !ok {
				return errSourceLost
			}
			deliver(ctx, d)
		case <-s.lose:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

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
	concurrency int
	timeout     time.Duration
	sharing     *bench // another lane of the worker, whose results these are too; none where nil
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
	results := NewResults(oneKind{b.publisher, t, true}, logger)
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
	cfg := Config{Lane: lane, MaxAttempts: 4, TaskTimeout: o.timeout, Grace: grace}
	b.Consumer = New(cfg, b.source, oneKind{b.publisher, t, false}, results, exec, runner, reg, logger)

	ctx, stop := context.WithCancel(t.Context())
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
		lanes = Lanes(executor.Config{Model: o.model, Concurrency: o.concurrency})
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
