package main

import (
	"log/slog"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/service"
	"github.com/twinlane/twinlane/internal/task"
)

// runWith runs the command line and returns the exit code and what it wrote.
func runWith(t *testing.T, stdin string, args ...string) (code int, out, log string) {
	t.Helper()
	var stdout, stderr logLines
	code = run(t.Context(), args, streams{strings.NewReader(stdin), &stdout, &stderr})
	return code, stdout.String(), stderr.String()
}

func TestHelpIsTheReference(t *testing.T) {
	t.Parallel()
	code, out, log := runWith(t, "", "serve", "--help")
	require.Zero(t, code)
	require.Empty(t, log)
	for _, variable := range []string{
		"AMQP_URL", "HTTP_ADDR", "ADMIN_ADDR", "LOG_LEVEL", "EXECUTOR", "CONCURRENCY", "POOL_CORE", "POOL_MAX",
		"POOL_KEEP_ALIVE", "POOL_QUEUE", "POOL_POLICY", "KEY_QUEUE", "OS_THREADS", "WATCHDOG_LIMIT", "WATCHDOG_INTERVAL", "SYNC_CONCURRENCY", "TASK_TIMEOUT",
		"MAX_ATTEMPTS", "DEFAULT_DURATION", "HTTP_ACTION_URL", "FAULT_INJECTION", "SHUTDOWN_GRACE", "OTEL_EXPORTER_OTLP_ENDPOINT", "TRACE_SAMPLE_RATIO",
	} {
		require.Contains(t, strings.ReplaceAll(out, "\n", " "), "($"+variable+")")
	}
	require.NotContains(t, out, "${", "a bound that is not filled in")
	require.Contains(t, strings.Join(strings.Fields(out), " "), "may take, 1ms to 9m0s. A task may have to wait for two others")
	code, out, _ = runWith(t, "", "--help")
	require.Zero(t, code)
	for _, command := range []string{"serve", "health", "dlq ls", "dlq show", "dlq replay", "dlq purge", "lab run", "lab ls", "lab docs", "size"} {
		require.Contains(t, out, "\n  "+command)
	}
}

func TestWrongSettingsAreNamed(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		args []string
		want string
	}{
		"no number":         {[]string{"--concurrency", "many"}, `--concurrency: expected a valid 64 bit int but got "many"`},
		"too few":           {[]string{"--concurrency", "0"}, `CONCURRENCY: 0 is not allowed; allowed: 1 to 50000`},
		"too many":          {[]string{"--sync-concurrency", "50001"}, `SYNC_CONCURRENCY: 50001 is not allowed; allowed: 1 to 50000`},
		"attempts":          {[]string{"--max-attempts=-1"}, `MAX_ATTEMPTS: -1 is not allowed; allowed: 1 to 100`},
		"no unit":           {[]string{"--task-timeout", "90"}, `--task-timeout: expected duration but got "90"`},
		"timeout":           {[]string{"--task-timeout", "10m"}, `TASK_TIMEOUT: 10m0s is not allowed; allowed: 1ms to 9m0s`},
		"default duration":  {[]string{"--default-duration", "61s"}, `DEFAULT_DURATION: 1m1s is not allowed; allowed: 0s to 1m0s`},
		"grace":             {[]string{"--shutdown-grace", "30s"}, `SHUTDOWN_GRACE: 30s is not allowed; allowed: 0s to 25s`},
		"collector":         {[]string{"--otel-exporter-otlp-endpoint", "collector:4317"}, `OTEL_EXPORTER_OTLP_ENDPOINT: "collector:4317" is not allowed; allowed: http://host:port`},
		"ratio":             {[]string{"--trace-sample-ratio", "2"}, `TRACE_SAMPLE_RATIO: 2 is not allowed; allowed: 0 to 1`},
		"replay's ratio":    {[]string{"dlq", "replay", "--all", "--trace-sample-ratio", "2"}, `TRACE_SAMPLE_RATIO: 2 is not allowed; allowed: 0 to 1`},
		"level":             {[]string{"--log-level", "loud"}, `LOG_LEVEL: "loud" is not allowed; allowed: debug, info, warn, error`},
		"model":             {[]string{"--executor", "threads"}, `EXECUTOR: "threads" is not allowed; allowed: goroutine, serial, pool, keyed`},
		"of another model":  {[]string{"--pool-core", "3"}, `POOL_CORE: not allowed with EXECUTOR=goroutine; allowed: with EXECUTOR=pool`},
		"key queue of none": {[]string{"--executor=pool", "--key-queue=3"}, `KEY_QUEUE: not allowed with EXECUTOR=pool; allowed: with EXECUTOR=keyed`},
		"core above max":    {[]string{"--executor=pool", "--pool-core=6", "--pool-max=5"}, `POOL_CORE: 6 is not allowed; allowed: 0 to 5`},
		"no worker":         {[]string{"--executor=pool", "--pool-max=0"}, `POOL_MAX: 0 is not allowed; allowed: 1 to 50000`},
		"pool too large":    {[]string{"--executor=pool", "--pool-max=49999", "--pool-queue=2"}, `POOL_QUEUE: 2 is not allowed; allowed: 0 to 1`},
		"nothing to drop":   {[]string{"--executor=pool", "--pool-policy=discard_oldest"}, `POOL_QUEUE: 0 is not allowed; allowed: 1 to 49000`},
		"policy":            {[]string{"--executor=pool", "--pool-policy=drop"}, `POOL_POLICY: "drop" is not allowed; allowed: abort, caller_runs, discard, discard_oldest, block`},
		"keep alive":        {[]string{"--executor=pool", "--pool-keep-alive=-1s"}, `POOL_KEEP_ALIVE: -1s is not allowed; allowed: 0s to 24h0m0s`},
		"keyed too many":    {[]string{"--executor=keyed", "--concurrency=9091"}, `CONCURRENCY with EXECUTOR=keyed: 9091 is not allowed; allowed: 1 to 9090`},
		"key queue":         {[]string{"--executor=keyed", "--key-queue=8091"}, `KEY_QUEUE: 8091 is not allowed; allowed: 0 to 8090`},
		"too many threads":  {[]string{"--os-threads", "--concurrency=8001"}, `OS_THREADS: 8001 tasks at once are not allowed with it; allowed: 1 to 8000`},
		"watchdog limit":    {[]string{"--watchdog-limit=-1s"}, `WATCHDOG_LIMIT: -1s is not allowed; allowed: 0s to 24h0m0s`},
		"watchdog interval": {[]string{"--watchdog-interval=0s"}, `WATCHDOG_INTERVAL: 0s is not allowed; allowed: 10ms to 1m0s`},
		"address":           {[]string{"--http-addr", "8090"}, `HTTP_ADDR: "8090" is not allowed; allowed: host:port`},
		"admin address":     {[]string{"--admin-addr", ""}, `ADMIN_ADDR: "" is not allowed; allowed: host:port`},
		"broker":            {[]string{"--amqp-url", "http://u:secret@h"}, `AMQP_URL: broker address 1 is not of the form`},
		"action":            {[]string{"--http-action-url", "ftp://u:secret@h/"}, `HTTP_ACTION_URL: its value is not allowed; allowed: http://host:port`},
		"unknown flag":      {[]string{"--colour", "red"}, `unknown flag --colour`},
		"health":            {[]string{"health", "--admin-addr", "8091"}, `ADMIN_ADDR: "8091" is not allowed; allowed: host:port`},
		"dlq broker":        {[]string{"dlq", "ls", "--amqp-url", "http://u:secret@h"}, `AMQP_URL: broker address 1 is not of the form`},
		"replay everything": {[]string{"dlq", "replay"}, `say which letters to replay: --id, --reason, --since, --max or --all`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, _, log := runWith(t, "", tt.args...)
			require.Equal(t, exitUsage, code)
			require.Contains(t, log, tt.want)
			require.NotContains(t, log, "secret")
			require.True(t, strings.HasSuffix(log, "\nSee worker --help.\n"), log)
			require.Equal(t, 2, strings.Count(log, "\n"))
		})
	}
}

func TestAllWrongSettingsAreNamedAtOnce(t *testing.T) {
	t.Parallel()
	code, _, log := runWith(t, "", "--log-level", "loud", "--concurrency=0", "--amqp-url=")
	require.Equal(t, exitUsage, code)
	for _, name := range []string{"LOG_LEVEL", "CONCURRENCY", "AMQP_URL"} {
		require.Contains(t, log, name)
	}
}

// TestWrongFlagsOfTheDLQAreNamed holds, for every command that has the flag,
// what a wrong value is answered with. None of them reaches a broker.
func TestWrongFlagsOfTheDLQAreNamed(t *testing.T) {
	t.Parallel()
	commands := map[string][]string{
		"ls": {"ls"}, "show": {"show", "t-1"}, "replay": {"replay", "--all"}, "purge": {"purge"},
	}
	const wantReason = `--reason: "typo" is not allowed; allowed: permanent, exhausted, panic, undecodable, delivery_limit, unknown`
	tests := []struct {
		flag, want string
		of         []string
	}{
		{"--scan=-1", "--scan: -1 is not allowed; allowed: 1 or more", []string{"ls", "show", "replay", "purge"}},
		{"--scan=0", "--scan: 0 is not allowed; allowed: 1 or more", []string{"ls", "show", "replay", "purge"}},
		{"--since=-1h", "--since: -1h0m0s is not allowed; allowed: 0s or more", []string{"ls", "replay", "purge"}},
		{"--reason=typo", wantReason, []string{"ls", "replay", "purge"}},
		{"--max=-3", "--max: -3 is not allowed; allowed: 0 or more", []string{"ls", "replay"}},
		{"--rate=-5", "--rate: -5 is not allowed; allowed: 0 or more", []string{"replay"}},
		{"--rate=NaN", "--rate: NaN is not allowed; allowed: 0 or more", []string{"replay"}},
		{"--count=-1", "--count: -1 is not allowed; allowed: 0 or more", []string{"purge"}},
	}
	for _, tt := range tests {
		for _, command := range tt.of {
			t.Run(command+" "+tt.flag, func(t *testing.T) {
				t.Parallel()
				code, out, log := runWith(t, "", append(append([]string{"dlq"}, commands[command]...), tt.flag)...)
				require.Equal(t, exitUsage, code)
				require.Empty(t, out)
				require.Contains(t, log, tt.want)
			})
		}
	}
	code, _, log := runWith(t, "", "dlq", "replay", "--since=-1h")
	require.Equal(t, exitUsage, code, "without --all as well")
	require.Contains(t, log, "--since")
}

func TestAWorkerThatMayHoldMoreThanItHasSaysSo(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		limit int64
		want  string
	}{
		"no limit": {math.MaxInt64, ""},
		"enough":   {1100 * task.MaxMessageBytes, ""},
		"too low":  {110 * task.MaxMessageBytes, `"tasks_that_fit":70}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log logLines
			warnOfMemory(service.NewLogger(&log, slog.LevelInfo), tt.limit, 1100)
			require.Equal(t, tt.want == "", log.String() == "")
			require.Contains(t, log.String(), tt.want)
		})
	}
}

func TestATakenPortIsNamed(t *testing.T) {
	t.Parallel()
	to := newTarget(t)
	code, _, log := runWith(t, "", "--admin-addr", to.Listener.Addr().String())
	require.Equal(t, exitFailed, code)
	require.Contains(t, log, "ADMIN_ADDR: listen on "+to.Listener.Addr().String())
}
