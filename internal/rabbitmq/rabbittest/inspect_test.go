package rabbittest_test

import (
	"os/exec"
	"syscall"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/rabbitmq/rabbittest"
)

func TestQueueIsSeenAsItIs(t *testing.T) {
	t.Parallel()
	n, ctx := rabbittest.Start(t), within(t, patience)
	version, err := n.Version(ctx)
	require.NoError(t, err)
	require.Regexp(t, `^\d+\.\d+\.`, version)
	require.NoError(t, n.DeclareQueue(ctx, "q", amqp.Table{amqp.QueueTypeArg: amqp.QueueTypeQuorum}))
	require.NoError(t, n.DeclareQueue(ctx, "empty", amqp.Table{amqp.QueueTypeArg: amqp.QueueTypeQuorum}))
	for _, id := range []string{"a", "b", "c"} {
		m := rabbittest.Message{ID: id, Type: "t", Headers: map[string]any{"x": "y"}, Body: []byte(id)}
		require.NoError(t, n.Publish(ctx, "q", m))
	}
	require.Error(t, n.Publish(ctx, "missing", rabbittest.Message{}))

	for range 2 { // looking changes nothing
		messages, err := n.Browse(ctx, "q")
		require.NoError(t, err)
		require.Len(t, messages, 3)
		require.Equal(t, "a", messages[0].ID)
		require.Equal(t, "t", messages[0].Type)
		require.Equal(t, "y", messages[0].Headers["x"])
		require.Equal(t, []byte("c"), messages[2].Body)
	}

	// What a consumer has counts as held and not as ready.
	_, ok, err := dial(t, n.URL()).Get("q", false)
	require.NoError(t, err)
	require.True(t, ok)
	ready, err := n.Ready(ctx, "q")
	require.NoError(t, err)
	require.Equal(t, 2, ready)
	held, err := n.Held(ctx)
	require.NoError(t, err)
	require.Equal(t, map[string]int{"q": 3, "empty": 0}, held)
}

func TestReadStreamFromItsBeginning(t *testing.T) {
	t.Parallel()
	n, ctx := rabbittest.Start(t), within(t, patience)
	require.NoError(t, n.DeclareQueue(ctx, "s", amqp.Table{amqp.QueueTypeArg: amqp.QueueTypeStream}))
	read := func() (ids []string) {
		messages, err := n.ReadStream(ctx, "s", "marker")
		require.NoError(t, err)
		for _, m := range messages {
			ids = append(ids, m.ID+":"+m.Type)
		}
		return ids
	}
	require.Empty(t, read())
	require.NoError(t, n.Publish(ctx, "s", rabbittest.Message{ID: "a", Type: "t"}))
	require.NoError(t, n.Publish(ctx, "s", rabbittest.Message{ID: "b", Type: "t"}))
	ids := read()
	require.Len(t, ids, 3, "and the marker of the read before")
	require.Equal(t, []string{"a:t", "b:t"}, ids[1:])
}

func TestProcessIsSignalledAndKilled(t *testing.T) {
	t.Parallel()
	p, err := rabbittest.StartProcess(exec.Command("sleep", "60"))
	require.NoError(t, err)
	t.Cleanup(p.Kill)
	require.Positive(t, p.PID())
	require.NoError(t, p.Signal(syscall.SIGSTOP))
	p.Stop(within(t, patience)) // even a paused one
	select {
	case <-p.Done():
	case <-time.After(patience):
		require.Fail(t, "it does not end")
	}
	require.Equal(t, "signal: terminated", p.State().String())
	require.NoError(t, p.Signal(syscall.SIGTERM), "it has ended")
	p.Kill()

	_, err = rabbittest.StartProcess(exec.Command("/missing"))
	require.Error(t, err)
}
