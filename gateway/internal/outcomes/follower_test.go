package outcomes

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/service/servicetest"
	"github.com/twinlane/twinlane/internal/task"
)

// broker is a stream with one reader, and a publisher to it, in one.
type broker struct {
	do   chan func(rabbitmq.StreamHandler) // what the reader is told to do
	done chan struct{}

	mu       sync.Mutex
	next     int64
	markers  []rabbitmq.Message
	restarts int
	err      error         // of publishes
	hang     bool          // publishes block until their context ends
	lose     bool          // publishes are confirmed and not read
	late     time.Duration // how long a confirm takes
}

func newBroker() *broker {
	return &broker{do: make(chan func(rabbitmq.StreamHandler), 100), done: make(chan struct{})}
}

func (b *broker) Run(ctx context.Context, h rabbitmq.StreamHandler) error {
	defer close(b.done)
	defer h.Lost()
	for {
		select {
		case do := <-b.do:
			do(h)
		case <-ctx.Done():
			return nil
		}
	}
}

func (b *broker) StartOver() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.restarts++
}

func (b *broker) Publish(ctx context.Context, m rabbitmq.Message) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.hang {
		b.mu.Unlock()
		<-ctx.Done()
		b.mu.Lock()
		return ctx.Err()
	}
	if b.err != nil {
		return b.err
	}
	b.markers = append(b.markers, m)
	if !b.lose {
		b.read(rabbitmq.StreamMessage{ID: m.ID, Type: m.Type, Timestamp: m.Timestamp})
	}
	if b.late > 0 {
		b.mu.Unlock()
		wait(ctx, b.late)
		b.mu.Lock()
	}
	return nil
}

// read has the reader read a message. The caller holds the lock.
func (b *broker) read(m rabbitmq.StreamMessage) {
	m.Offset = b.next
	b.next++
	b.do <- func(h rabbitmq.StreamHandler) { h.Read(m) }
}

func (b *broker) subscribe() { b.do <- rabbitmq.StreamHandler.Subscribed }

func (b *broker) lost() { b.do <- rabbitmq.StreamHandler.Lost }

func (b *broker) set(change func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change()
}

// following is a follower of a broker, in a bubble.
type following struct {
	*testing.T
	*broker
	follower *Follower
	reg      *prometheus.Registry
	log      *servicetest.Log
}

// follow runs test in a bubble, and stops the follower at its end.
func follow(t *testing.T, test func(following)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := newBroker()
		reg := prometheus.NewRegistry()
		log := &servicetest.Log{}
		follower := NewFollower(New(Config{Retention: time.Hour}, reg, nil), b, b, slog.New(slog.NewJSONHandler(log, nil)))
		ctx, cancel := context.WithCancel(t.Context())
		stopped := make(chan error, 1)
		go func() { stopped <- follower.Run(ctx) }()
		defer func() {
			cancel()
			require.NoError(t, <-stopped)
			require.False(t, follower.CaughtUp(), "stopped")
		}()
		test(following{T: t, broker: b, follower: follower, reg: reg, log: log})
	})
}

func (b following) metric(name string) float64 {
	b.Helper()
	return metric(b, b.reg, name)
}

func (b following) requireCaughtUp(want bool) {
	b.Helper()
	synctest.Wait()
	require.Equal(b, want, b.follower.CaughtUp())
}

func (b following) requireState(id string, want State) {
	b.Helper()
	synctest.Wait()
	_, got := b.follower.index.Lookup(id, time.Now())
	require.Equal(b, want, got)
}

func (b following) requireMarkers(want int) {
	b.Helper()
	synctest.Wait()
	b.set(func() { require.Len(b, b.markers, want) })
}

func (b following) requireRestarts(want int) {
	b.Helper()
	synctest.Wait()
	b.set(func() { require.Equal(b, want, b.restarts) })
}

func TestFollowerIsReadyWithItsMarker(t *testing.T) {
	t.Parallel()
	follow(t, func(b following) {
		sleep(3 * time.Second)
		require.EqualError(b, b.follower.Ready(), "results not known yet: nothing read in 3s")
		require.Equal(b, 3.0, b.metric("outcomes_behind_seconds"))

		b.set(func() { b.lose = true })
		b.subscribe()
		now := time.Now().UTC()
		b.set(func() {
			b.read(resultMessage(b, done("a", "", now.Add(-10*time.Minute))))
			b.read(rabbitmq.StreamMessage{Type: task.MessageTypeMarker, ID: "another gateway's", Timestamp: now})
			b.read(rabbitmq.StreamMessage{Type: task.MessageTypeMarker, Timestamp: now})
		})
		b.requireCaughtUp(false)
		require.EqualError(b, b.follower.Ready(), "results not known yet: 3 messages read in 3s, up to "+now.Format(time.RFC3339))
		b.requireState("b", Behind)

		b.set(func() {
			b.read(rabbitmq.StreamMessage{Type: task.MessageTypeMarker, ID: b.markers[0].ID, Timestamp: now})
		})
		synctest.Wait()
		require.NoError(b, b.follower.Ready())
		b.requireCaughtUp(true)
		require.Equal(b, 1.0, b.metric("outcomes_caught_up"))
		require.Zero(b, b.metric("outcomes_behind_seconds"))
		b.requireState("b", Accepted)
	})
}

// TestFollowerFallsBehindAndCatchesUp holds that only the marker of this
// subscription counts, and that a gateway that was ready once stays so.
func TestFollowerFallsBehindAndCatchesUp(t *testing.T) {
	t.Parallel()
	follow(t, func(b following) {
		b.subscribe()
		b.requireCaughtUp(true)
		first := b.markers[0]

		b.set(func() { b.lose = true })
		b.lost()
		b.requireCaughtUp(false)
		require.NoError(b, b.follower.Ready())
		b.subscribe()
		b.set(func() { b.read(rabbitmq.StreamMessage{Type: first.Type, ID: first.ID}) })
		b.requireCaughtUp(false) // it was read before everything that came meanwhile
		b.requireMarkers(2)
		require.NotEqual(b, first.ID, b.markers[1].ID)
		sleep(5 * time.Second)
		require.Equal(b, 5.0, b.metric("outcomes_behind_seconds"))

		b.set(func() { b.read(rabbitmq.StreamMessage{Type: first.Type, ID: b.markers[1].ID}) })
		b.requireCaughtUp(true)
	})
}

// TestFollowerInsistsOnItsMarker holds that a marker is published until it is
// confirmed, and that this does not hold up what is read.
func TestFollowerInsistsOnItsMarker(t *testing.T) {
	t.Parallel()
	follow(t, func(b following) {
		b.set(func() { b.err = errors.New("unroutable") })
		b.subscribe()
		sleep(10*markPause + 1)
		require.Equal(b, 11.0, b.metric("outcomes_marker_failures_total"))
		b.set(func() { b.read(resultMessage(b, done("a", "", time.Now()))) })
		b.requireState("a", Known)
		b.requireCaughtUp(false)

		b.set(func() { b.err = nil })
		sleep(markPause)
		b.requireCaughtUp(true)
	})
}

// TestFollowerGivesUpOldMarkers holds that a publish that hangs ends with its
// subscription.
func TestFollowerGivesUpOldMarkers(t *testing.T) {
	t.Parallel()
	follow(t, func(b following) {
		b.set(func() { b.hang = true })
		for range 3 {
			b.subscribe()
			synctest.Wait()
			b.lost()
		}
		b.subscribe()
		b.subscribe() // without a loss between them, a reader could say so as well
		b.set(func() { b.hang = false })
		b.lost()
		b.subscribe()
		synctest.Wait()
		b.requireMarkers(1)
		b.requireCaughtUp(true)
	})
}

// TestFollowerMarksAnIdleStream holds that a gateway that starts later finds
// out how far back the stream reaches.
func TestFollowerMarksAnIdleStream(t *testing.T) {
	t.Parallel()
	follow(t, func(b following) {
		b.set(func() { b.late = 3 * time.Second })
		b.subscribe()
		sleep(10*time.Minute + 35*time.Second)
		b.requireMarkers(11)
		b.requireRestarts(0)
		b.requireCaughtUp(true)
	})
}

// TestFollowerStartsOverInSilence holds that a marker that is confirmed and
// does not come is noticed: the stream may have been replaced.
func TestFollowerStartsOverInSilence(t *testing.T) {
	t.Parallel()
	follow(t, func(b following) {
		b.set(func() { b.lose = true })
		b.subscribe()
		for range 5 { // slow is not silent
			sleep(silence / 5)
			b.set(func() { b.read(resultMessage(b, done("a", "", time.Now()))) })
		}
		sleep(time.Second)
		b.requireRestarts(0)
		sleep(markEvery)
		b.requireRestarts(1)
		require.Equal(b, 1.0, b.metric("outcomes_restarts_total"))
		b.requireCaughtUp(false)

		b.set(func() { b.lose, b.next = false, 0 })
		b.lost()
		b.subscribe()
		b.set(func() { b.read(resultMessage(b, done("new", "", time.Now()))) })
		b.requireCaughtUp(true)
		b.requireState("new", Known)
		require.Equal(b, int64(1), b.follower.index.position.highest, "what follows was never read, whatever its offset")
	})
}

// TestFollowerMissesItsMarker holds that a stream that was replaced and has
// grown beyond the old offset is noticed too.
func TestFollowerMissesItsMarker(t *testing.T) {
	t.Parallel()
	follow(t, func(b following) {
		b.set(func() { b.lose = true })
		b.subscribe()
		for range 5 {
			sleep(silence / 5)
			b.set(func() { b.read(resultMessage(b, done("a", "", time.Now()))) })
		}
		b.set(func() { b.lose = false })
		sleep(markEvery)
		b.requireRestarts(1)
		b.requireCaughtUp(false)
	})
}

func TestFollowerForgetsWhileNothingComes(t *testing.T) {
	t.Parallel()
	follow(t, func(b following) {
		b.subscribe()
		b.set(func() {
			for n := range 3 * sweepBatch {
				b.do <- func(h rabbitmq.StreamHandler) { h.Read(resultMessage(b, done(keyedID(n), "run", time.Now()))) }
				if n%90 == 0 {
					b.mu.Unlock()
					synctest.Wait()
					b.mu.Lock()
				}
			}
		})
		synctest.Wait()
		require.EqualValues(b, 3*sweepBatch, b.metric("outcomes_tasks"))
		sleep(time.Hour + 2*time.Second)
		require.Zero(b, b.metric("outcomes_tasks"))
		require.Zero(b, b.follower.index.Run("run").Settled)
	})
}
