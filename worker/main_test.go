package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
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
		"AMQP_URL", "HTTP_ADDR", "ADMIN_ADDR", "LOG_LEVEL", "EXECUTOR", "CONCURRENCY", "SYNC_CONCURRENCY", "TASK_TIMEOUT",
		"MAX_ATTEMPTS", "DEFAULT_DURATION", "HTTP_ACTION_URL", "FAULT_INJECTION", "SHUTDOWN_GRACE",
	} {
		require.Contains(t, strings.ReplaceAll(out, "\n", " "), "($"+variable+")")
	}
	code, out, _ = runWith(t, "", "--help")
	require.Zero(t, code)
	for _, command := range []string{"serve", "health", "dlq ls", "dlq show", "dlq replay", "dlq purge"} {
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
		"too few":           {[]string{"--concurrency", "0"}, `CONCURRENCY: "0" is not allowed; allowed: 1 to 50000`},
		"too many":          {[]string{"--sync-concurrency", "50001"}, `SYNC_CONCURRENCY: "50001" is not allowed; allowed: 1 to 50000`},
		"attempts":          {[]string{"--max-attempts=-1"}, `MAX_ATTEMPTS: "-1" is not allowed; allowed: 1 to 100`},
		"no unit":           {[]string{"--task-timeout", "90"}, `--task-timeout: expected duration but got "90"`},
		"timeout":           {[]string{"--task-timeout", "31m"}, `TASK_TIMEOUT: "31m0s" is not allowed; allowed: 1ms to 20m0s`},
		"default duration":  {[]string{"--default-duration", "61s"}, `DEFAULT_DURATION: "1m1s" is not allowed; allowed: 0s to 1m0s`},
		"grace":             {[]string{"--shutdown-grace", "30s"}, `SHUTDOWN_GRACE: "30s" is not allowed; allowed: 0s to 25s`},
		"level":             {[]string{"--log-level", "loud"}, `LOG_LEVEL: "loud" is not allowed; allowed: debug, info, warn, error`},
		"model":             {[]string{"--executor", "threads"}, `EXECUTOR: "threads" is not allowed; allowed: goroutine, serial`},
		"address":           {[]string{"--http-addr", "8090"}, `HTTP_ADDR: "8090" is not allowed; allowed: host:port`},
		"admin address":     {[]string{"--admin-addr", ""}, `ADMIN_ADDR: "" is not allowed; allowed: host:port`},
		"broker":            {[]string{"--amqp-url", "http://u:secret@h"}, `AMQP_URL: broker address 1 is not of the form`},
		"action":            {[]string{"--http-action-url", "ftp://u:secret@h/"}, `HTTP_ACTION_URL: the value is not allowed; allowed: http://host/path`},
		"unknown flag":      {[]string{"--colour", "red"}, `unknown flag --colour`},
		"replay everything": {[]string{"dlq", "replay"}, `say which letters to replay: --id, --reason, --since, --max or --all`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, _, log := runWith(t, "", tt.args...)
			require.Equal(t, 2, code)
			require.Contains(t, log, tt.want)
			require.NotContains(t, log, "secret")
			require.Equal(t, 1, strings.Count(log, "\n"))
		})
	}
}

func TestATakenPortIsNamed(t *testing.T) {
	t.Parallel()
	to := newTarget(t)
	code, _, log := runWith(t, "", "--admin-addr", to.Listener.Addr().String())
	require.Equal(t, 1, code)
	require.Contains(t, log, "ADMIN_ADDR: listen on "+to.Listener.Addr().String())
}
