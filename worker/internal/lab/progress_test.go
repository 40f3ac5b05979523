package lab

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// screen remembers the last line that was drawn on it.
type screen struct {
	mu   sync.Mutex
	line string
}

// Write implements io.Writer.
func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if text := strings.Trim(string(p), "\r"); strings.TrimSpace(text) != "" {
		s.line = text
	}
	return len(p), nil
}

func (s *screen) last() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.line
}

func TestTheBarFollowsTheClockWithinACase(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out screen
		bar := NewBar(&out)
		cases := example().Cases(Tiny) // two of a minute
		at := func(passed time.Duration) string {
			time.Sleep(passed) //nolint:forbidigo // The clock of the bubble.
			synctest.Wait()
			return out.last()
		}
		bar.Begin(example(), cases)
		bar.Case(0)
		require.Contains(t, at(30*time.Second), " 25% ")
		require.Contains(t, at(2*time.Minute), " 50% ", "it waits for a case that takes longer")
		bar.Case(1)
		line := at(30 * time.Second)
		require.Contains(t, line, " 75% ")
		require.Contains(t, line, "example: a hundred hens, about 30s to go")
		require.Contains(t, at(2*time.Minute), " 99% ")
		bar.End()
	})
}

func TestLinesAreOneForEachCase(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	_, err := Run(t.Context(), example(), Options{Watcher: NewLines(&out)})
	require.NoError(t, err)
	require.Equal(t, "example: case 1 of 2, one hen; about 2m0s to go\nexample: case 2 of 2, a hundred hens; about 1m0s to go\n", out.String())
}
