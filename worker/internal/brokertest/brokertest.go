// Package brokertest gives each test of the worker a virtual host of its own on
// a private broker. The names of the queues are part of the contract and cannot
// differ from test to test; their virtual host can.
package brokertest

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/rabbitmq/rabbittest"
)

// Patience bounds every wait for something that happens soon.
const Patience = 60 * time.Second

// Interval is how often a wait looks.
const Interval = 10 * time.Millisecond

// VHost is a virtual host on a node.
type VHost struct {
	Node *rabbittest.Node
	Name string
}

// NewVHost adds a virtual host to node, which goes with the node.
func NewVHost(t *testing.T, node *rabbittest.Node) VHost {
	t.Helper()
	name := strings.Map(func(r rune) rune {
		if r == '/' || r == ' ' || r == ',' {
			return '-'
		}
		return r
	}, t.Name())
	v := VHost{Node: node, Name: name}
	_, err := node.Ctl(t.Context(), "add_vhost", name)
	require.NoError(t, err)
	v.Ctl(t, "set_permissions", rabbittest.User, ".*", ".*", ".*")
	return v
}

// URL is the address of the virtual host.
func (v VHost) URL() string { return strings.TrimSuffix(v.Node.URL(), "/") + "/" + v.Name }

// Ctl runs a rabbitmqctl command on the virtual host.
func (v VHost) Ctl(t *testing.T, command string, args ...string) {
	t.Helper()
	_, err := v.Node.Ctl(t.Context(), append([]string{command, "--vhost", v.Name}, args...)...)
	require.NoError(t, err)
}

func (v VHost) config() rabbitmq.ConnectionConfig {
	return rabbitmq.ConnectionConfig{URLs: []string{v.URL()}, Name: "test", BackoffMax: 200 * time.Millisecond}
}

// Connect returns a connection that has declared the topology and lives until
// stop is called or the test ends.
func (v VHost) Connect(t *testing.T, topology rabbitmq.Topology) (conn *rabbitmq.Connection, stop func()) {
	t.Helper()
	conn, err := rabbitmq.NewConnection(v.config(), topology, prometheus.NewRegistry(), nil)
	require.NoError(t, err)
	stop = Run(t, conn.Run)
	require.Eventually(t, func() bool { return conn.Ready() == nil }, Patience, Interval)
	return conn, stop
}

// Publisher returns a publisher that is ready and lives until stop is called or
// the test ends.
func (v VHost) Publisher(t *testing.T, topology rabbitmq.Topology) (pub *rabbitmq.Publisher, stop func()) {
	t.Helper()
	patient := rabbitmq.PublisherConfig{AcquireWait: Patience}
	pub, err := rabbitmq.NewPublisher(patient, v.config(), topology, prometheus.NewRegistry(), nil)
	require.NoError(t, err)
	stop = Run(t, pub.Run)
	require.Eventually(t, func() bool { return pub.Ready() == nil }, Patience, Interval)
	return pub, stop
}

// Run runs a component until stop is called or the test ends.
func Run(t *testing.T, run func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		late := time.NewTimer(Patience)
		defer late.Stop()
		select {
		case err := <-done:
			require.NoError(t, err)
		case <-late.C:
			require.Fail(t, "a component did not stop")
		}
	}
	t.Cleanup(stop)
	return stop
}
