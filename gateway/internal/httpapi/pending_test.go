package httpapi

import (
	"net/http"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/gateway/internal/outcomes"
	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/task"
)

// TestAcceptanceThatIsNotConfirmed holds that there is no 202 on a task alone,
// as its key would not hold at another gateway, and that the task is published
// once however often the request is repeated here.
func TestAcceptanceThatIsNotConfirmed(t *testing.T) {
	t.Parallel()
	for _, failure := range []error{
		rabbitmq.ErrOutcomeUnknown, rabbitmq.ErrNacked, rabbitmq.ErrUnroutable, rabbitmq.ErrUnavailable, rabbitmq.ErrBlocked, rabbitmq.ErrSaturated,
	} {
		t.Run(failure.Error(), func(t *testing.T) {
			t.Parallel()
			tasks, records, known := &fakePublisher{}, &fakePublisher{err: failure}, newOutcomes()
			api := start(t, Config{Publisher: tasks, Records: records, Outcomes: known})
			id := newIDs(t).Keyed("k")[0]
			for _, known.state = range []outcomes.State{outcomes.Unknown, outcomes.Unknown, outcomes.Behind} {
				a := api.post(t, "/v1/async", smallest, "Idempotency-Key", "k")
				require.Equal(t, http.StatusServiceUnavailable, a.status)
				require.Equal(t, "outcome-unknown", codeOf(a.problem(t)))
				require.Equal(t, id, a.problem(t).TaskID)
				require.NotEmpty(t, a.header.Get("Retry-After"))
				a = api.post(t, "/v1/async", ` `+smallest, "Idempotency-Key", "k")
				require.Equal(t, http.StatusUnprocessableEntity, a.status)
				require.Equal(t, "idempotency-key-reused", codeOf(a.problem(t)))
				a = api.send(t, http.MethodGet, "/v1/tasks/"+id, nil)
				require.Equal(t, http.StatusOK, a.status, "%s", a.body)
				require.Contains(t, string(a.body), `"accepted"`)
			}
			require.Len(t, tasks.messages, 1)
			require.Len(t, records.messages, 3)
			require.Empty(t, known.acceptances)
			require.Empty(t, known.accepted)

			records.err = nil
			for range 2 {
				a := api.post(t, "/v1/async", smallest, "Idempotency-Key", "k")
				require.Equal(t, http.StatusAccepted, a.status)
				require.Contains(t, string(a.body), id)
			}
			require.Len(t, tasks.messages, 1)
			require.Len(t, records.messages, 4)
			require.Equal(t, records.messages[0], records.messages[3], "it says when the task was accepted")
			require.Equal(t, map[string]int{"": 1}, known.accepted)

			known.acceptances, known.state = map[string]task.Acceptance{}, 0
			a := api.post(t, "/v1/async", ` `+smallest, "Idempotency-Key", "k")
			require.Equal(t, http.StatusAccepted, a.status, "what is confirmed is not remembered here as well")
		})
	}
}

// TestPendingKeyThatIsReadOf has what was not confirmed be read of: the key is
// known then, nothing is published any more, and the body still counts.
func TestPendingKeyThatIsReadOf(t *testing.T) {
	t.Parallel()
	id := newIDs(t).Keyed("k")[0]
	for name, read := range map[string]func(o *fakeOutcomes, record rabbitmq.Message){
		"the outcome": func(o *fakeOutcomes, _ rabbitmq.Message) { o.finish(id, task.StatusCompleted) },
		"the acceptance": func(o *fakeOutcomes, record rabbitmq.Message) {
			acceptance, err := task.DecodeAcceptance(record.Body)
			require.NoError(t, err)
			o.Accepted(acceptance)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tasks, records, known := &fakePublisher{}, &fakePublisher{err: rabbitmq.ErrOutcomeUnknown}, newOutcomes()
			api := start(t, Config{Publisher: tasks, Records: records, Outcomes: known})
			require.Equal(t, http.StatusServiceUnavailable, api.post(t, "/v1/async", smallest, "Idempotency-Key", "k").status)
			read(known, records.messages[0])
			for range 2 {
				require.Equal(t, http.StatusAccepted, api.post(t, "/v1/async", smallest, "Idempotency-Key", "k").status)
				require.Equal(t, http.StatusUnprocessableEntity, api.post(t, "/v1/async", ` `+smallest, "Idempotency-Key", "k").status)
			}
			require.Len(t, tasks.messages, 1)
			require.Len(t, records.messages, 1)
			require.Equal(t, map[string]int{"": 1}, known.accepted, "accepted once")
		})
	}
}

func TestPendingIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var p pending
		require.False(t, p.remove("0"))
		add := func(from, to int) {
			for n := from; n < to; n++ {
				p.add(task.Acceptance{ID: strconv.Itoa(n)})
			}
		}
		requireHeld := func(n int, want bool) {
			t.Helper()
			a, held := p.get(strconv.Itoa(n))
			require.Equal(t, want, held, n)
			require.Equal(t, want, a.ID != "")
		}
		add(0, maxPending)
		requireHeld(0, true)
		add(maxPending, maxPending+10)
		requireHeld(9, false)
		requireHeld(10, true)
		require.True(t, p.remove("10"))
		requireHeld(10, false)
		add(10, 11) // there is room, and it is the newest now
		requireHeld(11, true)

		time.Sleep(pendingFor) //nolint:forbidigo // The bubble's time.
		requireHeld(11, true)
		time.Sleep(time.Nanosecond) //nolint:forbidigo // As above.
		requireHeld(11, false)
		require.Empty(t, p.byID)
		require.Zero(t, p.order.Len())
	})
}
