package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/worker/internal/consumer"
	"github.com/twinlane/twinlane/worker/internal/executor"
)

func TestSizeOfAPool(t *testing.T) {
	t.Parallel()
	code, out, log := runWith(t, "", "size", "--cores", "4", "--utilisation", "0.2", "--wait", "40ms", "--service", "100ms")
	require.Zero(t, code, log)
	require.Contains(t, out, "4 × 0.2 × (1 + 40 ms ÷ 100 ms) = 1.12")
	require.Contains(t, out, "threads: 2\n")
	require.Contains(t, out, "database connections: 9\n")
	require.NotContains(t, out, "concurrency")
}

func TestSizeOfWorkers(t *testing.T) {
	t.Parallel()
	code, out, log := runWith(t, "", "size", "--rate", "400", "--task", "1s", "--max-wait", "200ms")
	require.Zero(t, code, log)
	for _, figure := range []string{
		"concurrency: 412\n", "utilisation: 97.1 %\n", "queue wait: p95 181 ms, mean 36.6 ms\n", "replicas: 1\n", "prefetch: 454\n", "connections: 3\n",
	} {
		require.Contains(t, out, figure)
	}
	require.Contains(t, out, "wait about half as long (M/D/c)")
	require.Contains(t, strings.Join(strings.Fields(out), " "), "if they arrive independently of each other; in bursts they wait longer")
	require.NotContains(t, out, "threads")

	require.NotContains(t, out, "more than asked for")
	_, out, _ = runWith(t, "", "size", "--rate", "4", "--task", "1s", "--concurrency", "10", "--per-replica", "4")
	require.Contains(t, strings.Join(strings.Fields(out), " "), "replicas: 3 Of 4 tasks at once each, at most 4. They share the queue, so that they are as one line with all places. That makes 12, more than asked for")

	code, out, _ = runWith(t, "", "size", "--rate", "400", "--task", "1s", "--concurrency", "300")
	require.Zero(t, code)
	require.Contains(t, out, "queue wait: p95 without end, mean without end")
	require.Contains(t, out, "the queue grows without end")
	require.Contains(t, out, "At 400 a second the queue grows by 100 a second.")
}

func TestSizeAsJSON(t *testing.T) {
	t.Parallel()
	sizeOf := func(args ...string) (s sized) {
		code, out, log := runWith(t, "", append([]string{"size", "--json"}, args...)...)
		require.Zero(t, code, log)
		require.NoError(t, json.Unmarshal([]byte(out), &s))
		return s
	}
	s := sizeOf("--rate", "8000", "--wait", "900ms", "--service", "100ms", "--cores", "100", "--max-wait", "0s", "--tasks", "constant")
	require.NotNil(t, s.Pool)
	require.Equal(t, 800, s.Pool.Threads)
	require.Nil(t, s.Measured)
	require.Equal(t, 10, s.Plan.Replicas, "800 cores of computing, 100 a worker at 80 %")
	require.Equal(t, s.Plan.Concurrency, s.Plan.Replicas*s.Plan.Replica.Concurrency)
	require.Equal(t, s.Plan.Wait, s.Plan.ConstWait)
	lanes := consumer.Lanes(executor.Config{Model: executor.ModelGoroutine, Concurrency: s.Plan.Replica.Concurrency}, consumer.MaxTaskTimeout)
	require.Equal(t, lanes[0].Prefetch, s.Plan.Replica.Prefetch)

	s = sizeOf("--rate", "8000", "--task", "1s", "--concurrency", "12000", "--per-replica", "5000")
	require.Equal(t, 3, s.Plan.Replicas)
	require.Equal(t, 4000, s.Plan.Replica.Concurrency)
	require.InDelta(t, 8000.0/12_000, s.Plan.Utilisation, 1e-9)
	require.Nil(t, s.Pool)

	_, out, _ := runWith(t, "", "size", "--json", "--rate", "2", "--task", "1s", "--concurrency", "1")
	require.Contains(t, out, `"at_percentile_seconds": null`)
}

// What the figures of a measurement are is tested in virtual time by package sizing.
func TestSizeMeasures(t *testing.T) {
	t.Parallel()
	args := []string{"size", "--rate", "100", "--task", "50ms", "--concurrency", "20", "--measure", "--measure-for", "1s"}
	code, out, log := runWith(t, "", args...)
	require.Zero(t, code, log)
	require.Contains(t, log, "measuring")
	require.Contains(t, out, "predicted   as it was   ideal line   measured")
	require.Contains(t, out, "\n=> ")
	code, out, log = runWith(t, "", append(args, "--json")...)
	require.Zero(t, code, log)
	var s sized
	require.NoError(t, json.Unmarshal([]byte(out), &s))
	require.Positive(t, s.Measured.Measured.Counted)
	require.NotEmpty(t, s.Measured.Verdict)

	code, _, log = runWith(t, "", "size", "--rate", "100", "--task", "50ms", "--concurrency", "5", "--measure")
	require.Equal(t, exitFailed, code)
	require.Contains(t, log, "at a utilisation of 100 % the wait has no end")
}

func TestWrongSizesAreNamed(t *testing.T) {
	t.Parallel()
	queue := []string{"--rate", "400", "--task", "1s", "--max-wait", "0.2s"}
	for name, tt := range map[string]struct {
		args []string
		want string
	}{
		"nothing":              {nil, "say what to size: --wait and --service for a pool"},
		"half a pool":          {[]string{"--wait", "1s"}, "give both of --wait and --service"},
		"half a task":          {append(queue, "--wait", "1s"), "give both of --wait and --service"},
		"more than a task":     {append(queue, "--service", "2s"), "--service: 2s is not allowed; allowed: up to 1s, which is all of --task"},
		"no rate":              {[]string{"--task", "1s"}, "--rate is missing"},
		"no task":              {[]string{"--rate", "1", "--max-wait", "1s"}, "--task is missing, or --wait and --service"},
		"no goal":              {[]string{"--rate", "1", "--task", "1s"}, "give one of --max-wait and --concurrency"},
		"two goals":            {append(queue, "--concurrency", "3"), "give one of --max-wait and --concurrency"},
		"two task times":       {append(queue, "--wait", "1s", "--service", "1s"), "--task: 1s is not allowed; allowed: 2s, which --wait and --service are together"},
		"cores":                {append(queue, "--cores", "0"), "--cores: 0 is not allowed; allowed: 1 to 1024"},
		"utilisation":          {append(queue, "--utilisation", "1.1"), "--utilisation: 1.1 is not allowed; allowed: above 0, up to 1"},
		"utilisation, no":      {append(queue, "--utilisation", "NaN"), "--utilisation: NaN is not allowed"},
		"wait":                 {[]string{"--wait=-1s", "--service", "1s"}, "--wait: -1s is not allowed; allowed: 0s to 1h0m0s"},
		"service":              {[]string{"--wait", "1s", "--service", "0s"}, "--service: 0s is not allowed; allowed: 10µs to 1h0m0s"},
		"spindles":             {append(queue, "--spindles=-1"), "--spindles: -1 is not allowed; allowed: 0 to 1024"},
		"rate":                 {[]string{"--rate", "0", "--task", "1s", "--max-wait", "1s"}, "--rate: 0 is not allowed; allowed: 0.001 to 1e+06"},
		"rate, no":             {[]string{"--rate", "NaN", "--task", "1s", "--max-wait", "1s"}, "--rate: NaN is not allowed"},
		"too much":             {[]string{"--rate", "1e6", "--task", "1h", "--max-wait", "1s"}, "--rate: 1e+06 is not allowed; allowed: up to 250 with tasks of 1h0m0s"},
		"tasks":                {append(queue, "--tasks", "long"), `--tasks: "long" is not allowed; allowed: exponential, constant`},
		"percentile":           {append(queue, "--percentile", "100"), "--percentile: 100 is not allowed; allowed: 1 to 99.99"},
		"concurrency":          {[]string{"--rate", "1", "--task", "1s", "--concurrency=-2"}, "--concurrency: -2 is not allowed; allowed: 1 to 1000000"},
		"per replica":          {append(queue, "--per-replica", "0"), "--per-replica: 0 is not allowed; allowed: 1 to 50000"},
		"measured for no time": {append(queue, "--measure-for", "0s"), "--measure-for: 0s is not allowed; allowed: 1s to 10m0s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, _, log := runWith(t, "", append([]string{"size"}, tt.args...)...)
			require.Equal(t, exitUsage, code)
			require.Contains(t, log, tt.want)
			require.True(t, strings.HasSuffix(log, "\nSee worker --help.\n"), log)
		})
	}
}
