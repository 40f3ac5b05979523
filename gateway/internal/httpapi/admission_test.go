package httpapi

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/task"
)

// Requests are counted by the size of their bodies: one that fills the memory
// keeps all others out until it is answered, and small ones fit beside each other.
func TestBodiesAreBoundedTogether(t *testing.T) {
	t.Parallel()
	const small = `{"action":"delay"}`
	large := `{"action":"delay","payload":"` + strings.Repeat("x", task.MaxRequestBytes-100) + `"}`
	publisher := &fakePublisher{release: make(chan struct{})}
	api := start(t, Config{Publisher: publisher, MaxBodyBytes: int64(len(large) + len(small))})
	api.Client().Timeout = 10 * time.Second
	release := sync.OnceFunc(func() { close(publisher.release) })
	t.Cleanup(release) // or a request that should have been refused would keep the server

	answers := make(chan int, 2)
	send := func(body string) {
		go func() {
			resp, err := http.Post(api.URL+"/v1/async", task.ContentType, strings.NewReader(body))
			if err != nil {
				answers <- 0
				return
			}
			_ = resp.Body.Close()
			answers <- resp.StatusCode
		}()
	}
	inFlight := func(n int) func() bool {
		return func() bool { return api.count(t, "gateway_http_requests_in_flight") == n }
	}
	send(large)
	send(small)
	require.Eventually(t, inFlight(2), 10*time.Second, time.Millisecond)

	refused := api.post(t, "/v1/async", small)
	require.Equal(t, http.StatusTooManyRequests, refused.status)
	require.Equal(t, "1", refused.header.Get("Retry-After"))
	require.Equal(t, "overloaded", codeOf(refused.problem(t)))
	require.Equal(t, http.StatusTooManyRequests, api.post(t, "/v1/sync", small).status)

	release()
	require.Equal(t, http.StatusAccepted, <-answers)
	require.Equal(t, http.StatusAccepted, <-answers)
	require.Eventually(t, inFlight(0), 10*time.Second, time.Millisecond)
	require.Equal(t, http.StatusAccepted, api.post(t, "/v1/async", large).status)
}
