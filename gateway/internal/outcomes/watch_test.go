package outcomes

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func (b following) requireLogged(level string, want int) {
	b.Helper()
	synctest.Wait()
	require.Equal(b, want, strings.Count(b.log.String(), `"level":"`+level+`"`), "%s", b.log)
}

// TestAStreamThatCannotBeRead holds that a gateway becomes ready without the
// past, and says so of what it does not know.
func TestAStreamThatCannotBeRead(t *testing.T) {
	t.Parallel()
	follow(t, func(b following) {
		b.set(func() { b.hang = true })
		for range 5 { // reading begins, and ends before anything comes
			b.subscribe()
			sleep((standstill - sweepEvery) / 5)
			b.lost()
		}
		require.Error(b, b.follower.Ready())
		b.requireLogged("ERROR", 0)
		sleep(2 * sweepEvery)
		require.NoError(b, b.follower.Ready())
		require.Error(b, b.follower.Known())
		b.requireCaughtUp(false)
		b.requireState("a", Behind)
		sleep(time.Hour)
		b.requireLogged("ERROR", 1)

		b.set(func() { b.hang = false })
		b.subscribe()
		b.requireCaughtUp(true)
		require.NoError(b, b.follower.Known())
		b.requireState("a", Accepted)
	})
}

// TestALongReplay holds that a gateway waits for as long as something comes.
func TestALongReplay(t *testing.T) {
	t.Parallel()
	follow(t, func(b following) {
		b.set(func() { b.hang = true })
		b.subscribe()
		for range 20 {
			sleep(standstill - 2*sweepEvery)
			require.Error(b, b.follower.Ready())
			b.set(func() { b.read(resultMessage(b, done("a", "", time.Now()))) })
		}
		sleep(standstill + 2*sweepEvery)
		require.NoError(b, b.follower.Ready())
		require.Error(b, b.follower.Known())
		b.requireLogged("ERROR", 1)
	})
}

// TestAStreamThatTakesNothingMore holds that the index is behind when its own
// markers do not come back, however much else does, until one comes again.
func TestAStreamThatTakesNothingMore(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(*broker){
		"not confirmed":       func(b *broker) { b.err = errors.New("unroutable") },
		"confirmed, not read": func(b *broker) { b.lose = true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			follow(t, func(b following) {
				b.subscribe()
				b.requireCaughtUp(true)
				sleep(3*markEvery + sweepEvery) // the last marker was read a moment ago
				b.set(func() { fail(b.broker) })
				end := time.Now().Add(markerPatience)
				for time.Until(end) > 2*sweepEvery {
					b.requireCaughtUp(true)
					b.set(func() { b.read(resultMessage(b, done("a", "", time.Now()))) })
					sleep(sweepEvery)
				}
				b.requireLogged("WARN", 0)
				sleep(4 * sweepEvery)
				b.requireCaughtUp(false)
				b.requireState("x", Behind)
				b.requireState("a", Known)
				require.NoError(b, b.follower.Ready())
				b.requireLogged("WARN", 1)

				b.set(func() { b.err, b.lose = nil, false })
				sleep(markEvery)
				b.requireCaughtUp(true)
				b.requireState("x", Accepted)
				b.requireRestarts(0)
			})
		})
	}
}

// TestAStreamMadeAnew holds that a follower that starts after its
// stream was made anew says of no older task that it is unfinished.
func TestAStreamMadeAnew(t *testing.T) {
	t.Parallel()
	follow(t, func(b following) {
		before := time.Now()
		sleep(10 * time.Second)
		b.subscribe()
		b.requireCaughtUp(true)
		_, state := b.follower.index.Lookup("finished in the old stream", before)
		require.Equal(b, Gone, state)
		b.requireState("new", Accepted)
	})
}
