package rabbittest_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/rabbitmq/rabbittest"
)

// patience bounds every wait of these tests; none takes that long unless it fails.
const patience = 30 * time.Second

// holdNodeEnv makes the test binary start a node in the directory it names, say so and do nothing more.
const holdNodeEnv = "RABBITTEST_HOLD_NODE"

func TestMain(m *testing.M) {
	if dir := os.Getenv(holdNodeEnv); dir != "" { //nolint:forbidigo // It speaks to this test binary alone.
		holdNode(dir)
		return
	}
	rabbittest.Main(m)
}

// holdNode holds a paused node until its standard input ends.
func holdNode(dir string) {
	n, err := rabbittest.NewNode(rabbittest.Settings{Dir: dir})
	if err == nil {
		err = n.Start(context.Background())
	}
	if err == nil {
		err = n.Pause()
	}
	_, _ = fmt.Fprintln(os.Stdout, "held", err)
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// client is a connection with a channel in confirm mode.
type client struct {
	*amqp.Channel
	conn *amqp.Connection
}

func dial(t *testing.T, url string) client {
	t.Helper()
	conn, err := amqp.Dial(url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.CloseDeadline(time.Now().Add(time.Second)) })
	ch, err := conn.Channel()
	require.NoError(t, err)
	require.NoError(t, ch.Confirm(false))
	return client{ch, conn}
}

// declare declares a quorum queue.
func (c client) declare(t *testing.T, queue string) {
	t.Helper()
	_, err := c.QueueDeclare(queue, true, false, false, false, amqp.Table{amqp.QueueTypeArg: amqp.QueueTypeQuorum})
	require.NoError(t, err)
}

// publish sends a message and returns its confirm.
func (c client) publish(t *testing.T, queue, body string) *amqp.DeferredConfirmation {
	t.Helper()
	confirm, err := c.PublishWithDeferredConfirmWithContext(t.Context(), "", queue, true, false,
		amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte(body)})
	require.NoError(t, err)
	return confirm
}

// send publishes a message and waits until the broker has it.
func (c client) send(t *testing.T, queue, body string) {
	t.Helper()
	acked, err := c.publish(t, queue, body).WaitContext(within(t, patience))
	require.NoError(t, err)
	require.True(t, acked)
}

// get takes the next message off a queue.
func (c client) get(t *testing.T, queue string) string {
	t.Helper()
	m, ok, err := c.Get(queue, true)
	require.NoError(t, err)
	require.True(t, ok, "there is a message in %s", queue)
	return string(m.Body)
}

// within is a context of the test that ends after d.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// receive waits for a value.
func receive[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-within(t, patience).Done():
		require.FailNow(t, "nothing came")
		panic("unreachable")
	}
}
