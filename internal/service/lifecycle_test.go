package service_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/twinlane/twinlane/internal/service"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// journal notes the order in which things happen.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) note(line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, line)
}

func (j *journal) stopped() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.lines)
}

// component stops after it has taken its time, and returns err.
func (j *journal) component(name string, takes time.Duration, err error) service.Component {
	return service.Component{Name: name, Run: func(ctx context.Context) error {
		<-ctx.Done()
		<-time.After(takes)
		j.note(name)
		return err
	}}
}

func TestRunStopsInTheOppositeOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var j journal
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		err := service.Run(ctx, nil, time.Minute,
			j.component("admin", 0, nil), j.component("publisher", time.Second, nil), j.component("http", 2*time.Second, nil))
		require.NoError(t, err)
		require.Equal(t, []string{"http", "publisher", "admin"}, j.stopped())
	})
}

func TestRunStopsAllWhenOneFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var j journal
		broken := errors.New("broken")
		err := service.Run(t.Context(), nil, time.Minute, j.component("admin", 0, errors.New("no")),
			service.Component{Name: "http", Run: func(context.Context) error { return broken }}, j.component("last", 0, nil))
		require.ErrorIs(t, err, broken)
		require.EqualError(t, err, "http ended by itself: broken\nstop admin: no")
		require.Equal(t, []string{"last", "admin"}, j.stopped())
	})
}

func TestRunReportsAReturnWithoutAnError(t *testing.T) {
	t.Parallel()
	err := service.Run(t.Context(), nil, time.Minute, service.Component{Name: "http", Run: func(context.Context) error { return nil }})
	require.EqualError(t, err, "http ended by itself: no error")
}

func TestRunReportsFailedStops(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var j journal
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err := service.Run(ctx, nil, time.Minute, j.component("a", 0, errors.New("no")), j.component("b", 0, nil))
		require.EqualError(t, err, "stop a: no")
	})
}

func TestRunGivesUpAfterTheGrace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var j journal
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		began := time.Now()
		err := service.Run(ctx, nil, 5*time.Second, j.component("admin", 0, nil), j.component("stuck", time.Hour, nil))
		require.EqualError(t, err, "stuck did not stop within 5s")
		require.Equal(t, 5*time.Second, time.Since(began))
		synctest.Wait()
		require.Equal(t, []string{"admin"}, j.stopped(), "the others are told all the same")
		<-time.After(time.Hour)
	})
}

func TestReadiness(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var broker error
		r := service.NewReadiness(func() error { return nil }, func() error { return broker })
		require.NoError(t, r.Ready())
		broker = errors.New("broker down")
		require.ErrorIs(t, r.Ready(), broker)
		broker = nil

		ctx, cancel := context.WithCancel(t.Context())
		began := time.Now()
		stopped := make(chan error, 1)
		go func() { stopped <- r.Component(3 * time.Second).Run(ctx) }()
		cancel()
		synctest.Wait()
		require.ErrorIs(t, r.Ready(), service.ErrStopping, "not ready before anything else stops")
		require.NoError(t, <-stopped)
		require.Equal(t, 3*time.Second, time.Since(began))
	})
}

func TestTogetherStopsAsOne(t *testing.T) {
	t.Parallel()
	until := func(ctx context.Context) error {
		<-ctx.Done()
		return nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, service.Together(until, until)(ctx))
	broken := errors.New("broken")
	require.ErrorIs(t, service.Together(until, func(context.Context) error { return broken })(t.Context()), broken)
}
