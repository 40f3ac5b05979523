package executor

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
)

// report is a log line of a watchdog.
type report struct {
	Loop    string `json:"loop"`
	Blocked string `json:"blocked"`
	Stack   string `json:"stack"`
}

func reports(t *testing.T, log string) []report {
	t.Helper()
	var all []report
	for line := range strings.Lines(log) {
		var r report
		require.NoError(t, json.Unmarshal([]byte(line), &r))
		all = append(all, r)
	}
	return all
}

// blockHere is what a stack has to show.
func blockHere(d time.Duration) { sleep(d) }

// TestWatchdog has one loop block for seven seconds, another one do a lot that
// takes no time, and a third block twice.
func TestWatchdog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		w := NewWatchdog(WatchdogConfig{}, prometheus.NewRegistry(), slog.New(slog.NewJSONHandler(&log, nil)))
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- w.Run(ctx) }()
		sleep(time.Second / 2) // so that no check is at the moment of a limit

		busy := func(name string, durations ...time.Duration) {
			l := w.Loop(name)
			defer l.Close()
			for _, d := range durations {
				l.Begin()
				blockHere(d)
				l.End()
			}
		}
		go busy("blocked", 7*time.Second)
		go busy("busy", time.Second, time.Second, 1900*time.Millisecond, time.Second)
		sleep(6 * time.Second)
		require.InDelta(t, 1, testutil.ToFloat64(w.blocked), 0)
		sleep(2 * time.Second)
		require.InDelta(t, 0, testutil.ToFloat64(w.blocked), 0)
		blocked := reports(t, log.String())
		log.Reset()
		require.Len(t, blocked, 5, "after 2.5 s, and each second")
		for i, r := range blocked {
			require.Equal(t, "blocked", r.Loop)
			require.Equal(t, (2*time.Second + 500*time.Millisecond + time.Duration(i)*time.Second).String(), r.Blocked)
			if i == 1 || i == 3 {
				require.Contains(t, r.Stack, "executor.blockHere", "the stack of that loop")
				require.NotContains(t, r.Stack, "\n\n", "and no other")
			} else {
				require.Empty(t, r.Stack)
			}
		}

		busy("twice", 3*time.Second, 3*time.Second)
		twice := reports(t, log.String())
		require.Len(t, twice, 2)
		require.Empty(t, twice[1].Stack, "it is another block")
		require.InDelta(t, 7, testutil.ToFloat64(w.reports), 0)
		require.Empty(t, w.loops)
		stop()
		require.NoError(t, <-done)
	})
}

func TestALoopThatNobodyWatches(t *testing.T) {
	t.Parallel()
	var l *Loop
	require.NotPanics(t, func() {
		l.Begin()
		l.End()
		l.Close()
	})
}

func TestWatchdogMetricsAreWellNamed(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	NewWatchdog(WatchdogConfig{}, reg, nil)
	problems, err := testutil.GatherAndLint(reg)
	require.NoError(t, err)
	require.Empty(t, problems)
}
