package rabbittest_test

import (
	"context"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/rabbitmq/rabbittest"
)

func TestURLIsOneBrokerThatIsUsableAtOnce(t *testing.T) {
	t.Parallel()
	c, queue := dial(t, rabbittest.URL(t)), rabbittest.Prefix(t)
	c.declare(t, queue)
	c.send(t, queue, "hello")
	require.Equal(t, "hello", dial(t, rabbittest.URL(t)).get(t, queue))
}

func TestURLFromEnvironment(t *testing.T) {
	t.Setenv("AMQP_URL", "amqp://elsewhere/")
	require.Equal(t, "amqp://elsewhere/", rabbittest.URL(t))
}

func TestPrefixIsUnique(t *testing.T) {
	t.Parallel()
	a := rabbittest.Prefix(t)
	require.Regexp(t, "^TestPrefixIsUnique-[0-9a-f]+$", a)
	require.NotEqual(t, a, rabbittest.Prefix(t))
}

func TestNodesSideBySide(t *testing.T) {
	t.Parallel()
	n := rabbittest.Start(t)
	require.NotEqual(t, rabbittest.URL(t), n.URL())

	dial(t, n.URL()).declare(t, "here")
	_, err := dial(t, rabbittest.URL(t)).QueueDeclarePassive("here", true, false, false, false, nil)
	requireCode(t, err, amqp.NotFound)

	guest, err := url.Parse(n.URL())
	require.NoError(t, err)
	guest.User = url.UserPassword("guest", "guest")
	_, err = amqp.Dial(guest.String())
	requireCode(t, err, amqp.AccessRefused)
}

func TestRestartKeepsData(t *testing.T) {
	t.Parallel()
	n := rabbittest.Start(t)
	address, pid := n.URL(), n.PID()
	for name, down := range map[string]func(){
		"kill": func() { require.NoError(t, n.SyncQueues(t.Context())); n.Kill() },
		"stop": func() { n.Stop(within(t, patience)) },
	} {
		c := dial(t, address)
		c.declare(t, "q")
		c.send(t, "q", name)
		closed := c.conn.NotifyClose(make(chan *amqp.Error, 1))
		down()
		require.Error(t, receive(t, closed))
		require.Zero(t, n.PID())
		require.Error(t, n.Pause(), "there is nothing to pause")
		require.Error(t, n.Wait(t.Context()), "there is nothing to wait for")

		require.NoError(t, n.Start(within(t, patience)))
		require.Error(t, n.Start(t.Context()), "it is up")
		require.Equal(t, address, n.URL())
		require.NotEqual(t, pid, n.PID())
		require.Equal(t, name, dial(t, address).get(t, "q"))
	}
}

func TestPause(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := newNode(t, rabbittest.Settings{Dir: dir})
	require.NoError(t, n.Start(within(t, patience)))
	c := dial(t, n.URL())
	c.declare(t, "q")

	require.NoError(t, n.Pause())
	confirm := c.publish(t, "q", "m")
	_, err := confirm.WaitContext(within(t, 200*time.Millisecond))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Error(t, n.DeleteQueue(within(t, 200*time.Millisecond), "q"), "the end of the context cuts the wait")

	require.NoError(t, n.Resume())
	acked, err := confirm.WaitContext(within(t, patience))
	require.NoError(t, err)
	require.True(t, acked)

	require.NoError(t, n.Pause())
	n.Stop(within(t, patience))
	log, err := os.ReadFile(filepath.Join(dir, "node.log"))
	require.NoError(t, err)
	require.Contains(t, string(log), "SIGTERM received", "a paused node stops in order as well")
}

func TestControl(t *testing.T) {
	t.Parallel()
	n := rabbittest.Start(t)
	c := dial(t, n.URL())
	c.declare(t, "q")

	blocked := c.conn.NotifyBlocked(make(chan amqp.Blocking, 2))
	require.NoError(t, n.SetMemoryAlarm(t.Context(), true))
	c.publish(t, "q", "m")
	require.True(t, receive(t, blocked).Active)
	require.NoError(t, n.SetMemoryAlarm(t.Context(), false))
	require.False(t, receive(t, blocked).Active)

	require.NoError(t, n.SetPolicy(t.Context(), "short", "^q$", map[string]any{"max-length": 1}))
	c.send(t, "q", "second")
	require.Equal(t, "second", c.get(t, "q"), "the policy let the older message go")
	require.NoError(t, n.ClearPolicy(t.Context(), "short"))
	out, err := n.Ctl(t.Context(), "list_policies")
	require.NoError(t, err)
	require.NotContains(t, out, "short")

	require.NoError(t, n.DeleteQueue(t.Context(), "q"))
	_, err = dial(t, n.URL()).QueueDeclarePassive("q", true, false, false, false, nil)
	requireCode(t, err, amqp.NotFound)

	closed := c.conn.NotifyClose(make(chan *amqp.Error, 1))
	require.NoError(t, n.CloseAllConnections(t.Context()))
	requireCode(t, receive(t, closed), amqp.ConnectionForced)

	_, err = n.Ctl(t.Context(), "no_such_command")
	require.ErrorContains(t, err, "rabbitmqctl no_such_command: exit status 64")
	_, err = n.Ctl(within(t, 50*time.Millisecond), "list_queues")
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestStartSaysWhyTheBrokerDied(t *testing.T) {
	t.Parallel()
	n := newNode(t, rabbittest.Settings{Dir: t.TempDir(), Conf: []string{"no.such.key = 1"}})
	err := n.Start(within(t, patience))
	require.ErrorContains(t, err, "rabbitmq-server ended (exit status 1)")
	require.ErrorContains(t, err, "no.such.key", "the log tells the reason")
	require.Zero(t, n.PID())
}

func TestStartEndsWithItsContext(t *testing.T) {
	t.Parallel()
	n := newNode(t, rabbittest.Settings{Dir: t.TempDir()})
	require.ErrorIs(t, n.Start(within(t, 100*time.Millisecond)), context.DeadlineExceeded)
	require.Zero(t, n.PID())
}

func TestWaitReportsACrash(t *testing.T) {
	t.Parallel()
	n := rabbittest.Start(t)
	_, err := n.Ctl(t.Context(), "eval", `spawn(fun() -> erlang:halt(7) end).`)
	if err != nil {
		require.ErrorContains(t, err, "rabbitmqctl", "the node may be gone before it answers")
	}
	require.ErrorContains(t, n.Wait(within(t, patience)), "exit status 7")
	require.Zero(t, n.PID())
	require.NoError(t, n.Start(within(t, patience)), "it can be started again")
}

func TestDirectoryHasOneNode(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := newNode(t, rabbittest.Settings{Dir: dir})
	_, err := rabbittest.NewNode(rabbittest.Settings{Dir: dir})
	require.ErrorContains(t, err, "in use by another node")
	first.Close()
	newNode(t, rabbittest.Settings{Dir: dir})
}

func TestFixedPorts(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	taken := l.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // It listens on TCP.

	n := newNode(t, rabbittest.Settings{Dir: t.TempDir(), Ports: rabbittest.Ports{AMQP: taken}})
	require.Equal(t, taken, n.Ports().AMQP)
	require.NotZero(t, n.Ports().EPMD)
	require.Zero(t, n.Ports().Management)
	require.ErrorContains(t, n.Start(t.Context()), l.Addr().String()+": bind: address already in use")
}

func TestMissingServer(t *testing.T) {
	t.Setenv("RABBITMQ_SERVER", "/nowhere/rabbitmq-server")
	_, err := rabbittest.NewNode(rabbittest.Settings{Dir: t.TempDir()})
	require.ErrorContains(t, err, "apt-get install rabbitmq-server")
}

func newNode(t *testing.T, s rabbittest.Settings) *rabbittest.Node {
	t.Helper()
	n, err := rabbittest.NewNode(s)
	require.NoError(t, err)
	t.Cleanup(n.Close)
	return n
}

// requireCode requires an error that the broker sent.
func requireCode(t *testing.T, err error, code int) {
	t.Helper()
	var reason *amqp.Error
	require.ErrorAs(t, err, &reason)
	require.Equal(t, code, reason.Code, reason.Reason)
}
