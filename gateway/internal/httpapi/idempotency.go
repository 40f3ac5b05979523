package httpapi

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/twinlane/twinlane/gateway/internal/outcomes"
	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/task"
)

const (
	headerIdempotencyKey = "Idempotency-Key"
	// maxKeyLen is the length of the longest Idempotency-Key.
	maxKeyLen = 255
)

// The ways in which an Idempotency-Key gets a request refused.
var (
	errBadKey    = fmt.Errorf("%s not valid; allowed: one line of 1 to %d printable ASCII characters", headerIdempotencyKey, maxKeyLen)
	errKeyInUse  = errors.New("a request with this " + headerIdempotencyKey + " is being taken in")
	errKeyReused = errors.New("this " + headerIdempotencyKey + " belongs to a request with another body")
)

// idempotencyKey returns the key of a request, exactly as given, and an empty
// one for a request without.
func idempotencyKey(h http.Header) (string, error) {
	lines := h[headerIdempotencyKey]
	if len(lines) == 0 {
		return "", nil
	}
	if len(lines) > 1 || lines[0] == "" || len(lines[0]) > maxKeyLen || !printable(lines[0]) {
		return "", errBadKey
	}
	return lines[0], nil
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// takeInOnce takes in a task with a key: once, however often it is handed in.
// It returns the id of the task, which is that of the first time.
//
// The task is confirmed before its acceptance is, so that no gateway knows of
// an acceptance without a task. In between the acceptance is pending: a retry
// here publishes the rest. A crash then has a retry take the task in a second
// time, under the same id.
func (a *api) takeInOnce(ctx context.Context, r *incoming, key string, w *wait) (string, error) {
	ids := a.ids.Keyed(key)
	sum := sha256.Sum256(r.body)
	digest := hex.EncodeToString(sum[:])
	if id, err := a.known(ids, digest); id != "" || err != nil {
		return id, err
	}
	id := ids[0]
	if !a.keys.add(id) {
		return "", errKeyInUse
	}
	defer a.keys.remove(id)
	acceptance, published := a.pending.get(id) // before the look: it leaves when it is known
	// Another request may have finished since. None can begin from here on.
	if id, err := a.known(ids, digest); id != "" || err != nil {
		return id, err
	}
	if !published {
		if err := a.publish(ctx, r, id, w); err != nil {
			return "", err
		}
		acceptance = task.Acceptance{ID: id, Run: r.task.Run, AcceptedAt: r.task.AcceptedAt, Digest: digest}
		a.pending.add(acceptance)
	}
	if err := a.publishAcceptance(ctx, acceptance); err != nil {
		return "", err
	}
	return id, nil
}

// known returns the one of ids under which the task was taken in before, or
// none, as where its acceptance is pending. While that cannot be told it
// returns errResultsBehind.
func (a *api) known(ids []string, digest string) (string, error) {
	for _, id := range ids {
		acceptance, accepted := a.outcomes.Acceptance(id)
		_, state := a.outcomes.Lookup(id, time.Time{})
		own, pending := a.pending.get(id)
		if pending && (accepted || state == outcomes.Known) {
			a.accept(own)
		}
		if pending && !accepted {
			acceptance = own
		}
		switch {
		case (accepted || pending) && acceptance.Digest != digest:
			return "", errKeyReused
		case accepted, state == outcomes.Known: // a result may come before its task's acceptance
			a.metrics.repeats.Inc()
			return id, nil
		case pending:
			return "", nil
		case state == outcomes.Behind:
			return "", errResultsBehind
		}
	}
	return "", nil
}

// publishAcceptance tells all gateways, and this one at once, which task a key
// belongs to.
func (a *api) publishAcceptance(ctx context.Context, acceptance task.Acceptance) error {
	body, err := acceptance.Encode()
	if err != nil {
		return err
	}
	message := rabbitmq.AcceptanceMessage(acceptance.ID, body, acceptance.AcceptedAt)
	ctx = context.WithoutCancel(ctx) // the client may go away, its task is there
	if err := a.records.Publish(ctx, message); err != nil {
		// Not accepted, as the key would not hold; not refused either.
		return &publishError{taskID: acceptance.ID, err: fmt.Errorf("%w: acceptance: %w", rabbitmq.ErrOutcomeUnknown, err)}
	}
	a.accept(acceptance)
	return nil
}

// accept notes that every gateway knows a key, or will, and counts its task: once,
// however it became known.
func (a *api) accept(acceptance task.Acceptance) {
	a.outcomes.Accepted(acceptance)
	if a.pending.remove(acceptance.ID) {
		a.outcomes.AcceptedHere(acceptance.Run)
	}
}

// keySet is the ids that belong to the keys of the requests being taken in.
// There are no more of them than such requests.
type keySet struct {
	mu  sync.Mutex
	ids map[string]struct{}
}

// add reports false for an id that is there already.
func (s *keySet) add(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, there := s.ids[id]; there {
		return false
	}
	if s.ids == nil {
		s.ids = map[string]struct{}{}
	}
	s.ids[id] = struct{}{}
	return true
}

func (s *keySet) remove(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.ids, id)
}
