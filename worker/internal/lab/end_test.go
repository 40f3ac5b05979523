package lab

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// Each experiment ends soon after its context, with nothing left running: a
// bubble with a goroutine left would fail.
func TestExperimentsEndWithTheirContext(t *testing.T) {
	t.Parallel()
	for _, e := range []Experiment{eventloop(), pools(), starvation(), ordering(), overload()} {
		size := Full
		if e.Name == "pools" {
			size = Tiny // computes less
		}
		for i, c := range e.Cases(size) {
			if e.Name == "pools" && c.Name != ioDefault && c.Name != policyNamed+"block" {
				continue // takes no virtual time to speak of
			}
			t.Run(e.Name+": "+c.Name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					ctx, cancel := context.WithTimeout(t.Context(), c.Takes/3)
					defer cancel()
					start := time.Now()
					only := e
					only.Cases = func(s Size) []Case { return e.Cases(s)[i : i+1] }
					_, err := Run(ctx, only, Options{Size: size})
					require.ErrorIs(t, err, context.DeadlineExceeded)
					require.LessOrEqual(t, time.Since(start), c.Takes/3+time.Second)
				})
			})
		}
	}
}
