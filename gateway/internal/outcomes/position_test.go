package outcomes

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/task"
)

// TestWhatMayBeLost holds that no task is taken for unfinished that is older
// than the first message after some may have been lost: where reading begins,
// and wherever it goes on at another place.
func TestWhatMayBeLost(t *testing.T) {
	t.Parallel()
	first := time.Now().Add(-10 * time.Minute).Truncate(time.Second)
	at := func(n int) time.Time { return first.Add(time.Duration(n) * time.Minute) }
	for name, tc := range map[string]struct {
		offsets []int64
		undated []int // which of the messages do not say when they were written
		want    int   // which of them says what may be lost
	}{
		"from the first":        {[]int64{0, 1, 2}, nil, 0},
		"not from the first":    {[]int64{4711, 4712}, nil, 0},
		"the broker's own":      {[]int64{0, 1, 3, 5}, nil, 0},
		"lost meanwhile":        {[]int64{0, 1, 1000, 1001}, nil, 2},
		"begun anew, as long":   {[]int64{0, 1, 2, 0, 1, 2}, nil, 3},
		"begun anew, shorter":   {[]int64{0, 1, 2, 0}, nil, 3},
		"of the same place":     {[]int64{0, 0}, nil, 1},
		"a death at first":      {[]int64{0, 1, 2}, []int{0}, 1},
		"a death after the gap": {[]int64{0, 1, 1000, 1001}, []int{2}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStream(t, Config{})
			for n, offset := range tc.offsets {
				m := resultMessage(t, done("a", "", at(n)))
				if slices.Contains(tc.undated, n) {
					m.Headers = map[string]any{task.HeaderFirstDeathReason: "delivery_limit"}
				}
				m.Offset = offset
				s.Read(m)
			}
			s.setCaughtUp(true)
			_, state := s.Lookup("x", at(tc.want).Add(-time.Millisecond))
			require.Equal(t, Gone, state)
			_, state = s.Lookup("x", at(tc.want))
			require.Equal(t, Accepted, state)
		})
	}
}

// TestAFreshStream holds that no task is taken for gone that is accepted after
// the first marker, and be it in the same second, or the same millisecond.
func TestAFreshStream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for range 3 {
			s := newStream(t, Config{})
			s.write(rabbitmq.StreamMessage{Type: task.MessageTypeMarker, Timestamp: time.Now().Truncate(time.Second)})
			s.setCaughtUp(true)
			s.requireState(idAt(time.Now(), 1), Accepted)
			sleep(999 * time.Millisecond)
			s.requireState(idAt(time.Now(), 2), Accepted)
		}
	})
}
