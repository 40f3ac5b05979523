package action

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/twinlane/twinlane/internal/task"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sleep passes virtual time.
func sleep(d time.Duration) { time.Sleep(d) } //nolint:forbidigo // Called in synctest bubbles only.

// value reads a counter or a gauge.
func value(c prometheus.Collector) int { return int(testutil.ToFloat64(c)) }

const timeout = 5 * time.Second

func newRunner(t *testing.T, change func(*Config)) *Runner {
	t.Helper()
	cfg := Config{
		DefaultDuration: time.Second,
		Timeout:         timeout,
		FaultInjection:  true,
		Exit:            func(int) { t.Error("the process was told to exit") },
	}
	if change != nil {
		change(&cfg)
	}
	r := NewRunner(cfg, prometheus.NewRegistry(), nil)
	t.Cleanup(r.Close)
	return r
}

func newTask(a task.Action, d time.Duration) Task {
	ms := int(d.Milliseconds())
	return Task{
		Headers: task.Headers{Attempt: 1},
		Message: task.Message{
			ID:         "t-1",
			AcceptedAt: time.Now().Add(-250 * time.Millisecond),
			Request:    task.Request{Action: a, DurationMS: &ms, Run: "r-1"},
		},
	}
}

func TestDelayTakesItsDuration(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRunner(t, nil)
		res, err := r.Run(t.Context(), LaneAsync, newTask(task.ActionDelay, 3*time.Second))
		require.NoError(t, err)
		require.Equal(t, task.StatusCompleted, res.Status)
		require.Equal(t, "t-1", res.ID)
		require.Equal(t, "r-1", res.Run)
		require.Equal(t, 1, res.Attempt)
		require.Equal(t, 250*time.Millisecond, res.QueueWait())
		require.Equal(t, 3*time.Second, res.ServiceTime())
		require.Equal(t, 3250*time.Millisecond, res.EndToEnd())
	})
}

func TestDefaultDuration(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRunner(t, nil)
		tsk := newTask(task.ActionDelay, 0)
		tsk.DurationMS = nil
		res, err := r.Run(t.Context(), LaneSync, tsk)
		require.NoError(t, err)
		require.Equal(t, time.Second, res.ServiceTime())
	})
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	hang := newTask(task.ActionDelay, 0)
	hang.Fail = &task.Fail{Kind: task.FailHang}
	for name, tsk := range map[string]Task{"long": newTask(task.ActionDelay, time.Minute), "hang": hang} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRunner(t, nil)
				res, err := r.Run(t.Context(), LaneAsync, tsk)
				require.Equal(t, OutcomeTimeout, OutcomeOf(err))
				require.EqualError(t, err, "no result within 5s: context deadline exceeded")
				require.Equal(t, timeout, res.ServiceTime())
				require.Empty(t, res.Status)
			})
		})
	}
}

func TestACallerThatGivesUpInterrupts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRunner(t, nil)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		res, err := r.Run(ctx, LaneAsync, newTask(task.ActionDelay, time.Minute))
		require.Equal(t, OutcomeInterrupted, OutcomeOf(err))
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, time.Second, res.ServiceTime())
	})
}

func TestATaskThatIgnoresItsDeadlineIsSeen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRunner(t, nil)
		var logged bytes.Buffer
		r.logger = slog.New(slog.NewJSONHandler(&logged, nil))
		var wg sync.WaitGroup
		wg.Go(func() {
			done := r.watch("t-1")
			defer done()
			sleep(time.Minute)
		})
		sleep(timeout + overdueAfter - time.Millisecond)
		require.Zero(t, value(r.metrics.overdue))
		sleep(2 * time.Millisecond)
		synctest.Wait()
		require.Equal(t, 1, value(r.metrics.overdue))
		wg.Wait()
		require.Zero(t, value(r.metrics.overdue))
		require.Equal(t, 1, value(r.metrics.overruns))
		require.Contains(t, logged.String(), `"task_id":"t-1"`)
	})
}

func TestBlockHoldsItsThreadUntilTheContextEnds(t *testing.T) {
	t.Parallel()
	r := newRunner(t, nil)
	res, err := r.Run(t.Context(), LaneSync, newTask(task.ActionBlock, 30*time.Millisecond))
	require.NoError(t, err)
	require.GreaterOrEqual(t, res.ServiceTime(), 30*time.Millisecond)

	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	res, err = r.Run(ctx, LaneSync, newTask(task.ActionBlock, time.Minute))
	require.Equal(t, OutcomeInterrupted, OutcomeOf(err))
	require.Less(t, res.ServiceTime(), 10*time.Second)
}

func TestBlockWaitsForAThread(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRunner(t, nil)
		r.threads = make(chan struct{}, 1)
		r.threads <- struct{}{}
		_, err := r.Run(t.Context(), LaneAsync, newTask(task.ActionBlock, time.Second))
		require.Equal(t, OutcomeTimeout, OutcomeOf(err))
	})
}

func TestCPUBurnsCPUTimeAndShowsItsWork(t *testing.T) {
	t.Parallel()
	r := newRunner(t, nil)
	res, err := r.Run(t.Context(), LaneAsync, newTask(task.ActionCPU, 20*time.Millisecond))
	require.NoError(t, err)
	require.GreaterOrEqual(t, res.ServiceTime(), 19*time.Millisecond, "CPU time is never longer than the time that passes")

	var out computed
	require.NoError(t, json.Unmarshal(res.Output, &out))
	require.Positive(t, out.Hashes)
	var link [sha256.Size]byte
	for range out.Hashes {
		link = sha256.Sum256(link[:])
	}
	require.Equal(t, hex.EncodeToString(link[:]), out.Digest)

	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	res, err = r.Run(ctx, LaneAsync, newTask(task.ActionCPU, time.Minute))
	require.Equal(t, OutcomeInterrupted, OutcomeOf(err))
	require.Less(t, res.ServiceTime(), 10*time.Second)
}

func TestUnknownActionIsPermanent(t *testing.T) {
	t.Parallel()
	r := newRunner(t, nil)
	_, err := r.Run(t.Context(), LaneAsync, newTask("dance", 0))
	require.Equal(t, OutcomePermanent, OutcomeOf(err))
	require.EqualError(t, err, `action "dance" is not known to this worker`)
}

func TestEveryRunIsCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRunner(t, nil)
		_, err := r.Run(t.Context(), LaneAsync, newTask(task.ActionDelay, 0))
		require.NoError(t, err)
		failing := newTask(task.ActionDelay, 0)
		failing.Fail = &task.Fail{Kind: task.FailPermanent}
		_, err = r.Run(t.Context(), LaneSync, failing)
		require.Error(t, err)

		require.Equal(t, 1, value(r.metrics.lanes[LaneAsync].outcomes[OutcomeCompleted]))
		require.Equal(t, 1, value(r.metrics.lanes[LaneSync].outcomes[OutcomePermanent]))
		require.Zero(t, value(r.metrics.lanes[LaneSync].inFlight))
	})
}

func TestMetricsAreWellNamedAndInitialised(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	newMetrics(reg)
	problems, err := testutil.GatherAndLint(reg)
	require.NoError(t, err)
	require.Empty(t, problems)
	count, err := testutil.GatherAndCount(reg, "tasks_total")
	require.NoError(t, err)
	require.Equal(t, len(Lanes())*len(Outcomes()), count)
}

func TestOutputsFitIntoAResult(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ body, want string }{
		"none":      {"", ""},
		"JSON":      {`{"a":1}`, `{"a":1}`},
		"text":      {"done", `"done"`},
		"not UTF-8": {"a\xffb", "\"a\uFFFDb\""},
		"long":      {strings.Repeat("x", task.MaxOutputBytes+1), `{"truncated":true,"beginning":"` + strings.Repeat("x", shownBytes) + `"}`},
		"long once quoted": {
			strings.Repeat("\x01", task.MaxOutputBytes),
			`{"truncated":true,"beginning":"` + strings.Repeat(`\u0001`, shownBytes) + `"}`,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := outputOf([]byte(tt.body))
			require.NoError(t, err)
			require.Equal(t, tt.want, string(got))
			require.LessOrEqual(t, len(got), task.MaxOutputBytes)
		})
	}
}
