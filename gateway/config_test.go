package main

import (
	"bytes"
	"io"
	"log/slog"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/gateway/internal/httpapi"
	"github.com/twinlane/twinlane/gateway/internal/outcomes"
	"github.com/twinlane/twinlane/internal/rabbitmq"
)

func TestDefaults(t *testing.T) {
	t.Parallel()
	cfg, _, err := parseConfig(nil, io.Discard)
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1:8080", cfg.HTTPAddr)
	require.Equal(t, "127.0.0.1:8081", cfg.AdminAddr)
	require.Equal(t, "http://127.0.0.1:8090", cfg.worker(nil).URL.String())
	require.Equal(t, []string{"amqp://twinlane:twinlane@127.0.0.1:5672/"}, cfg.connection("test").URLs)
	require.Equal(t, slog.LevelInfo, cfg.level())
	require.False(t, cfg.FaultInjection)
	require.Less(t, cfg.stopTime(), 40*time.Second, "what a container gets to stop")

	require.Equal(t, outcomes.Config{MaxTasks: 500_000, MaxBytes: 128 << 20}, cfg.outcomes())
	keys, err := cfg.signingKeys()
	require.NoError(t, err)
	require.Empty(t, keys)
	require.Equal(t, httpapi.DefaultMaxInFlight, cfg.AsyncMaxInFlight)
	require.Equal(t, httpapi.DefaultMaxInFlight, cfg.WaitMaxInFlight)

	require.Equal(t, rabbitmq.PublisherConfig{
		Strategy: rabbitmq.StrategyPooled, Connections: 1, Channels: 4, MaxInFlight: 1024,
		AcquireWait: 100 * time.Millisecond, ConfirmTimeout: 5 * time.Second,
	}, cfg.publisher(nil))
}

func TestEnvironment(t *testing.T) {
	t.Setenv("SYNC_TIMEOUT", "30s")
	t.Setenv("FAULT_INJECTION", "true")
	t.Setenv("LOG_LEVEL", "debug")
	t.Setenv("AMQP_URL", "amqp://a:b@one/, amqp://a:b@two/")
	t.Setenv("PUBLISH_CHANNELS", "9")
	cfg, command, err := parseConfig([]string{"--publish-channels=7", "health"}, io.Discard)
	require.NoError(t, err)
	require.Equal(t, commandHealth, command)
	require.Equal(t, 30*time.Second, cfg.worker(nil).Timeout)
	require.True(t, cfg.FaultInjection)
	require.Equal(t, slog.LevelDebug, cfg.level())
	require.Equal(t, []string{"amqp://a:b@one/", "amqp://a:b@two/"}, cfg.connection("test").URLs)
	require.Equal(t, 7, cfg.publisher(nil).Channels, "the flag wins")
}

func TestLinks(t *testing.T) {
	t.Parallel()
	cfg, _, err := parseConfig([]string{"--links=Grafana=:3000, Traces=https://traces.example/trace/TRACE_ID?a=b"}, io.Discard)
	require.NoError(t, err)
	links := cfg.api().Links
	require.Len(t, links, 2)
	require.Equal(t, "Grafana", links[0].Name)
	require.Equal(t, "http://:3000", links[0].URL.String(), "on the host of the page")
	require.Equal(t, "https://traces.example/trace/TRACE_ID?a=b", links[1].URL.String())
}

// TestNoAnswerIsCutOff holds that the server allows for the longest answer of
// each lane.
func TestNoAnswerIsCutOff(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{nil, {"--sync-timeout=100ms"}, {"--sync-timeout=10m"}, {"--publish-confirm-timeout=1m"}} {
		cfg, _, err := parseConfig(args, io.Discard)
		require.NoError(t, err)
		const body = 15 * time.Second // what a client has to send one
		require.Greater(t, cfg.writeTimeout(), body+cfg.SyncTimeout)
		require.Greater(t, cfg.writeTimeout(), body+2*(cfg.PublishAcquireWait+cfg.PublishConfirmTimeout)+httpapi.MaxWait)
	}
}

func TestSigningKeys(t *testing.T) {
	t.Parallel()
	cfg, _, err := parseConfig([]string{"--signing-keys=0123456789abcdef, 0123456789abcdefg"}, io.Discard)
	require.NoError(t, err)
	keys, err := cfg.signingKeys()
	require.NoError(t, err)
	require.Equal(t, [][]byte{[]byte("0123456789abcdef"), []byte("0123456789abcdefg")}, keys)
}

// TestRefusedValues holds that an error names the variable, its value and what
// is allowed, for every variable that can be wrong.
func TestRefusedValues(t *testing.T) {
	for _, tc := range []struct{ name, value, want string }{
		{"HTTP_ADDR", "8080", `HTTP_ADDR: "8080" is not allowed; allowed: host:port`},
		{"ADMIN_ADDR", "", `ADMIN_ADDR: "" is not allowed; allowed: host:port`},
		{"WORKER_URL", "worker:8090", `WORKER_URL: "worker:8090" is not allowed; allowed: http://host:port`},
		{"WORKER_URL", "http://u:secret@worker", `WORKER_URL: a user, a query or a fragment is not allowed; allowed: http://host:port`},
		{"WORKER_URL", "http://worker/?a=b", `WORKER_URL: a user, a query or a fragment is not allowed; allowed: http://host:port`},
		{"WORKER_URL", "http://worker/#a", `WORKER_URL: a user, a query or a fragment is not allowed; allowed: http://host:port`},
		{"WORKER_URL", ":::", `WORKER_URL: ":::" is not allowed; allowed: http://host:port`},
		{"WORKER_URL", "http://u:secret%zz@worker", `WORKER_URL: its value is not allowed; allowed: http://host:port`},
		{"SYNC_MAX_IN_FLIGHT", "0", `SYNC_MAX_IN_FLIGHT: 0 is not allowed; allowed: 1 to 65536`},
		{"SYNC_MAX_IN_FLIGHT", "many", `expected a valid 64 bit int but got "many" (from envar SYNC_MAX_IN_FLIGHT="many")`},
		{"SYNC_TIMEOUT", "1h", `SYNC_TIMEOUT: 1h0m0s is not allowed; allowed: 100ms to 10m0s`},
		{"SYNC_TIMEOUT", "65", `expected duration but got "65": time: missing unit in duration "65" (from envar SYNC_TIMEOUT="65")`},
		{"ASYNC_MAX_IN_FLIGHT", "0", `ASYNC_MAX_IN_FLIGHT: 0 is not allowed; allowed: 1 to 65536`},
		{"ASYNC_MAX_IN_FLIGHT", "65537", `ASYNC_MAX_IN_FLIGHT: 65537 is not allowed; allowed: 1 to 65536`},
		{"WAIT_MAX_IN_FLIGHT", "0", `WAIT_MAX_IN_FLIGHT: 0 is not allowed; allowed: 1 to 65536`},
		{"RESULTS_MAX_TASKS", "999", `RESULTS_MAX_TASKS: 999 is not allowed; allowed: 1000 to 10000000`},
		{"RESULTS_MAX_TASKS", "10000001", `RESULTS_MAX_TASKS: 10000001 is not allowed; allowed: 1000 to 10000000`},
		{"RESULTS_MAX_BYTES", "1048575", `RESULTS_MAX_BYTES: 1048575 is not allowed; allowed: 1048576 to 17179869184`},
		{"SIGNING_KEYS", "secret", `SIGNING_KEYS: a key of 6 bytes is not allowed; allowed: keys of at least 16 bytes each, separated by commas`},
		{"SIGNING_KEYS", "0123456789secret, ", `SIGNING_KEYS: a key of 0 bytes is not allowed; allowed: keys of at least 16 bytes each`},
		{"AMQP_URL", "http://x/", `AMQP_URL: broker address 1 is not of the form amqp://user:password@host:port/vhost`},
		{"AMQP_URL", "amqp://a:b@c/,", `AMQP_URL: broker address 2 is not of the form`},
		{"PUBLISH_STRATEGY", "fast", `PUBLISH_STRATEGY: "fast" is not allowed; allowed: pooled, exclusive, shared, per_request`},
		{"PUBLISH_CONNECTIONS", "5", `PUBLISH_CONNECTIONS: 5 is not allowed; allowed: 1 to 4`},
		{"PUBLISH_CHANNELS", "65", `PUBLISH_CHANNELS: 65 is not allowed; allowed: 1 to 64`},
		{"PUBLISH_MAX_IN_FLIGHT", "-1", `PUBLISH_MAX_IN_FLIGHT: -1 is not allowed; allowed: 1 to 65536`},
		{"PUBLISH_ACQUIRE_WAIT", "0s", `PUBLISH_ACQUIRE_WAIT: 0s is not allowed; allowed: 1ms to 10s`},
		{"PUBLISH_CONFIRM_TIMEOUT", "2m", `PUBLISH_CONFIRM_TIMEOUT: 2m0s is not allowed; allowed: 10ms to 1m0s`},
		{"LINKS", "Grafana", `LINKS: "Grafana" is not allowed; allowed: NAME=http://host:port/path or NAME=:port/path each`},
		{"LINKS", "Grafana=:3000,=:9090", `LINKS: "=:9090" is not allowed`},
		{"LINKS", "Grafana=javascript:alert(1)", `LINKS: "Grafana=javascript:alert(1)" is not allowed`},
		{"LINKS", "Grafana=grafana:3000", `LINKS: "Grafana=grafana:3000" is not allowed`},
		{"REPORTS_DIR", "/nowhere", `REPORTS_DIR: "/nowhere" is not allowed; allowed: a folder that is there`},
		{"REPORTS_DIR", "config.go", `REPORTS_DIR: "config.go" is not allowed; allowed: a folder that is there`},
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317", `OTEL_EXPORTER_OTLP_ENDPOINT: "collector:4317" is not allowed; allowed: http://host:port`},
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://u:secret@collector", `OTEL_EXPORTER_OTLP_ENDPOINT: a user, a query or a fragment is not allowed`},
		{"TRACE_SAMPLE_RATIO", "1.1", `TRACE_SAMPLE_RATIO: 1.1 is not allowed; allowed: 0 to 1`},
		{"TRACE_SAMPLE_RATIO", "NaN", `TRACE_SAMPLE_RATIO: NaN is not allowed; allowed: 0 to 1`},
		{"LOG_LEVEL", "trace", `LOG_LEVEL: "trace" is not allowed; allowed: debug, info, warn, error`},
		{"FAULT_INJECTION", "maybe", `bool value must be true, 1, yes, false, 0 or no but got "maybe" (from envar FAULT_INJECTION="maybe")`},
		{"DRAIN_DELAY", "-1s", `DRAIN_DELAY: -1s is not allowed; allowed: 0s to 5m0s`},
		{"SHUTDOWN_GRACE", "26s", `SHUTDOWN_GRACE: 26s is not allowed; allowed: 0s to 25s`},
	} {
		t.Run(tc.name+"="+tc.value, func(t *testing.T) {
			t.Setenv(tc.name, tc.value)
			var stderr bytes.Buffer
			require.Equal(t, exitUsage, run(t.Context(), nil, io.Discard, &stderr))
			require.Contains(t, stderr.String(), tc.want)
			require.NotContains(t, stderr.String(), "secret")
		})
	}
}

func TestAllRefusedValuesAreToldAtOnce(t *testing.T) {
	t.Setenv("LOG_LEVEL", "trace")
	t.Setenv("PUBLISH_STRATEGY", "fast")
	var stderr bytes.Buffer
	require.Equal(t, exitUsage, run(t.Context(), nil, io.Discard, &stderr))
	require.Contains(t, stderr.String(), "LOG_LEVEL")
	require.Contains(t, stderr.String(), "PUBLISH_STRATEGY")
}

func TestUnknownArguments(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"--nonsense"}, {"frobnicate"}, {"serve", "more"}} {
		require.Equal(t, exitUsage, run(t.Context(), args, io.Discard, io.Discard), args)
	}
}

// TestHelp holds that the help tells of every variable and its bounds.
func TestHelp(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"--help"}, {"serve", "--help"}} {
		var stdout bytes.Buffer
		require.Equal(t, exitOK, run(t.Context(), args, &stdout, io.Discard))
		for field := range reflect.TypeFor[config]().Fields() {
			require.Contains(t, stdout.String(), "$"+field.Tag.Get("env"))
		}
		require.NotContains(t, stdout.String(), "${", "a bound that is not filled in")
	}
}
