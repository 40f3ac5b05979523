// Package outcomes is what a gateway knows of tasks that it has handed in: what
// became of each, and the books of each run. It reads both from the results
// stream, so that every gateway knows the same without a store, and knows it
// again after a restart.
//
// It is a cache, bounded by count, bytes and age, and it never guesses: of a
// task that it may have known and has forgotten it says so. It deliberately
// knows nothing of HTTP, and of the broker nothing but the form of a message.
package outcomes

import (
	"cmp"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/twinlane/twinlane/internal/service"
	"github.com/twinlane/twinlane/internal/task"
)

// The bounds of an index whose Config names none.
const (
	DefaultMaxTasks = 500_000
	DefaultMaxBytes = 128 << 20
)

// Config bounds an index. Zero stands for the default of each field.
type Config struct {
	// MaxTasks bounds the tasks that are held.
	MaxTasks int
	// MaxBytes bounds what the tasks take in memory, outputs and errors included.
	MaxBytes int64
	// Retention is how long a task is held after it was last heard of, and the
	// age of the oldest task id that a false "not finished" could be said of. Its
	// default is task.ResultRetention.
	Retention time.Duration
}

func (c Config) withDefaults() Config {
	return Config{
		MaxTasks:  cmp.Or(c.MaxTasks, DefaultMaxTasks),
		MaxBytes:  cmp.Or(c.MaxBytes, DefaultMaxBytes),
		Retention: cmp.Or(c.Retention, task.ResultRetention),
	}
}

// State is what an index can say of a task.
type State int

// The states of a task.
const (
	// Known is a task whose final outcome is held.
	Known State = iota + 1
	// Accepted is a task that has no outcome yet.
	Accepted
	// Gone is a task that may have been held and was forgotten, or is older than
	// anything that is held.
	Gone
	// Behind is a task that is not held, by an index that has not read everything.
	Behind
	// Unknown is the task of a keyed request that is not held: nobody can tell
	// whether it was forgotten, is still to be read of, or never was.
	Unknown
)

// Index holds outcomes, acceptances and runs. Read is for one goroutine, the
// other methods are for any number.
type Index struct {
	cfg     Config
	logger  *slog.Logger
	metrics *metrics

	position position  // of the goroutine that calls Read
	logged   time.Time // likewise: when a message was last logged

	mu      sync.RWMutex // guards what follows; never held while a message is decoded
	ids     map[key]uint32
	entries entries
	bytes   int64
	runs    runs
	waiters waiters
	// horizon is the newest time at which a task was issued that may have been
	// held and is not held any more.
	horizon time.Time
	// forgotten is the newest place in the stream that something forgotten was
	// read at.
	forgotten uint32

	caughtUp atomic.Bool
	behind   atomic.Int64 // since when it is not caught up, in nanoseconds since 1970
}

// New returns an empty index, which is behind until a Follower has caught up.
func New(cfg Config, reg prometheus.Registerer, logger *slog.Logger) *Index {
	x := &Index{
		cfg:      cfg.withDefaults(),
		logger:   service.OrDiscard(logger).With("component", "outcomes"),
		position: newPosition(),
		ids:      make(map[key]uint32),
		runs:     newRuns(),
		waiters:  waiters{byID: make(map[key][]chan task.Result)},
	}
	x.entries.init()
	x.metrics = newMetrics(reg, x)
	x.behind.Store(time.Now().UnixNano())
	return x
}

// Lookup says what became of a task. The result is final where the state is
// Known, and says who was accepted and when, as far as that is known, where it
// is Accepted. issuedAt is the time in the id; it is zero for the id of a keyed
// request, which has none, and which is Accepted only where its acceptance is
// held, and never Gone.
func (x *Index) Lookup(id string, issuedAt time.Time) (task.Result, State) {
	k := keyOf(id)
	caughtUp := x.caughtUp.Load() // before the look: what was read until then is seen
	x.mu.RLock()
	defer x.mu.RUnlock()
	if e := x.find(k); e != nil {
		if e.status == accepted {
			return e.result(id), Accepted
		}
		return e.result(id), Known
	}
	switch {
	case !caughtUp:
		return task.Result{}, Behind
	case issuedAt.IsZero():
		return task.Result{}, Unknown
	case !issuedAt.After(x.horizon), issuedAt.Before(time.Now().Add(-x.cfg.Retention)):
		return task.Result{}, Gone
	default:
		return task.Result{}, Accepted
	}
}

// Acceptance returns the acceptance of a keyed request, whether or not its task
// is finished, while it is held.
func (x *Index) Acceptance(id string) (task.Acceptance, bool) {
	k := keyOf(id)
	x.mu.RLock()
	defer x.mu.RUnlock()
	e := x.find(k)
	if e == nil || !e.hasDigest() {
		return task.Acceptance{}, false
	}
	return task.Acceptance{ID: id, Run: e.runName(), AcceptedAt: timeOf(e.acceptedAt), Digest: e.more.digest}, true
}

// Accepted notes the acceptance of a keyed request by this gateway itself, so
// that it is known before it is read.
func (x *Index) Accepted(a task.Acceptance) {
	now := time.Now()
	defer x.sweep(now)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.accept(&a, source{seen: now})
}

// AcceptedHere counts a task that this gateway has accepted for a run. A task
// that belongs to none is not counted, and neither is that of a new run while as
// many are held as may be: requests displace no run that has outcomes.
func (x *Index) AcceptedHere(run string) {
	if run == "" {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if this := x.runs.hear(run, time.Now()); this.tally != nil {
		this.tally.acceptedHere++
	}
}

// Run returns the books of a run. A run that nothing is known of has empty ones.
func (x *Index) Run(name string) Books {
	x.mu.RLock()
	defer x.mu.RUnlock()
	b := x.runs.books(name)
	b.CaughtUp = x.caughtUp.Load()
	return b
}

// find returns the entry of a task, or nil. The caller holds the lock.
func (x *Index) find(k key) *entry {
	if i, ok := x.ids[k]; ok {
		return x.entries.at(i)
	}
	return nil
}

// setCaughtUp says whether everything that was in the stream was read.
func (x *Index) setCaughtUp(caughtUp bool) {
	if was := x.caughtUp.Swap(caughtUp); was && !caughtUp {
		x.behind.Store(time.Now().UnixNano())
	}
}

// behindFor is for how long the index has not been caught up; 0 while it is.
func (x *Index) behindFor() time.Duration {
	if x.caughtUp.Load() {
		return 0
	}
	return max(time.Since(time.Unix(0, x.behind.Load())), 0)
}
