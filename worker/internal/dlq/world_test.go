package dlq

import (
	"fmt"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/task"
	"github.com/twinlane/twinlane/worker/internal/brokertest"
)

// everything looks at all there is.
var everything = Bounds{Scan: 1_000_000} //nolint:gochecknoglobals // A constant that the language has no form for.

type world struct {
	*Queue
	vhost brokertest.VHost
	raw   *amqp.Channel
}

func newWorld(t *testing.T, v brokertest.VHost, topology rabbitmq.Topology) *world {
	t.Helper()
	conn, _ := v.Connect(t, topology)
	raw, err := conn.Channel(t.Context())
	require.NoError(t, err)
	require.NoError(t, raw.Confirm(false))
	return &world{Queue: New(conn), vhost: v, raw: raw}
}

// dead is a dead letter as a worker makes it.
func dead(id string, reason task.Reason, died time.Time) rabbitmq.Message {
	body := fmt.Sprintf(`{ "id":%q,"accepted_at":"2026-01-02T03:04:05Z", "action":"delay","run":"r-1"}`, id)
	return rabbitmq.TaskMessage("", task.QueueDeadLetter, id, task.Headers{
		Attempt: 3, RequestID: "req-" + id, Dead: &task.Death{Reason: reason, Error: "why " + id, At: died},
	}, []byte(body), died)
}

func (w *world) put(t *testing.T, exchange, key string, p amqp.Publishing) {
	t.Helper()
	p.DeliveryMode = amqp.Persistent
	confirm, err := w.raw.PublishWithDeferredConfirmWithContext(t.Context(), exchange, key, true, false, p)
	require.NoError(t, err)
	ok, err := confirm.WaitContext(t.Context())
	require.NoError(t, err)
	require.True(t, ok)
}

func (w *world) bury(t *testing.T, m rabbitmq.Message) {
	t.Helper()
	w.put(t, m.Exchange, m.RoutingKey, amqp.Publishing{
		MessageId: m.ID, Type: m.Type, ContentType: m.ContentType, Timestamp: m.Timestamp, Headers: m.Headers, Body: m.Body,
	})
}

// buryMany puts n letters into the DLQ, t-0 first, with reasons by turns.
func (w *world) buryMany(t *testing.T, n int) {
	t.Helper()
	reasons := []task.Reason{task.ReasonPermanent, task.ReasonPanic}
	for i := range n {
		w.bury(t, dead(fmt.Sprintf("t-%d", i), reasons[i%len(reasons)], time.Now().Add(-time.Duration(n-i)*time.Hour)))
	}
}

// ids is what a queue holds, in order. It waits until n messages are there,
// and leaves them.
func (w *world) ids(t *testing.T, queue string, n int) []string {
	t.Helper()
	require.Eventually(t, func() bool {
		state, err := w.raw.QueueDeclarePassive(queue, true, false, false, false, nil)
		require.NoError(t, err)
		return state.Messages == n
	}, brokertest.Patience, brokertest.Interval, "%s does not hold %d", queue, n)
	var ids []string
	var last uint64
	for range n {
		d, ok, err := w.raw.Get(queue, false)
		require.NoError(t, err)
		require.True(t, ok)
		ids, last = append(ids, d.MessageId), d.DeliveryTag
	}
	if last > 0 {
		require.NoError(t, w.raw.Nack(last, true, true))
	}
	return ids
}

func (w *world) publisher(t *testing.T) *rabbitmq.Publisher {
	t.Helper()
	p, _ := w.vhost.Publisher(t, rabbitmq.Tasks())
	return p
}

func named(letters []Letter) []string {
	ids := make([]string, len(letters))
	for i, l := range letters {
		ids[i] = l.ID
	}
	return ids
}

func nobody(Letter) {}
