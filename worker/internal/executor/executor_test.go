package executor

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestNewRefusesAnInvalidConfig(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		config Config
		want   string
	}{
		"unknown model":  {Config{Model: "thread", Concurrency: 1}, `model: "thread" is not allowed; allowed: goroutine, serial, pool, keyed`},
		"no concurrency": {Config{Model: ModelGoroutine}, "concurrency: 0 is not allowed; allowed: 1 or more"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := New(tt.config, prometheus.NewRegistry(), nil)
			require.EqualError(t, err, tt.want)
		})
	}
}

func TestParallelism(t *testing.T) {
	t.Parallel()
	require.Equal(t, 7, Config{Model: ModelGoroutine, Concurrency: 7}.Parallelism())
	require.Equal(t, 1, Config{Model: ModelSerial, Concurrency: 7}.Parallelism())
}

func TestMetricsAreWellNamed(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	_, err := New(Config{Model: ModelSerial, Concurrency: 1}, reg, nil)
	require.NoError(t, err)
	problems, err := testutil.GatherAndLint(reg)
	require.NoError(t, err)
	require.Empty(t, problems)
}
