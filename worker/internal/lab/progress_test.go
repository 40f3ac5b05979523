package lab

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTheBarFollowsTheClockWithinACase(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		bar := NewBar(&out)
		cases := example().Cases(Tiny) // two of a minute
		at := func(passed time.Duration) string {
			out.Reset()
			time.Sleep(passed) //nolint:forbidigo // The clock of the bubble.
			synctest.Wait()
			lines := strings.Split(out.String(), "\r")
			return lines[len(lines)-1]
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
