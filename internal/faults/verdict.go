package faults

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"time"
)

// Counters are the books of a row, in tasks. Accepted, Refused, Unknown, Rejected, Unsent and Wrong add up to Attempted.
type Counters struct {
	Attempted  int `json:"attempted"`
	Accepted   int `json:"accepted"`
	Refused    int `json:"refused"`
	Unknown    int `json:"unknown"`
	Rejected   int `json:"rejected"`
	Unsent     int `json:"unsent"`
	Wrong      int `json:"wrong"`
	Completed  int `json:"completed"`
	Dead       int `json:"dead"`
	Recovered  int `json:"recovered"`  // of those of unknown outcome: completed or dead all the same
	Duplicated int `json:"duplicated"` // executed to completion more than once
	Deleted    int `json:"deleted"`    // accepted and deleted by the operator, together with their queue
	Lost       int `json:"lost"`       // accepted, and neither completed nor dead
	Unexpected int `json:"unexpected"` // completed or dead, and never attempted
}

// Violation is something that does not hold.
type Violation struct {
	What string   `json:"what"`
	IDs  []string `json:"ids,omitempty"` // the first of those that it is about
	Of   int      `json:"of,omitempty"`  // how many there are
}

// String is the violation as a person reads it.
func (v Violation) String() string {
	if v.Of == 0 {
		return v.What
	}
	return fmt.Sprintf("%s: %d, such as %v", v.What, v.Of, v.IDs)
}

// bounds are what a row allows.
type bounds struct {
	// duplicates is how many tasks may be executed more than once: what workers had in hand when they, or their
	// connection, broke, and what gateways have published a second time.
	duplicates int
	// deleted are the clients whose tasks may be gone because the row has deleted a queue with everything in it.
	deleted map[string]bool
}

// must ends the row because of something without which it proves nothing, such as a broker that does not start. What
// this machine cannot do is no fault of Twinlane's: the row is left out.
func (l *Lab) must(err error) {
	switch {
	case err == nil:
		return
	case errors.Is(err, errNoDisk):
		l.skipped = err.Error()
	default:
		l.violate("the row could not go on: %v", err)
	}
	runtime.Goexit()
}

// violate notes that something does not hold.
func (l *Lab) violate(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.violations = append(l.violations, Violation{What: fmt.Sprintf(format, args...)})
}

// check notes what has to hold where it does not.
func (l *Lab) check(holds bool, format string, args ...any) {
	if !holds {
		l.violate(format, args...)
	}
}

// within checks that something was as fast as promised.
func (l *Lab) within(took, limit time.Duration, what string) {
	limit = l.opts.patient(limit)
	l.check(took <= limit, "%s took %s, and not %s at most", what, readable(took), limit)
}

// times is how often a row repeats its fault: n times, or fewer in a test.
func (l *Lab) times(n int) int {
	if l.opts.Short {
		return (n + 3) / 4
	}
	return n
}

// Fact is something that a row has measured.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// fact notes a measurement for the report.
func (l *Lab) fact(name string, value any) {
	text := fmt.Sprint(value)
	switch v := value.(type) {
	case time.Duration:
		text = readable(v)
	case float64:
		text = strconv.FormatFloat(v, 'f', 1, 64)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.facts = append(l.facts, Fact{Name: name, Value: text})
}

// readable is a duration as precise as a person wants it.
func readable(d time.Duration) string {
	if d < 10*time.Millisecond {
		return d.Round(100 * time.Microsecond).String()
	}
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(100 * time.Millisecond).String()
}

// pause lasts d.
func (l *Lab) pause(d time.Duration) {
	if !work(l.ctx, d) {
		l.must(fmt.Errorf("time is up: %w", context.Cause(l.ctx)))
	}
}

// await waits until f succeeds, for at most limit as far as a test is not more patient, and returns how long that took.
func (l *Lab) await(limit time.Duration, f func() error) time.Duration {
	began := time.Now()
	ctx, cancel := context.WithTimeout(l.ctx, l.opts.patient(limit))
	defer cancel()
	l.must(poll(ctx, 20*time.Millisecond, f))
	return time.Since(began)
}
