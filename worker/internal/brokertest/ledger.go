package brokertest

import (
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/task"
)

// Ledger is what the results stream of a virtual host says, as it says it.
type Ledger struct {
	mu      sync.Mutex
	results map[string][]task.Result
	deaths  map[string][]string
	broken  []error
}

// Ledger reads the results stream from its beginning until the test ends.
func (v VHost) Ledger(t *testing.T) *Ledger {
	t.Helper()
	conn, _ := v.Connect(t, rabbitmq.Tasks())
	reader, err := rabbitmq.NewStreamReader(conn, rabbitmq.StreamConfig{
		Stream: task.QueueResults, ConsumerTag: "ledger", From: task.ResultRetention,
	}, prometheus.NewRegistry(), nil)
	require.NoError(t, err)
	l := &Ledger{results: make(map[string][]task.Result), deaths: make(map[string][]string)}
	Run(t, func(ctx context.Context) error { return reader.Run(ctx, l) })
	return l
}

// Subscribed implements rabbitmq.StreamHandler.
func (l *Ledger) Subscribed() {}

// Lost implements rabbitmq.StreamHandler.
func (l *Ledger) Lost() {}

// Read implements rabbitmq.StreamHandler.
func (l *Ledger) Read(m rabbitmq.StreamMessage) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if m.Type == task.MessageTypeResult {
		res, err := task.DecodeResult(m.Body)
		if err != nil {
			l.broken = append(l.broken, err)
			return
		}
		l.results[m.ID] = append(l.results[m.ID], res)
		return
	}
	if reason, ok := m.Headers[task.HeaderFirstDeathReason].(string); ok {
		l.deaths[m.ID] = append(l.deaths[m.ID], reason)
	}
}

// Results are the results of a task, in their order.
func (l *Ledger) Results(t *testing.T, id string) []task.Result {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	require.Empty(t, l.broken)
	return slices.Clone(l.results[id])
}

// BrokersDeaths are the reasons for which the broker itself has given a task up.
func (l *Ledger) BrokersDeaths(id string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.deaths[id])
}

// Await waits for the one result of each task and returns it by id.
func (l *Ledger) Await(t *testing.T, ids ...string) map[string]task.Result {
	t.Helper()
	found := make(map[string]task.Result, len(ids))
	for _, id := range ids {
		require.Eventually(t, func() bool { return len(l.Results(t, id)) > 0 }, Patience, Interval, "no result of %s", id)
		results := l.Results(t, id)
		require.Len(t, results, 1, "results of %s", id)
		require.Equal(t, id, results[0].ID)
		found[id] = results[0]
	}
	return found
}
