package httpapi

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/gateway/internal/outcomes"
	"github.com/twinlane/twinlane/gateway/internal/taskid"
	"github.com/twinlane/twinlane/internal/task"
)

// fakeOutcomes knows what a test tells it. A task of which it was told nothing
// is accepted if its id has a time, and else unknown.
type fakeOutcomes struct {
	state outcomes.State // of a task of which it was told nothing, where it is not zero

	mu          sync.Mutex
	results     map[string]task.Result
	acceptances map[string]task.Acceptance
	watched     map[string][]chan task.Result
	watches     int // under way
	accepted    map[string]int
	issuedAt    time.Time // as it was asked last
}

func newOutcomes() *fakeOutcomes {
	return &fakeOutcomes{
		results:     map[string]task.Result{},
		acceptances: map[string]task.Acceptance{},
		watched:     map[string][]chan task.Result{},
		accepted:    map[string]int{},
	}
}

// finish has a task end.
func (o *fakeOutcomes) finish(id string, status task.Status) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	o.results[id] = task.Result{ID: id, Status: status, Attempt: 1, AcceptedAt: now, StartedAt: now, FinishedAt: now}
	for _, result := range o.watched[id] {
		result <- o.results[id]
	}
	delete(o.watched, id)
}

// forget has the outcomes know nothing of a task any more.
func (o *fakeOutcomes) forget(id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.results, id)
}

func (o *fakeOutcomes) Lookup(id string, issuedAt time.Time) (task.Result, outcomes.State) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.issuedAt = issuedAt
	if result, ok := o.results[id]; ok {
		return result, outcomes.Known
	}
	_, accepted := o.acceptances[id]
	switch {
	case accepted:
		return task.Result{}, outcomes.Accepted
	case o.state != 0:
		return task.Result{}, o.state
	case issuedAt.IsZero():
		return task.Result{}, outcomes.Unknown
	default:
		return task.Result{}, outcomes.Accepted
	}
}

func (o *fakeOutcomes) Watch(id string) (<-chan task.Result, func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	result := make(chan task.Result, 1)
	if known, ok := o.results[id]; ok {
		result <- known
	} else {
		o.watched[id] = append(o.watched[id], result)
	}
	o.watches++
	return result, sync.OnceFunc(func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.watches--
	})
}

// watching is how many watch, and have not stopped.
func (o *fakeOutcomes) watching() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.watches
}

func (o *fakeOutcomes) Acceptance(id string) (task.Acceptance, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	acceptance, ok := o.acceptances[id]
	return acceptance, ok
}

func (o *fakeOutcomes) Accepted(acceptance task.Acceptance) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.acceptances[acceptance.ID] = acceptance
}

func (o *fakeOutcomes) AcceptedHere(run string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.accepted[run]++
}

func (o *fakeOutcomes) Run(name string) outcomes.Books {
	o.mu.Lock()
	defer o.mu.Unlock()
	return outcomes.Books{Run: name, AcceptedHere: int64(o.accepted[name])}
}

// newIDs returns a signer that all tests have the key of.
func newIDs(t testing.TB) *taskid.Signer {
	t.Helper()
	ids, err := taskid.NewSigner([]byte("the key of all tests"))
	require.NoError(t, err)
	return ids
}
