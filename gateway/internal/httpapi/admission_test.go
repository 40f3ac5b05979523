package httpapi

import (
	"context"
	"io"
	"net"
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
	require.Eventually(t, inFlight(2), patience, time.Millisecond)

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
	require.Eventually(t, inFlight(0), patience, time.Millisecond)
	require.Equal(t, http.StatusAccepted, api.post(t, "/v1/async", large).status)
}

// blocked is a publisher that takes messages and does not confirm them before
// its test ends.
type blocked struct {
	entered chan string // the type of each
	release chan struct{}
}

func newBlocked() blocked {
	return blocked{entered: make(chan string, 100), release: make(chan struct{})}
}

// startBlocked serves cfg and returns what has the publisher confirm everything,
// which is done before the server is closed: a request that should have been
// refused would keep it.
func startBlocked(t *testing.T, cfg Config, b blocked) (api *testAPI, release func()) {
	t.Helper()
	api = start(t, cfg)
	release = sync.OnceFunc(func() { close(b.release) })
	t.Cleanup(release)
	return api, release
}

// awaitEntered returns the type of the next message that is published.
func (b blocked) awaitEntered(t *testing.T) string {
	t.Helper()
	select {
	case kind := <-b.entered:
		return kind
	case <-time.After(patience):
		require.Fail(t, "nothing is published")
		return ""
	}
}

func (b blocked) Publish(_ context.Context, m rabbitmq.Message) error {
	b.entered <- m.Type
	<-b.release
	return nil
}

// One task of the async lane too many is refused at once, and the other lane
// goes on.
func TestAsyncIsBoundedByCount(t *testing.T) {
	t.Parallel()
	publisher := newBlocked()
	api, release := startBlocked(t, Config{Publisher: publisher, AsyncMaxInFlight: 2}, publisher)
	answers := make(chan int, 2)
	for range 2 {
		go func() { answers <- api.async(smallest) }()
		publisher.awaitEntered(t)
	}
	refused := api.post(t, "/v1/async", smallest)
	require.Equal(t, http.StatusTooManyRequests, refused.status)
	require.Equal(t, "1", refused.header.Get("Retry-After"))
	require.Equal(t, "overloaded", codeOf(refused.problem(t)))
	require.Equal(t, http.StatusTooManyRequests, api.post(t, "/v1/async", smallest, "Idempotency-Key", "k").status)
	require.Equal(t, http.StatusOK, api.post(t, "/v1/sync", smallest).status)

	release()
	require.Equal(t, http.StatusAccepted, <-answers)
	require.Equal(t, http.StatusAccepted, <-answers)
	require.Eventually(t, func() bool { return api.post(t, "/v1/async", smallest).status == http.StatusAccepted }, patience, time.Millisecond)
	require.Equal(t, http.StatusAccepted, api.post(t, "/v1/async", smallest, "Idempotency-Key", "k").status)
}

// TestSlowClientsTakeNoPlace has clients begin to send a body and go no further:
// they keep nobody else out.
func TestSlowClientsTakeNoPlace(t *testing.T) {
	t.Parallel()
	api := start(t, Config{AsyncMaxInFlight: 1})
	for range 3 {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", api.Listener.Addr().String())
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		_, err = io.WriteString(conn, "POST /v1/async HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 18\r\n\r\n{")
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool { return api.count(t, "gateway_http_requests_in_flight") == 3 }, patience, time.Millisecond)
	for range 3 {
		require.Equal(t, http.StatusAccepted, api.post(t, "/v1/async", smallest).status)
	}
}

// TestSilentClientsTakeNoRoom has clients announce the largest body, send a byte of
// it and no more: what is set aside for bodies is for those that come in.
func TestSilentClientsTakeNoRoom(t *testing.T) {
	t.Parallel()
	const clients = 20
	api := start(t, Config{MaxBodyBytes: task.MaxRequestBytes + (clients+2)*firstRead})
	for n := range clients {
		announced := "Content-Length: 262144\r\n\r\n{"
		if n%2 == 1 {
			announced = "Transfer-Encoding: chunked\r\n\r\n40000\r\n{"
		}
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", api.Listener.Addr().String())
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		_, err = io.WriteString(conn, "POST /v1/async HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"+announced)
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool { return api.count(t, "gateway_http_requests_in_flight") == clients }, patience, time.Millisecond)
	large := `{"action":"delay","payload":"` + strings.Repeat("x", task.MaxRequestBytes-100) + `"}`
	for range 3 {
		require.Equal(t, http.StatusAccepted, api.post(t, "/v1/async", large).status)
		require.Equal(t, http.StatusOK, api.post(t, "/v1/sync", smallest).status)
	}
}

// TestABodyThatFindsNoRoomMidway is refused like one that finds none at all, and
// gives back what it had.
func TestABodyThatFindsNoRoomMidway(t *testing.T) {
	t.Parallel()
	sized := func(n int) string {
		const head, tail = `{"action":"delay","payload":"`, `"}`
		return head + strings.Repeat("x", n-len(head)-len(tail)) + tail
	}
	const limit = task.MaxRequestBytes / 2
	api := start(t, Config{MaxBodyBytes: limit})
	for range 3 {
		refused := api.post(t, "/v1/async", sized(limit+1))
		require.Equal(t, http.StatusTooManyRequests, refused.status)
		require.Equal(t, "overloaded", codeOf(refused.problem(t)))
		require.Equal(t, http.StatusAccepted, api.post(t, "/v1/async", sized(limit)).status)
	}
}

// TestRecordsTakeNoPlace has the record of a key not be confirmed: its task is,
// and so others can come.
func TestRecordsTakeNoPlace(t *testing.T) {
	t.Parallel()
	records := newBlocked()
	api, release := startBlocked(t, Config{Records: records, AsyncMaxInFlight: 1}, records)
	answer := make(chan int, 1)
	go func() { answer <- api.async(smallest, "Idempotency-Key", "k") }()
	require.Equal(t, task.MessageTypeAccepted, records.awaitEntered(t))
	require.Equal(t, http.StatusAccepted, api.post(t, "/v1/async", smallest).status)
	release()
	require.Equal(t, http.StatusAccepted, <-answer)
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
