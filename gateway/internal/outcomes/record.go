package outcomes

import (
	"cmp"
	"time"

	"github.com/twinlane/twinlane/internal/task"
)

// record takes in an outcome, which is an execution of its task, by this table:
//
//	the task is          and this execution   becomes     counts
//	unknown or accepted  any                  its status  as its status
//	dead, discarded      another              its status  as its status, no more as the one before
//	completed            another              completed   as a duplicate
//	any of these         known                what it is  not
func (x *Index) record(r *task.Result, this execution, src source) skip {
	k := keyOf(r.ID)
	x.mu.Lock()
	defer x.mu.Unlock()
	i, ok := x.ids[k]
	if ok && x.entries.at(i).knows(this) {
		x.entries.at(i).readAt(src)
		return skipReplayed
	}
	if x.hasForgotten(src) {
		return skipForgotten
	}
	if !ok {
		i = x.add(k)
	}
	e := x.entries.at(i)
	x.metrics.read[this.status].Inc()
	x.bytes -= e.size()
	if e.status == completed {
		x.duplicate(e, r, this, src)
	} else {
		x.settle(e, r, this, src)
	}
	x.bytes += e.size()
	x.renew(i, src)
	return ""
}

// settle makes r the outcome of its task, which is not completed yet.
func (x *Index) settle(e *entry, r *task.Result, this execution, src source) {
	if e.status != accepted {
		e.remember(e.execution())
		if e.run != nil && e.run.tally != nil {
			e.run.tally.settled[e.status]--
		}
	}
	e.show(r)
	if e.execution() != this {
		e.remember(this)
	}
	if e.run = x.runOf(e, r.Run, src); e.run != nil {
		e.run.tally.settle(r)
	}
	x.waiters.wake(e.key, e.result(r.ID))
}

func (x *Index) duplicate(e *entry, r *task.Result, this execution, src source) {
	e.remember(this)
	x.metrics.duplicates.Inc()
	if e.run = x.runOf(e, r.Run, src); e.run != nil {
		e.run.tally.duplicates++
	}
}

// accept takes in the acceptance of a keyed request. Where several gateways
// accepted one, the first counts. The caller holds the lock.
func (x *Index) accept(a *task.Acceptance, src source) skip {
	k := keyOf(a.ID)
	i, ok := x.ids[k]
	if ok && x.entries.at(i).hasDigest() {
		x.entries.at(i).readAt(src)
		return skipReplayed
	}
	if x.hasForgotten(src) {
		return skipForgotten
	}
	if !ok {
		i = x.add(k)
	}
	e := x.entries.at(i)
	x.bytes -= e.size()
	e.getMore().digest = a.Digest
	if e.status == accepted { // else it is counted in its run already, and says when it was accepted
		e.acceptedAt = stamp(a.AcceptedAt)
		if a.Run != "" {
			e.run = x.runs.hear(a.Run, src.seen)
		}
	}
	x.bytes += e.size()
	x.renew(i, src)
	return ""
}

// add returns a new entry that is accepted.
func (x *Index) add(k key) uint32 {
	i := x.entries.add(k)
	e := x.entries.at(i)
	e.status = accepted
	x.ids[k] = i
	x.bytes += e.size()
	return i
}

// renew notes that an entry was heard of.
func (x *Index) renew(i uint32, src source) {
	e := x.entries.at(i)
	e.seen = max(e.seen, uint32(max(src.seen.Unix(), 0))) //nolint:gosec // Until 2106.
	e.readAt(src)
	x.entries.renew(i)
}

// runOf is the run of a task, by the name that was just heard or else by the one
// known; nil where it belongs to none.
func (x *Index) runOf(e *entry, name string, src source) *run {
	if name = cmp.Or(name, e.runName()); name == "" {
		return nil
	}
	return x.runs.touch(name, src.seen)
}

// hasForgotten reports whether what is not known was read before: its offset
// was, and what was read at this place or a later one is forgotten. In a stream
// that replaced another, offsets are read again, but at later places.
func (x *Index) hasForgotten(src source) bool {
	return src.again && x.forgotten != 0 && src.written <= x.forgotten
}

// sweepBatch is how many entries that are too old are forgotten at a time, so
// that nobody waits for long.
const sweepBatch = 64

// sweep forgets what is too much or too old, and reports whether there may be
// more of that.
func (x *Index) sweep(now time.Time) (more bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	before := now.Add(-x.cfg.Retention)
	x.runs.expire(before)
	for n := 0; x.entries.len > 0; n++ {
		e := x.entries.at(x.entries.oldest())
		switch {
		case x.entries.len > x.cfg.MaxTasks:
			x.forget(e, evictedCount, now)
		case x.bytes > x.cfg.MaxBytes:
			x.forget(e, evictedBytes, now)
		case !seconds(e.seen).Before(before):
			return false
		case n >= sweepBatch:
			return true
		default:
			x.forget(e, evictedAge, now)
		}
	}
	return false
}

// maxSkew is how far the clock of a gateway may be ahead of this one's. What was
// issued later than that was issued by none.
const maxSkew = 5 * time.Minute

// forget removes the oldest entry. From then on, a task that was issued no later
// is not taken for unfinished.
func (x *Index) forget(e *entry, cause evicted, now time.Time) {
	x.metrics.evicted[cause].Inc()
	x.bytes -= e.size()
	x.forgotten = max(x.forgotten, e.written)
	if issued := e.key.issuedAt(); issued.After(x.horizon) && !issued.After(now.Add(maxSkew)) {
		x.horizon = issued
	}
	delete(x.ids, e.key)
	x.entries.remove(x.entries.oldest())
}

// miss notes that what was written before a time may not have been read. A task
// that was issued at that very time may be unfinished.
func (x *Index) miss(before, now time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if before.After(now) {
		before = now
	}
	if last := before.Add(-1); last.After(x.horizon) {
		x.horizon = last
	}
}
