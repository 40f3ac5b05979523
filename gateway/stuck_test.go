package main

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/rabbitmq/rabbittest"
	"github.com/twinlane/twinlane/internal/task"
)

// TestStreamThatCannotBeRead starts a gateway that cannot read the results: it
// takes tasks in before long, and says so of what it does not know.
func TestStreamThatCannotBeRead(t *testing.T) {
	t.Parallel()
	node := rabbittest.Start(t)
	for _, args := range [][]string{
		{"add_user", "blind", "secret"},
		{"set_permissions", "blind", ".*", ".*", `^(?!tasks\.v1\.results$)`},
	} {
		_, err := node.Ctl(t.Context(), args...)
		require.NoError(t, err)
	}
	broker, err := url.Parse(node.URL())
	require.NoError(t, err)
	broker.User = url.UserPassword("blind", "secret")
	g := startGateway(t, "--amqp-url="+broker.String(), "--signing-keys="+signingKey)
	require.Eventually(t, func() bool {
		return g.get(t, g.admin+"/readyz").status == http.StatusOK
	}, 2*time.Minute, 100*time.Millisecond, "%s", g.log)

	taken := g.post(t, "/v1/async", smallest)
	require.Equal(t, http.StatusAccepted, taken.status, "%s", taken.body)
	for _, a := range []answer{
		g.get(t, g.api+taken.header.Get("Location")),
		g.get(t, g.api+"/v1/runs/evening-1"),
		g.post(t, "/v1/async", smallest, "Idempotency-Key", "k"),
	} {
		require.Equal(t, http.StatusServiceUnavailable, a.status, "%s", a.body)
		require.Equal(t, "urn:twinlane:problem:results-behind", a.field(t, "type"))
	}
	require.Contains(t, g.log.String(), task.QueueResults)
	require.Equal(t, exitOK, g.stop(t), "%s", g.log)
}
