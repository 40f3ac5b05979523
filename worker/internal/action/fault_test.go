package action

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/task"
)

func TestInjectedFailures(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		fail    task.Fail
		attempt int
		want    Outcome
		message string
	}{
		"transient, first of one":  {task.Fail{Kind: task.FailTransient, Count: 1}, 1, OutcomeTransient, "injected transient failure of attempt 1"},
		"transient, second of one": {task.Fail{Kind: task.FailTransient, Count: 1}, 2, OutcomeCompleted, ""},
		"transient, second of two": {task.Fail{Kind: task.FailTransient, Count: 2}, 2, OutcomeTransient, "injected transient failure of attempt 2"},
		"transient, always":        {task.Fail{Kind: task.FailTransient}, 999, OutcomeTransient, "injected transient failure of attempt 999"},
		"permanent":                {task.Fail{Kind: task.FailPermanent}, 1, OutcomePermanent, "injected permanent failure"},
		"panic":                    {task.Fail{Kind: task.FailPanic}, 1, OutcomePanic, "panic: injected panic"},
		"hang":                     {task.Fail{Kind: task.FailHang}, 1, OutcomeTimeout, "no result within 5s: context deadline exceeded"},
		"unknown":                  {task.Fail{Kind: "sulk"}, 1, OutcomePermanent, `failure "sulk" is not known to this worker`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRunner(t, nil)
				tsk := newTask(task.ActionDelay, 0)
				tsk.Attempt, tsk.Fail = tt.attempt, &tt.fail
				res, err := r.Run(t.Context(), LaneAsync, tsk)
				require.Equal(t, tt.want, OutcomeOf(err))
				require.Equal(t, tt.attempt, res.Attempt)
				if err != nil {
					require.EqualError(t, err, tt.message)
				}
			})
		})
	}
}

func TestAPanicCarriesItsStack(t *testing.T) {
	t.Parallel()
	r := newRunner(t, nil)
	tsk := newTask(task.ActionDelay, 0)
	tsk.Fail = &task.Fail{Kind: task.FailPanic}
	_, err := r.Run(t.Context(), LaneAsync, tsk)
	failure, ok := errors.AsType[*Error](err)
	require.True(t, ok)
	require.Contains(t, failure.Stack, "fault.go")
	require.Equal(t, 1, value(r.metrics.panics))
}

func TestInjectedExitEndsTheProcess(t *testing.T) {
	t.Parallel()
	var codes []int
	r := newRunner(t, func(c *Config) { c.Exit = func(code int) { codes = append(codes, code) } })
	tsk := newTask(task.ActionDelay, 0)
	tsk.Fail = &task.Fail{Kind: task.FailExit}
	_, err := r.Run(t.Context(), LaneAsync, tsk)
	require.Error(t, err)
	require.Equal(t, []int{exitCode}, codes)
}

func TestNoFailureWhereFaultInjectionIsOff(t *testing.T) {
	t.Parallel()
	for _, kind := range task.FailKinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			r := newRunner(t, func(c *Config) { c.FaultInjection = false })
			tsk := newTask(task.ActionDelay, 0)
			tsk.Fail = &task.Fail{Kind: kind}
			_, err := r.Run(t.Context(), LaneAsync, tsk)
			require.Equal(t, OutcomePermanent, OutcomeOf(err))
			require.ErrorContains(t, err, "fault injection is off (FAULT_INJECTION)")
		})
	}
}
