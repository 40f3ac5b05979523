package outcomes

import (
	"encoding/json"
	"math"
	"slices"
	"time"

	"github.com/twinlane/twinlane/internal/task"
)

// entry is what is held of one task: small for most, and of any size for those
// that have more.
type entry struct {
	key        key
	prev, next uint32 // in the order of age; of an entry that is not in use, next is the next such
	seen       uint32 // when it was last heard of, in seconds since 1970
	written    uint32 // the last place in the stream where it was read of; see position
	acceptedAt int64  // times as stamp makes them
	startedAt  int64
	finishedAt int64
	run        *run // nil for a task that belongs to none
	more       *more
	attempt    int32
	status     status
}

// more is what most tasks do not have.
type more struct {
	output json.RawMessage
	reason task.Reason
	err    string
	digest string // of a keyed request
	// others are the executions that are known beside the one that the entry
	// shows.
	others []execution
}

// execution tells the executions of a task apart: two outcomes with the same
// status and time are one, read twice.
type execution struct {
	at     int64
	status status
}

// status is a task.Status in a byte.
type status uint8

const (
	accepted status = iota + 1
	completed
	dead
	discarded
)

// statusOf returns the status of an outcome, which is final.
func statusOf(s task.Status) status {
	switch s {
	case task.StatusCompleted:
		return completed
	case task.StatusDiscarded:
		return discarded
	default:
		return dead
	}
}

func (s status) name() task.Status {
	switch s {
	case completed:
		return task.StatusCompleted
	case dead:
		return task.StatusDead
	case discarded:
		return task.StatusDiscarded
	default:
		return task.StatusAccepted
	}
}

const (
	// entryBytes is what an entry takes with its place in the map, moreBytes
	// what it takes when it has more.
	entryBytes     = 144
	moreBytes      = 112
	executionBytes = 16

	// maxOthers bounds the executions of a task that are remembered. Those
	// beyond cannot be told from replays and change nothing, unless it is the
	// first completion.
	maxOthers = 64
)

// size is what the entry takes in memory, roughly.
func (e *entry) size() int64 {
	n := entryBytes
	if m := e.more; m != nil {
		n += moreBytes + len(m.output) + len(m.reason) + len(m.err) + len(m.digest) + cap(m.others)*executionBytes
	}
	return int64(n)
}

func (e *entry) getMore() *more {
	if e.more == nil {
		e.more = &more{}
	}
	return e.more
}

func (e *entry) execution() execution { return execution{at: e.finishedAt, status: e.status} }

// knows reports whether an execution was read before, or can no longer be told
// from one that was.
func (e *entry) knows(x execution) bool {
	if e.status == accepted {
		return false
	}
	if e.execution() == x {
		return true
	}
	if e.more == nil {
		return false
	}
	if slices.Contains(e.more.others, x) {
		return true
	}
	return len(e.more.others) >= maxOthers && (x.status != completed || e.status == completed)
}

func (e *entry) remember(x execution) {
	if m := e.getMore(); len(m.others) < maxOthers {
		m.others = append(m.others, x)
	}
}

// readAt notes where something of the task was read, be it known or not.
func (e *entry) readAt(src source) { e.written = max(e.written, src.written) }

// hasDigest reports whether the acceptance of a keyed request is known.
func (e *entry) hasDigest() bool { return e.more != nil && e.more.digest != "" }

func (e *entry) runName() string {
	if e.run == nil {
		return ""
	}
	return e.run.name
}

// show makes r what the entry shows of its task. Nothing in r is a part of the
// message that it came in, which is not kept.
func (e *entry) show(r *task.Result) {
	e.status = statusOf(r.Status)
	e.attempt = int32(min(max(r.Attempt, 0), math.MaxInt32))
	e.acceptedAt, e.startedAt, e.finishedAt = stamp(r.AcceptedAt), stamp(r.StartedAt), stamp(r.FinishedAt)
	if len(r.Output) == 0 && r.Reason == "" && r.Error == "" && e.more == nil {
		return
	}
	m := e.getMore()
	m.output, m.reason, m.err = r.Output, r.Reason, r.Error
}

// result is what the entry shows.
func (e *entry) result(id string) task.Result {
	r := task.Result{
		ID: id, Run: e.runName(), Status: e.status.name(), Attempt: int(e.attempt),
		AcceptedAt: timeOf(e.acceptedAt), StartedAt: timeOf(e.startedAt), FinishedAt: timeOf(e.finishedAt),
	}
	if e.more != nil {
		r.Output, r.Reason, r.Error = e.more.output, e.more.reason, e.more.err
	}
	return r
}

// stamp is a time in nanoseconds since 1970, or 0 for one that is unknown. A
// time that nanoseconds do not reach is none that a task can have.
func stamp(t time.Time) int64 {
	if t.Year() < 1970 || t.Year() > 2200 {
		return 0
	}
	return t.UnixNano()
}

func timeOf(stamp int64) time.Time {
	if stamp == 0 {
		return time.Time{}
	}
	return time.Unix(0, stamp).UTC()
}
