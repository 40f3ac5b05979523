package httpapi

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/gateway/internal/outcomes"
	"github.com/twinlane/twinlane/gateway/internal/taskid"
	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/task"
)

func TestIdempotencyKeys(t *testing.T) {
	t.Parallel()
	api := start(t, Config{})
	for key, valid := range map[string]bool{
		"k":                      true,
		`"8e03978e-40d5"`:        true,
		"order 4711, item 2; ~!": true,
		strings.Repeat("k", 255): true,
		"":                       false,
		strings.Repeat("k", 256): false,
		"t\tab":                  false,
		"schl\u00fcssel":         false,
	} {
		a := api.raw(t, http.MethodPost, "/v1/async", "POST /v1/async HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"+
			"Idempotency-Key: "+key+"\r\nContent-Length: 18\r\n\r\n"+smallest)
		if valid {
			require.Equal(t, http.StatusAccepted, a.status, "%q: %s", key, a.body)
			require.Equal(t, "/v1/tasks/"+newIDs(t).Keyed(key)[0], a.header.Get("Location"), "%q", key)
			continue
		}
		require.Equal(t, http.StatusBadRequest, a.status, "%q: %s", key, a.body)
		require.Equal(t, "invalid-idempotency-key", codeOf(a.problem(t)))
	}
	t.Run("given twice", func(t *testing.T) {
		t.Parallel()
		a := api.raw(t, http.MethodPost, "/v1/async", "POST /v1/async HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"+
			"Idempotency-Key: k\r\nIdempotency-Key: k\r\nContent-Length: 18\r\n\r\n"+smallest)
		require.Equal(t, "invalid-idempotency-key", codeOf(a.problem(t)))
	})
}

// TestFirstWithAKey holds what a first request publishes: its task, and then
// that it was accepted.
func TestFirstWithAKey(t *testing.T) {
	t.Parallel()
	publisher, known := &fakePublisher{}, newOutcomes()
	api := start(t, Config{Publisher: publisher, Outcomes: known})
	const body = ` {"action":"delay","run":"r-1"}`
	a := api.post(t, "/v1/async", body, "Idempotency-Key", "k")
	require.Equal(t, http.StatusAccepted, a.status, "%s", a.body)

	id := newIDs(t).Keyed("k")[0]
	require.Equal(t, []string{task.MessageType, task.MessageTypeAccepted}, publisher.types())
	message, err := task.DecodeMessage(publisher.messages[0].Body)
	require.NoError(t, err)
	require.Equal(t, id, message.ID)
	record := publisher.messages[1]
	require.Empty(t, record.Exchange)
	require.Equal(t, task.QueueResults, record.RoutingKey)
	require.Equal(t, id, record.ID)
	acceptance, err := task.DecodeAcceptance(record.Body)
	require.NoError(t, err)
	digest := sha256.Sum256([]byte(body))
	require.Equal(t, task.Acceptance{
		ID: id, Run: "r-1", AcceptedAt: message.AcceptedAt, Digest: hex.EncodeToString(digest[:]),
	}, acceptance)
	noted, ok := known.Acceptance(id)
	require.True(t, ok, "known here before it is read")
	require.Equal(t, acceptance.Digest, noted.Digest)
}

// TestRepetition holds that a key that is known has nothing published again,
// whether its task has ended or not, and whichever gateway took it in.
func TestRepetition(t *testing.T) {
	t.Parallel()
	publisher, known := &fakePublisher{}, newOutcomes()
	one := start(t, Config{Publisher: publisher, Outcomes: known})
	two := start(t, Config{Publisher: publisher, Outcomes: known})
	first := one.post(t, "/v1/async", smallest, "Idempotency-Key", "k")
	again := func() {
		for _, api := range []*testAPI{one, two} {
			a := api.post(t, "/v1/async", smallest, "Idempotency-Key", "k")
			require.Equal(t, http.StatusAccepted, a.status, "%s", a.body)
			require.Equal(t, string(first.body), string(a.body))
			require.Equal(t, first.header.Get("Location"), a.header.Get("Location"))
			a = api.post(t, "/v1/async", ` `+smallest, "Idempotency-Key", "k")
			require.Equal(t, http.StatusUnprocessableEntity, a.status, "the bytes count")
			require.Equal(t, "idempotency-key-reused", codeOf(a.problem(t)))
		}
	}
	again()
	known.finish(newIDs(t).Keyed("k")[0], task.StatusCompleted)
	again()
	require.Len(t, publisher.messages, 2)
	require.Equal(t, 1, known.accepted[""])
	require.Equal(t, 2, two.count(t, "gateway_http_repeats_total"))

	a := one.post(t, "/v1/async", smallest, "Idempotency-Key", "k", "Prefer", "wait=30")
	require.Equal(t, http.StatusOK, a.status)
	require.Contains(t, string(a.body), `"completed"`)
	require.Zero(t, known.watching())
}

// TestResultBeforeTheAcceptance has a task end, as this gateway sees it, before
// its acceptance by another one is read.
func TestResultBeforeTheAcceptance(t *testing.T) {
	t.Parallel()
	publisher, known := &fakePublisher{}, newOutcomes()
	api := start(t, Config{Publisher: publisher, Outcomes: known})
	known.finish(newIDs(t).Keyed("k")[0], task.StatusCompleted)
	require.Equal(t, http.StatusAccepted, api.post(t, "/v1/async", smallest, "Idempotency-Key", "k").status)
	require.Empty(t, publisher.messages)
}

// TestKeyDuringItsOwnRequest has a key come again while its task is being
// published, and then afterwards.
func TestKeyDuringItsOwnRequest(t *testing.T) {
	t.Parallel()
	entered, leave := make(chan struct{}), make(chan struct{})
	release := sync.OnceFunc(func() { close(leave) })
	var published atomic.Int64
	api := start(t, Config{Publisher: publishFunc(func(m rabbitmq.Message) {
		if published.Add(1); m.Type == task.MessageType {
			close(entered)
			<-leave
		}
	})})
	t.Cleanup(release) // or a request that should have been refused would keep the server
	first := make(chan int, 1)
	go func() { first <- api.async(smallest, "Idempotency-Key", "k") }()
	<-entered
	for _, body := range []string{smallest, `{"action":"cpu"}`} {
		a := api.post(t, "/v1/async", body, "Idempotency-Key", "k", "Prefer", "wait=30")
		require.Equal(t, http.StatusConflict, a.status)
		require.Equal(t, "idempotency-key-in-use", codeOf(a.problem(t)))
		require.Equal(t, "1", a.header.Get("Retry-After"))
	}
	release()
	require.Equal(t, http.StatusAccepted, <-first)
	require.Equal(t, http.StatusAccepted, api.post(t, "/v1/async", smallest, "Idempotency-Key", "k").status)
	require.Equal(t, int64(2), published.Load(), "a task and its acceptance")
}

// TestManyWithOneKey has many requests with one key at the same time: one task
// is published.
func TestManyWithOneKey(t *testing.T) {
	t.Parallel()
	publisher := &fakePublisher{}
	api := start(t, Config{Publisher: publisher})
	var accepted, inUse atomic.Int64
	var requests sync.WaitGroup
	for range 50 {
		requests.Go(func() {
			switch status := api.async(smallest, "Idempotency-Key", "k"); status {
			case http.StatusAccepted:
				accepted.Add(1)
			case http.StatusConflict:
				inUse.Add(1)
			default:
				t.Errorf("status %d", status)
			}
		})
	}
	requests.Wait()
	require.Len(t, publisher.types(), 2)
	require.Positive(t, accepted.Load())
	require.Equal(t, int64(50), accepted.Load()+inUse.Load())
}

// hasty outcomes learn of an acceptance as soon as they have said that there is
// none.
type hasty struct {
	*fakeOutcomes
	acceptance task.Acceptance
}

func (o hasty) Lookup(id string, issuedAt time.Time) (task.Result, outcomes.State) {
	defer o.Accepted(o.acceptance)
	return o.fakeOutcomes.Lookup(id, issuedAt)
}

// TestKeyThatIsTakenMeanwhile has another request with the key be done between
// the look for the key and the claim to it.
func TestKeyThatIsTakenMeanwhile(t *testing.T) {
	t.Parallel()
	digest := sha256.Sum256([]byte(smallest))
	publisher := &fakePublisher{}
	api := start(t, Config{Publisher: publisher, Outcomes: hasty{
		newOutcomes(), task.Acceptance{ID: newIDs(t).Keyed("k")[0], Digest: hex.EncodeToString(digest[:])},
	}})
	require.Equal(t, http.StatusAccepted, api.post(t, "/v1/async", smallest, "Idempotency-Key", "k").status)
	require.Empty(t, publisher.messages)
}

// TestTaskThatIsNotConfirmed holds that a key without a task is free.
func TestTaskThatIsNotConfirmed(t *testing.T) {
	t.Parallel()
	publisher, known := &fakePublisher{err: rabbitmq.ErrNacked}, newOutcomes()
	api := start(t, Config{Publisher: publisher, Outcomes: known})
	for range 2 {
		require.Equal(t, http.StatusTooManyRequests, api.post(t, "/v1/async", smallest, "Idempotency-Key", "k").status)
	}
	require.Equal(t, []string{task.MessageType, task.MessageType}, publisher.types())
	require.Empty(t, known.acceptances)
}

// TestKeyThatCannotBeLookedUp shows that no task is published whose key may be
// known to the outcomes that are still to be read.
func TestKeyThatCannotBeLookedUp(t *testing.T) {
	t.Parallel()
	publisher, known := &fakePublisher{}, newOutcomes()
	known.state = outcomes.Behind
	api := start(t, Config{Publisher: publisher, Outcomes: known})
	a := api.post(t, "/v1/async", smallest, "Idempotency-Key", "k")
	require.Equal(t, http.StatusServiceUnavailable, a.status)
	require.Equal(t, "results-behind", codeOf(a.problem(t)))
	require.NotEmpty(t, a.header.Get("Retry-After"))
	require.Empty(t, publisher.messages)
	require.Equal(t, http.StatusAccepted, api.post(t, "/v1/async", smallest).status, "a request without a key needs none of that")
}

// TestKeysWhileTheSigningKeyIsReplaced repeats a request at a gateway that signs
// with another key already.
func TestKeysWhileTheSigningKeyIsReplaced(t *testing.T) {
	t.Parallel()
	publisher, known := &fakePublisher{}, newOutcomes()
	before, after := []byte("the key until today"), []byte("the key from now on")
	var ids []string
	for _, keys := range [][][]byte{{before, after}, {after, before}} {
		signer, err := taskid.NewSigner(keys...)
		require.NoError(t, err)
		api := start(t, Config{Publisher: publisher, Outcomes: known, IDs: signer})
		var got accepted
		require.NoError(t, json.Unmarshal(api.post(t, "/v1/async", smallest, "Idempotency-Key", "k").body, &got))
		ids = append(ids, got.ID)
	}
	require.Equal(t, ids[0], ids[1])
	require.Len(t, publisher.messages, 2)
}

// TestRecordsGoAnotherWay shows that a stream that answers no more costs the
// requests without a key nothing.
func TestRecordsGoAnotherWay(t *testing.T) {
	t.Parallel()
	tasks, records := &fakePublisher{}, &fakePublisher{err: rabbitmq.ErrOutcomeUnknown}
	api := start(t, Config{Publisher: tasks, Records: records})
	require.Equal(t, http.StatusAccepted, api.post(t, "/v1/async", smallest).status)
	require.Equal(t, http.StatusServiceUnavailable, api.post(t, "/v1/async", smallest, "Idempotency-Key", "k").status)
	require.Equal(t, []string{task.MessageType, task.MessageType}, tasks.types())
	require.Equal(t, []string{task.MessageTypeAccepted}, records.types())
}
