package httpapi

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/task"
)

// Requests are counted by the size of their bodies: one that fills the memory
// keeps all others out until it is answered, and small ones fit beside each other.
func TestBodiesAreBoundedTogether(t *testing.T) {
	t.Parallel()
	const small = `{"action":"delay"}`
	large := `{"action":"delay","payload":"` + strings.Repeat("x", task.MaxRequestBytes-100) + `"}`
	publisher := &fakePublisher{release: make(chan struct{})}
	api := start(t, Config{Publisher: publisher, MaxBodyBytes: int64(len(large) + len(small)), AsyncMaxInFlight: 3})
	release := sync.OnceFunc(func() { close(publisher.release) })
	t.Cleanup(release) // or a request that should have been refused would keep the server

	answers := make(chan int, 2)
	send := func(body string) {
		go func() { answers <- api.async(body) }()
	}
	inFlight := func(n int) func() bool {
		return func() bool { return api.count(t, "gateway_http_requests_in_flight") == n }
	}
	send(large)
	send(small)
	require.Eventually(t, inFlight(2), 10*time.Second, time.Millisecond)

	for range 3 { // who is refused for its size takes no place in the count
		refused := api.post(t, "/v1/async", small)
		require.Equal(t, http.StatusTooManyRequests, refused.status)
		require.Equal(t, "1", refused.header.Get("Retry-After"))
		require.Equal(t, "overloaded", codeOf(refused.problem(t)))
		require.Contains(t, refused.problem(t).Detail, "bytes")
	}
	require.Equal(t, http.StatusTooManyRequests, api.post(t, "/v1/sync", small).status)

	release()
	require.Equal(t, http.StatusAccepted, <-answers)
	require.Equal(t, http.StatusAccepted, <-answers)
	require.Eventually(t, inFlight(0), 10*time.Second, time.Millisecond)
	require.Equal(t, http.StatusAccepted, api.post(t, "/v1/async", large).status)
}

// One request of the async lane too many is refused at once, before it is read,
// and the other lane goes on.
func TestAsyncIsBoundedByCount(t *testing.T) {
	t.Parallel()
	publisher := &fakePublisher{release: make(chan struct{})}
	api := start(t, Config{Publisher: publisher, AsyncMaxInFlight: 2})
	release := sync.OnceFunc(func() { close(publisher.release) })
	t.Cleanup(release)

	answers := make(chan int, 2)
	for range 2 {
		go func() { answers <- api.async(smallest) }()
	}
	require.Eventually(t, func() bool { return api.count(t, "gateway_http_requests_in_flight") == 2 }, 10*time.Second, time.Millisecond)

	refused := api.post(t, "/v1/async", "this would be a 400")
	require.Equal(t, http.StatusTooManyRequests, refused.status)
	require.Equal(t, "1", refused.header.Get("Retry-After"))
	require.Equal(t, "overloaded", codeOf(refused.problem(t)))
	require.Equal(t, http.StatusOK, api.post(t, "/v1/sync", smallest).status)

	release()
	require.Equal(t, http.StatusAccepted, <-answers)
	require.Equal(t, http.StatusAccepted, <-answers)
	require.Eventually(t, func() bool { return api.post(t, "/v1/async", smallest).status == http.StatusAccepted }, 10*time.Second, time.Millisecond)
}

// TestRefusedRequestsLeaveNoTrace has more requests fail, each in its own way,
// than places there are: none of them keeps one.
func TestRefusedRequestsLeaveNoTrace(t *testing.T) {
	t.Parallel()
	publisher := &fakePublisher{err: rabbitmq.ErrNacked}
	api := start(t, Config{Publisher: publisher, AsyncMaxInFlight: 1, WaitMaxInFlight: 1, MaxBodyBytes: task.MaxRequestBytes})
	for range 3 {
		for _, tc := range []struct {
			body   string
			header []string
			status int
		}{
			{"{", nil, http.StatusBadRequest},
			{smallest, nil, http.StatusTooManyRequests},
			{smallest, []string{"Prefer", "wait=30"}, http.StatusTooManyRequests},
			{smallest, []string{"Idempotency-Key", "k", "Prefer", "wait=30"}, http.StatusTooManyRequests},
			{smallest, []string{"Idempotency-Key", ""}, http.StatusBadRequest},
			{large(task.MaxRequestBytes + 1), []string{"Prefer", "wait=30"}, http.StatusRequestEntityTooLarge},
		} {
			a := api.post(t, "/v1/async", tc.body, tc.header...)
			require.Equal(t, tc.status, a.status, "%s", a.body)
			require.NotEqual(t, "overloaded", codeOf(a.problem(t)))
			require.Empty(t, a.header.Get("Preference-Applied"))
		}
	}
	require.Zero(t, api.count(t, "gateway_http_waits_in_flight"))
	require.Zero(t, api.count(t, "gateway_http_waits_total"))
}
