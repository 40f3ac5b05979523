package lab

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/rabbitmq/rabbittest"
)

// runTiny runs an experiment on its real machinery, as small as it goes.
func runTiny(t *testing.T, e Experiment) Result {
	t.Helper()
	o := Options{Size: Tiny}
	if e.Broker {
		o.AMQPURL = rabbittest.URL(t)
	}
	result, err := Run(t.Context(), e, o)
	require.NoError(t, err)
	require.NotEmpty(t, result.Finding)
	for i, c := range e.Cases(Tiny) {
		require.Equal(t, c.Name, result.Rows[i].Case)
	}
	return result
}

func TestPublishers(t *testing.T) {
	t.Parallel()
	table := runTiny(t, publishers()).Rows
	measured := func(name, key string) float64 { return table.Measured(name, key) }

	for _, w := range ways() {
		for _, callers := range publisherCallers(Tiny) {
			name := w.caseName(callers)
			require.Zero(t, measured(name, "failed_share"), name)
			rate, mean := measured(name, "confirmed_messages_per_second"), measured(name, "accept_time_mean_seconds")
			// Callers that always wait for an answer are always one request each, but for
			// the end, when the last ones are waited for.
			require.LessOrEqual(t, rate*mean, 1.001*float64(callers), name)
			require.Greater(t, rate*mean, .1*float64(callers), name)
			require.LessOrEqual(t, measured(name, "accept_time_p50_seconds"), measured(name, "accept_time_p99_seconds"))
		}
	}
	lost, _ := table.figure(unconfirmedName, "lost_messages")
	require.Positive(t, lost.Measured.Low)
	require.Positive(t, lost.Predicted.Low)
	require.Zero(t, measured(confirmedName, "lost_messages"))
	require.Positive(t, measured(confirmedName, "accepted_messages"))
}

// TestAChannelSharedWithoutCareBreaks tries until it does: that two calls meet
// takes a chance.
func TestAChannelSharedWithoutCareBreaks(t *testing.T) {
	t.Parallel()
	b, err := openBroker(t.Context(), rabbittest.URL(t), "naive")
	require.NoError(t, err)
	defer func() { require.NoError(t, b.close(t.Context())) }()
	for late := time.Now().Add(2 * time.Minute); ; {
		load, err := naive(t.Context(), &Env{Size: Tiny, Broker: b}, naiveRate, 300*time.Millisecond)
		require.NoError(t, err)
		if load.failed > 0 {
			return
		}
		require.True(t, time.Now().Before(late), "it was used with care")
	}
}
