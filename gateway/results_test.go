package main

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/gateway/internal/outcomes"
	"github.com/twinlane/twinlane/gateway/internal/taskid"
	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/rabbitmq/rabbittest"
	"github.com/twinlane/twinlane/internal/task"
)

const signingKey = "the signing key of these tests"

// keyedID is the id that an Idempotency-Key has at every gateway with signingKey.
func keyedID(t *testing.T, key string) string {
	t.Helper()
	ids, err := taskid.NewSigner([]byte(signingKey))
	require.NoError(t, err)
	return ids.Keyed(key)[0]
}

// startFollowing runs a gateway that has signingKey and waits until it is ready.
func startFollowing(t *testing.T, args ...string) *gateway {
	t.Helper()
	g := startGateway(t, append([]string{"--amqp-url=" + rabbittest.URL(t), "--signing-keys=" + signingKey}, args...)...)
	g.awaitReady(t)
	return g
}

// writer writes to the results stream what a worker would.
type writer struct{ *rabbitmq.Publisher }

func startWriter(t *testing.T) writer {
	t.Helper()
	conn := rabbitmq.ConnectionConfig{URLs: []string{rabbittest.URL(t)}, Name: "test-worker"}
	p, err := rabbitmq.NewPublisher(rabbitmq.PublisherConfig{}, conn, rabbitmq.Tasks(), prometheus.NewRegistry(), nil)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = p.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	require.Eventually(t, func() bool { return p.Ready() == nil }, patience, time.Millisecond)
	return writer{p}
}

// finish has a task end.
func (w writer) finish(t *testing.T, r task.Result) {
	t.Helper()
	now := time.Now().UTC()
	r.Attempt, r.AcceptedAt, r.StartedAt, r.FinishedAt = 1, now.Add(-time.Second), now.Add(-time.Second/2), now
	body, err := r.Encode()
	require.NoError(t, err)
	require.NoError(t, w.Publish(t.Context(), rabbitmq.ResultMessage(r.ID, body, now)))
}

// awaitStatus waits until a gateway says that a task has the status.
func (g *gateway) awaitStatus(t *testing.T, id string, status task.Status) answer {
	t.Helper()
	var a answer
	require.Eventually(t, func() bool {
		a = g.get(t, g.api+"/v1/tasks/"+id)
		return a.status == http.StatusOK && a.field(t, "status") == string(status)
	}, patience, time.Millisecond, "%s", g.log)
	return a
}

// TestTaskLife follows tasks through gateways that share a signing key: all of
// them answer alike, also one that was not there when it happened.
func TestTaskLife(t *testing.T) {
	t.Parallel()
	one, two, worker := startFollowing(t), startFollowing(t), startWriter(t)
	run := uuid.NewString()
	ids := make([]string, 2)
	for i := range ids {
		a := one.post(t, "/v1/async", `{"action":"delay","run":"`+run+`"}`)
		require.Equal(t, http.StatusAccepted, a.status, "%s", a.body)
		ids[i] = a.field(t, "id")
		for _, g := range []*gateway{one, two} {
			a = g.get(t, g.api+"/v1/tasks/"+ids[i])
			require.Equal(t, http.StatusOK, a.status, "%s", a.body)
			require.Equal(t, "accepted", a.field(t, "status"))
			require.Equal(t, "1", a.header.Get("Retry-After"))
		}
	}
	worker.finish(t, task.Result{ID: ids[0], Run: run, Status: task.StatusCompleted, Output: json.RawMessage(`{"answer":42}`)})
	worker.finish(t, task.Result{ID: ids[1], Run: run, Status: task.StatusDead, Reason: task.ReasonPermanent, Error: "no"})

	completed := one.awaitStatus(t, ids[0], task.StatusCompleted)
	dead := one.awaitStatus(t, ids[1], task.StatusDead)
	require.Equal(t, "permanent", dead.field(t, "reason"))
	require.Empty(t, dead.header.Get("Retry-After"))
	require.Equal(t, exitOK, one.stop(t), "%s", one.log)
	for _, g := range []*gateway{two, startFollowing(t)} {
		require.Equal(t, string(completed.body), string(g.awaitStatus(t, ids[0], task.StatusCompleted).body))
		require.Equal(t, string(dead.body), string(g.awaitStatus(t, ids[1], task.StatusDead).body))
		var books outcomes.Books
		require.NoError(t, json.Unmarshal(g.get(t, g.api+"/v1/runs/"+run).body, &books))
		require.Equal(t, int64(1), books.Completed)
		require.Equal(t, int64(1), books.Dead)
		require.Equal(t, int64(2), books.Settled)
		require.Zero(t, books.AcceptedHere, "it was another gateway that accepted them")
		require.True(t, books.CaughtUp)
	}
	other := startGateway(t, "--amqp-url="+rabbittest.URL(t), "--signing-keys=the key of another system")
	other.awaitReady(t)
	for _, id := range []string{ids[0], ids[1], "1", uuid.NewString(), ids[0][:len(ids[0])-1] + "x"} {
		a := other.get(t, other.api+"/v1/tasks/"+id)
		require.Equal(t, http.StatusNotFound, a.status)
		require.Equal(t, "urn:twinlane:problem:unknown-task", a.field(t, "type"))
	}
}

func TestBooksOfTheGatewayThatAccepts(t *testing.T) {
	t.Parallel()
	g := startFollowing(t)
	run := uuid.NewString()
	for range 3 {
		require.Equal(t, http.StatusAccepted, g.post(t, "/v1/async", `{"action":"delay","run":"`+run+`"}`).status)
	}
	var books outcomes.Books
	require.NoError(t, json.Unmarshal(g.get(t, g.api+"/v1/runs/"+run).body, &books))
	require.Equal(t, int64(3), books.AcceptedHere)
	require.Zero(t, books.Settled)
}

// TestIdempotencyKey repeats a request at the gateway that took it in, at
// another one, and at one that was not there yet.
func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	one, two := startFollowing(t), startFollowing(t)
	key := uuid.NewString()
	first := one.post(t, "/v1/async", smallest, "Idempotency-Key", key)
	require.Equal(t, http.StatusAccepted, first.status, "%s", first.body)
	require.Equal(t, keyedID(t, key), first.field(t, "id"))
	two.awaitStatus(t, keyedID(t, key), task.StatusAccepted)

	published := func(g *gateway) int {
		return g.metric(t, "gateway_publisher_publishes_total", map[string]string{"outcome": "accepted"})
	}
	for _, g := range []*gateway{one, two, startFollowing(t)} {
		before := published(g)
		again := g.post(t, "/v1/async", smallest, "Idempotency-Key", key)
		require.Equal(t, http.StatusAccepted, again.status)
		require.Equal(t, string(first.body), string(again.body))
		require.Equal(t, first.header.Get("Location"), again.header.Get("Location"))
		reused := g.post(t, "/v1/async", `{"action":"delay"}`, "Idempotency-Key", key)
		require.Equal(t, http.StatusUnprocessableEntity, reused.status)
		require.Equal(t, "urn:twinlane:problem:idempotency-key-reused", reused.field(t, "type"))
		require.Equal(t, before, published(g), "nothing is published for a key that is known")
		require.Equal(t, 1, g.metric(t, "gateway_http_repeats_total", nil))
	}
}

// TestWaitIsAnswered has requests wait at two gateways for a task whose result
// only comes then.
func TestWaitIsAnswered(t *testing.T) {
	t.Parallel()
	one, two, worker := startFollowing(t), startFollowing(t), startWriter(t)
	key := uuid.NewString()
	id := keyedID(t, key)
	answers := make(chan answer, 2)
	wait := func(ask func() (answer, error)) {
		go func() {
			a, err := ask()
			if err != nil {
				t.Error(err)
			}
			answers <- a
		}()
	}
	wait(func() (answer, error) {
		return one.tryPost(t.Context(), "/v1/async", smallest, "Idempotency-Key", key, "Prefer", "wait=30")
	})
	one.awaitWaiting(t, 1)
	two.awaitStatus(t, id, task.StatusAccepted)
	wait(func() (answer, error) { return tryGet(t.Context(), two.api+"/v1/tasks/"+id, "Prefer", "wait=29") })
	two.awaitWaiting(t, 1)
	worker.finish(t, task.Result{ID: id, Status: task.StatusCompleted})

	applied := map[string]bool{}
	for range 2 {
		a := <-answers
		require.Equal(t, http.StatusOK, a.status, "%s", a.body)
		require.Equal(t, "completed", a.field(t, "status"))
		require.Equal(t, id, a.field(t, "id"))
		applied[a.header.Get("Preference-Applied")] = true
	}
	require.Equal(t, map[string]bool{"wait=30": true, "wait=29": true}, applied)
	again := one.post(t, "/v1/async", smallest, "Idempotency-Key", key, "Prefer", "wait=30")
	require.Equal(t, http.StatusOK, again.status)
	require.Equal(t, "/v1/tasks/"+id, again.header.Get("Location"))
}

// TestKeyThatAnotherGatewayKnowsFirst asks a gateway for the task of a key that
// nobody has used so far: it says so, and what comes of the task is told to who
// waits for it, though another gateway takes the task in.
func TestKeyThatAnotherGatewayKnowsFirst(t *testing.T) {
	t.Parallel()
	one, two, worker := startFollowing(t), startFollowing(t), startWriter(t)
	key := uuid.NewString()
	id := keyedID(t, key)
	unknown := two.get(t, two.api+"/v1/tasks/"+id)
	require.Equal(t, http.StatusNotFound, unknown.status, "%s", unknown.body)
	require.Equal(t, "urn:twinlane:problem:unknown-task", unknown.field(t, "type"))

	answers := make(chan answer, 1)
	go func() {
		a, err := tryGet(t.Context(), two.api+"/v1/tasks/"+id, "Prefer", "wait=30")
		if err != nil {
			t.Error(err)
		}
		answers <- a
	}()
	two.awaitWaiting(t, 1)
	require.Equal(t, http.StatusAccepted, one.post(t, "/v1/async", smallest, "Idempotency-Key", key).status)
	two.awaitStatus(t, id, task.StatusAccepted)
	worker.finish(t, task.Result{ID: id, Status: task.StatusCompleted})
	a := <-answers
	require.Equal(t, http.StatusOK, a.status, "%s", a.body)
	require.Equal(t, "completed", a.field(t, "status"))
	require.Equal(t, "wait=30", a.header.Get("Preference-Applied"))
}

func (g *gateway) awaitWaiting(t *testing.T, n int) {
	t.Helper()
	require.Eventually(t, func() bool { return g.metric(t, "gateway_http_waits_in_flight", nil) == n }, patience, time.Millisecond, "%s", g.log)
}

// TestStopEndsWaits shows that a stop does not wait as long as its clients would.
func TestStopEndsWaits(t *testing.T) {
	t.Parallel()
	g := startFollowing(t, "--worker-url="+startFreeWorker(t).URL)
	key := uuid.NewString()
	id := keyedID(t, key)
	answers := make(chan answer, 2)
	ask := func(a answer, err error) {
		if err != nil {
			t.Error(err)
		}
		answers <- a
	}
	go func() {
		ask(g.tryPost(t.Context(), "/v1/async", smallest, "Idempotency-Key", key, "Prefer", "wait=30"))
	}()
	g.awaitStatus(t, id, task.StatusAccepted)
	go func() { ask(tryGet(t.Context(), g.api+"/v1/tasks/"+id, "Prefer", "wait=30")) }()
	g.awaitWaiting(t, 2)

	began := time.Now()
	g.terminate()
	statuses := map[int]bool{}
	for range 2 {
		a := <-answers
		require.Equal(t, "accepted", a.field(t, "status"), "%s", a.body)
		require.Equal(t, "wait=30", a.header.Get("Preference-Applied"))
		statuses[a.status] = true
	}
	require.Equal(t, map[int]bool{http.StatusAccepted: true, http.StatusOK: true}, statuses)
	require.Equal(t, exitOK, g.stop(t), "%s", g.log)
	require.Less(t, time.Since(began), 20*time.Second)
}
