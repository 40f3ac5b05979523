package faults

import (
	"fmt"
	"net/http"
	"slices"
	"time"
)

// timeline is attempts in the order of their start.
type timeline []Attempt

// so far every attempt that has its outcome.
func (l *Lab) timeline() timeline { return l.ledger.all() }

// where selects attempts.
func (t timeline) where(is func(Attempt) bool) timeline {
	return slices.DeleteFunc(slices.Clone(t), func(a Attempt) bool { return !is(a) })
}

// of selects by outcome.
func (t timeline) of(o Outcome) timeline {
	return t.where(func(a Attempt) bool { return a.Outcome == o })
}

// told selects by the code of the problem.
func (t timeline) told(problem string) timeline {
	return t.where(func(a Attempt) bool { return a.Problem == problem })
}

// between selects what was started in a span of time.
func (t timeline) between(from, to time.Time) timeline {
	return t.where(func(a Attempt) bool { return a.Started.After(from) && a.Started.Before(to) })
}

// answered is when the first answer came after a moment; the zero time where none did.
func (t timeline) answered(after time.Time) (first time.Time) {
	for _, a := range t {
		if end := a.ended(); end.After(after) && (first.IsZero() || end.Before(first)) {
			first = end
		}
	}
	return first
}

// percentile is a percentile of the answer times.
func (t timeline) percentile(p int) time.Duration {
	if len(t) == 0 {
		return 0
	}
	all := make([]time.Duration, len(t))
	for i, a := range t {
		all[i] = a.Elapsed
	}
	slices.Sort(all)
	return all[min(len(all)*p/100, len(all)-1)]
}

// ids are the client ids.
func (t timeline) ids() []string {
	ids := make([]string, len(t))
	for i, a := range t {
		ids[i] = a.Client
	}
	return ids
}

// What a client may expect of a broker that is away.
const (
	refusedWithin  = time.Second     // from the loss to the first 503, where the loss shows on the connection
	acceptedWithin = 5 * time.Second // from the return to the next 202
)

// outage checks how clients saw that the broker was away from down to up, and waits until tasks are accepted again. The
// first 503 has to come within limit.
func (l *Lab) outage(down, up time.Time, limit time.Duration) {
	refused := l.timeline().where(func(a Attempt) bool { return a.Status == http.StatusServiceUnavailable }).answered(down)
	if refused.IsZero() || refused.After(up) {
		l.violate("the fault had no effect: nothing was refused while the broker was away")
		return
	}
	var accepted time.Time
	l.await(4*acceptedWithin, func() error {
		if accepted = l.timeline().of(Accepted).answered(later(up, refused)); accepted.IsZero() {
			return fmt.Errorf("nothing is accepted %s after the broker came back", time.Since(up))
		}
		return nil
	})
	l.fact("first 503 after", refused.Sub(down))
	l.fact("202 again after", accepted.Sub(up))
	l.within(refused.Sub(down), limit, "the first 503 after the loss")
	l.within(accepted.Sub(up), acceptedWithin, "the next 202 after the return")
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// accepted waits for the next 202 to a request that is sent from now on, and returns how long it took.
func (l *Lab) accepted() time.Duration {
	from := time.Now()
	took := l.await(4*acceptedWithin, func() error {
		if l.timeline().of(Accepted).between(from, time.Now()).answered(from).IsZero() {
			return fmt.Errorf("nothing has been accepted for %s", time.Since(from))
		}
		return nil
	})
	l.within(took, acceptedWithin, "the next 202")
	return took
}

// requireAccepted checks that every attempt was accepted.
func (l *Lab) requireAccepted(t timeline) {
	failed := t.where(func(a Attempt) bool { return a.Outcome != Accepted })
	if len(failed) > 0 {
		l.violate("%d of %d were not accepted, the first: %+v", len(failed), len(t), failed[0])
	}
}
