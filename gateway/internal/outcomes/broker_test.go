package outcomes

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/rabbitmq/rabbittest"
	"github.com/twinlane/twinlane/internal/task"
)

// patience bounds every wait for a broker.
const patience = time.Minute

// system is a broker of the test's own and a publisher to it.
type system struct {
	*testing.T
	node      *rabbittest.Node
	publisher *rabbitmq.Publisher
	written   []task.Result
}

func startSystem(t *testing.T) *system {
	t.Helper()
	node := rabbittest.Start(t)
	conn := rabbitmq.ConnectionConfig{URLs: []string{node.URL()}, Name: "publisher", BackoffMax: 200 * time.Millisecond}
	publisher, err := rabbitmq.NewPublisher(rabbitmq.PublisherConfig{}, conn, rabbitmq.Tasks(), prometheus.NewRegistry(), nil)
	require.NoError(t, err)
	background(t, publisher.Run)
	return &system{T: t, node: node, publisher: publisher}
}

// background runs something until the test ends.
func background(t *testing.T, run func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
}

// gateway is an index that follows the stream.
type gateway struct {
	*Index
	*Follower
	reg *prometheus.Registry
}

func (s *system) startGateway(name, url string) gateway {
	s.Helper()
	reg := prometheus.NewRegistry()
	cfg := rabbitmq.ConnectionConfig{URLs: []string{url}, Name: name, BackoffMax: 200 * time.Millisecond}
	conn, err := rabbitmq.NewConnection(cfg, rabbitmq.Tasks(), reg, nil)
	require.NoError(s, err)
	background(s.T, conn.Run)
	r, err := rabbitmq.NewStreamReader(conn, rabbitmq.StreamConfig{
		Stream: task.QueueResults, ConsumerTag: name, From: task.ResultRetention,
	}, reg, nil)
	require.NoError(s, err)
	index := New(Config{}, reg, nil)
	g := gateway{Index: index, Follower: NewFollower(index, r, s.publisher, nil), reg: reg}
	background(s.T, g.Follower.Run)
	return g
}

// publish returns once a message is confirmed.
func (s *system) publish(m rabbitmq.Message) {
	s.Helper()
	require.Eventually(s, func() bool { return s.publisher.Publish(s.Context(), m) == nil }, patience, 50*time.Millisecond)
}

// write has a worker complete some tasks, each reported twice.
func (s *system) write(n int) {
	s.Helper()
	for range n {
		now := time.Now().UTC()
		r := done(idAt(now, len(s.written)), "run", now)
		r.Output = fmt.Appendf(nil, "%d", len(s.written))
		body, err := r.Encode()
		require.NoError(s, err)
		s.publish(rabbitmq.ResultMessage(r.ID, body, now))
		s.publish(rabbitmq.ResultMessage(r.ID, body, now))
		s.written = append(s.written, r)
	}
}

// requireAll requires that a gateway catches up and then knows every result,
// and has counted each once.
func (s *system) requireAll(g gateway, want []task.Result) {
	s.Helper()
	require.Eventually(s, g.CaughtUp, patience, 10*time.Millisecond)
	require.NoError(s, g.Ready())
	for _, r := range want {
		require.Eventually(s, func() bool {
			_, state := g.Lookup(r.ID, time.Time{})
			return state == Known
		}, patience, 10*time.Millisecond, "task %s", r.ID)
		got, _ := g.Lookup(r.ID, time.Time{})
		require.Equal(s, r, got)
	}
	require.EqualValues(s, len(want), g.Index.Run("run").Settled)
	require.Zero(s, g.Index.Run("run").Duplicates)
	_, state := g.Lookup(idAt(time.Now(), 1<<20), time.Now())
	require.Equal(s, Accepted, state)
}

func (s *system) requireBehind(g gateway) {
	s.Helper()
	require.Eventually(s, func() bool { return !g.CaughtUp() }, patience, time.Millisecond)
}

// TestFollowingABroker holds that the index ends up right and caught up,
// whatever happens to the broker or the stream.
func TestFollowingABroker(t *testing.T) {
	t.Parallel()
	s := startSystem(t)
	s.write(40)
	g := s.startGateway("first", s.node.URL())
	s.requireAll(g, s.written)
	s.write(40)
	s.requireAll(g, s.written)

	require.NoError(t, s.node.SyncQueues(t.Context()))
	s.node.Kill()
	s.requireBehind(g)
	require.NoError(t, g.Ready(), "it answers for what it knows")
	_, state := g.Lookup("unknown", time.Now())
	require.Equal(t, Behind, state)
	require.NoError(t, s.node.Start(t.Context()))
	s.write(20)
	s.requireAll(g, s.written)
	s.requireAll(s.startGateway("second", s.node.URL()), s.written)

	before := len(s.written)
	require.NoError(t, s.node.DeleteQueue(t.Context(), task.QueueResults))
	s.requireBehind(g)
	s.write(20) // fewer than were in the stream before: their offsets are none of a new message
	s.requireAll(g, s.written)
	third := s.startGateway("third", s.node.URL())
	s.requireAll(third, s.written[before:])
	_, state = third.Lookup(s.written[0].ID, s.written[0].FinishedAt)
	require.Equal(t, Gone, state, "its result was in the stream that was deleted")
	require.Zero(t, metric(t, g.reg, "outcomes_skipped_total", string(skipUndecodable)))
	require.Zero(t, metric(t, g.reg, "outcomes_skipped_total", string(skipForgotten)))
}

// TestAStreamReplacedMeanwhile holds that it is noticed when the stream is
// replaced by another while the reader is away: the broker then waits for the
// old offset, and nothing comes.
func TestAStreamReplacedMeanwhile(t *testing.T) {
	t.Parallel()
	s := startSystem(t)
	proxy := rabbittest.StartProxy(t, s.node.URL())
	g := s.startGateway("gateway", proxy.URL())
	s.write(20)
	s.requireAll(g, s.written)

	proxy.Refuse()
	proxy.Drop()
	s.requireBehind(g)
	require.NoError(t, s.node.DeleteQueue(t.Context(), task.QueueResults))
	s.write(5)
	require.NoError(t, proxy.Accept())
	s.requireAll(g, s.written)
	require.Equal(t, 1.0, metric(t, g.reg, "outcomes_restarts_total"))
}

// TestDeathsByTheBroker holds what real dead letters look like: of a task that
// was never retried, and of one that was.
func TestDeathsByTheBroker(t *testing.T) {
	t.Parallel()
	s := startSystem(t)
	g := s.startGateway("gateway", s.node.URL())
	require.Eventually(t, g.CaughtUp, patience, 10*time.Millisecond)
	for n, queue := range []string{task.QueueIsolated, rabbitmq.RetrySteps()[0].Queue} {
		now := time.Now().UTC()
		m := task.Message{ID: idAt(now, n), AcceptedAt: now, Request: task.Request{Action: task.ActionDelay, Run: "run"}}
		body, err := m.Encode()
		require.NoError(t, err)
		s.publish(rabbitmq.TaskMessage("", queue, m.ID, task.Headers{Attempt: 2}, body, now))
		require.Eventually(t, func() bool { // each look is a delivery without an answer
			for _, q := range []string{task.QueueIsolated, task.QueueTasks} {
				_, err := s.node.Browse(t.Context(), q)
				require.NoError(t, err)
			}
			_, state := g.Lookup(m.ID, now)
			return state == Known
		}, patience, time.Millisecond)
		got, _ := g.Lookup(m.ID, now)
		require.WithinDuration(t, time.Now(), got.FinishedAt, patience)
		got.FinishedAt = time.Time{}
		require.Equal(t, task.Result{
			ID: m.ID, Run: "run", Status: task.StatusDead, Attempt: 2, AcceptedAt: now,
			Reason: task.ReasonDeliveryLimit, Error: errBroker,
		}, got)
	}
	require.EqualValues(t, 2, g.Index.Run("run").Dead)
}
