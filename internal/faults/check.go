package faults

import (
	"fmt"
	"slices"

	"github.com/twinlane/twinlane/internal/task"
)

// shownIDs is how many offending ids a violation names.
const shownIDs = 5

// checker holds a ledger against everything else.
type checker struct {
	Evidence

	bound      bounds
	clients    map[string]string // by task id
	attempts   map[string]Attempt
	completed  map[string]bool // by client, as are the others
	dead       map[string]bool
	counters   Counters
	violations []Violation
}

// check counts, and finds what does not hold.
func check(e Evidence, b bounds) (Counters, []Violation) {
	c := &checker{
		Evidence: e, bound: b, clients: make(map[string]string), attempts: make(map[string]Attempt),
		completed: make(map[string]bool), dead: make(map[string]bool),
	}
	c.identify()
	c.settle()
	c.count()
	c.checkAttempts()
	c.checkOutcomes()
	c.checkExecutions()
	c.checkStatuses()
	c.checkBooks()
	return c.counters, c.violations
}

// violate notes a rule that the given ids break, if there are any.
func (c *checker) violate(rule string, ids []string) {
	if len(ids) == 0 {
		return
	}
	slices.Sort(ids)
	c.violations = append(c.violations, Violation{What: rule, IDs: ids[:min(len(ids), shownIDs)], Of: len(ids)})
}

// identify finds out which client each task id belongs to. The answers, the target and the dead letters say so
// independently of each other.
func (c *checker) identify() {
	var torn []string
	is := func(id, client string) {
		if known, ok := c.clients[id]; ok && known != client {
			torn = append(torn, id)
			return
		}
		c.clients[id] = client
	}
	for _, a := range c.Attempts {
		c.attempts[a.Client] = a
		if a.TaskID != "" {
			is(a.TaskID, a.Client)
		}
	}
	for client, e := range c.Executions {
		for _, id := range e.Tasks {
			is(id, client)
		}
	}
	for _, l := range c.Letters {
		if l.Client != "" {
			is(l.TaskID, l.Client)
		}
	}
	c.violate("one task id stands for two tasks", torn)

	ids := make(map[string][]string)
	for id, client := range c.clients {
		ids[client] = append(ids[client], id)
	}
	var split []string
	for client, all := range ids {
		if len(all) > 1 {
			split = append(split, client)
		}
	}
	c.violate("one request has several task ids", split)
}

// client is the client of a task, or its id where nothing says which that is.
func (c *checker) client(id string) string {
	if client, ok := c.clients[id]; ok {
		return client
	}
	return id
}

// settle sorts the tasks by how they ended: completed where the stream says so, dead where a letter is in the queue.
func (c *checker) settle() {
	for _, r := range c.Results {
		if r.Status == task.StatusCompleted {
			c.completed[c.client(r.ID)] = true
		}
	}
	for _, l := range c.Letters {
		if client := c.client(l.TaskID); !c.completed[client] {
			c.dead[client] = true
		}
	}
}

// done reports whether a task has ended.
func (c *checker) done(client string) bool { return c.completed[client] || c.dead[client] }

func (c *checker) count() {
	n := &c.counters
	n.Attempted, n.Completed, n.Dead = len(c.attempts), len(c.completed), len(c.dead)
	var lost, unexpected []string
	for client, a := range c.attempts {
		switch a.Outcome {
		case Accepted:
			n.Accepted++
			switch {
			case c.done(client):
			case c.bound.deleted[client]:
				n.Deleted++
			default:
				lost = append(lost, client)
			}
		case Refused:
			n.Refused++
		case Unknown:
			n.Unknown++
			if c.done(client) {
				n.Recovered++
			}
		case Rejected:
			n.Rejected++
		case Unsent:
			n.Unsent++
		case Wrong: // a violation as well
			n.Wrong++
		}
	}
	for _, all := range []map[string]bool{c.completed, c.dead} {
		for client := range all {
			if _, ok := c.attempts[client]; !ok {
				unexpected = append(unexpected, client)
			}
		}
	}
	n.Lost, n.Unexpected = len(lost), len(unexpected)
	c.violate("lost: accepted, and neither completed nor dead", lost)
	c.violate("unexpected: completed or dead, and never attempted", unexpected)
}

// checkAttempts checks the answers themselves, and that a refusal was one.
func (c *checker) checkAttempts() {
	var wrong, silent, untrue, premature, repeated []string
	seen := make(map[string]bool)
	for _, a := range c.Attempts {
		if seen[a.Client] {
			repeated = append(repeated, a.Client)
		}
		seen[a.Client] = true
		switch {
		case a.Outcome == Wrong:
			wrong = append(wrong, fmt.Sprintf("%s (%d)", a.Client, a.Status))
		case a.Status >= 429 && !a.RetryAfter:
			silent = append(silent, a.Client)
		}
		if a.Final == task.StatusCompleted && !c.completed[a.Client] || a.Final == task.StatusDead && !c.done(a.Client) {
			premature = append(premature, a.Client)
		}
		if (a.Outcome == Refused || a.Outcome == Rejected || a.Outcome == Unsent) && c.done(a.Client) {
			untrue = append(untrue, a.Client)
		}
	}
	c.violate("a client is in the ledger twice", repeated)
	c.violate("answered as no client has to expect", wrong)
	c.violate("429 or 503 without Retry-After", silent)
	c.violate("refused, and done all the same", untrue)
	c.violate("answered with a result that nothing else knows", premature)
}

// checkOutcomes holds the stream and the dead-letter queue against each other.
func (c *checker) checkOutcomes() {
	reported := make(map[string]bool) // dead, by client
	for _, r := range c.Results {
		if r.Status == task.StatusDead {
			reported[c.client(r.ID)] = true
		}
	}
	var unreported, unburied []string
	for client := range c.dead {
		if !reported[client] {
			unreported = append(unreported, client)
		}
	}
	for client := range reported {
		if !c.done(client) {
			unburied = append(unburied, client)
		}
	}
	c.violate("in the dead-letter queue, and the results stream does not know", unreported)
	c.violate("dead by the results stream, and not in the dead-letter queue", unburied)
}

// checkExecutions holds the target's notes against what is known of the tasks.
func (c *checker) checkExecutions() {
	var twice, unaccounted, idle []string
	for client, e := range c.Executions {
		if e.Done > 1 {
			twice = append(twice, client)
		}
		if e.Done > 0 && !c.done(client) && !c.bound.deleted[client] {
			unaccounted = append(unaccounted, client)
		}
	}
	for client := range c.completed {
		if c.Executions[client].Done == 0 {
			idle = append(idle, client)
		}
	}
	c.counters.Duplicated = len(twice)
	if len(twice) > c.bound.duplicates {
		c.violate(fmt.Sprintf("executed more than once, where %d may be", c.bound.duplicates), twice)
	}
	c.violate("executed, and neither completed nor dead", unaccounted)
	c.violate("completed without an execution", idle)
}

// checkStatuses holds the answers to clients who ask for their tasks against the stream.
func (c *checker) checkStatuses() {
	var untrue, foreign []string
	for id, s := range c.Statuses {
		client := c.client(id)
		want := Status{Code: 200, Status: task.StatusAccepted}
		switch {
		case c.completed[client]:
			want.Status = task.StatusCompleted
		case c.dead[client]:
			want.Status = task.StatusDead
		}
		if s.Client != "" && s.Client != client {
			foreign = append(foreign, fmt.Sprintf("%s (that of %s)", client, s.Client))
		}
		if s.Code != want.Code || s.Status != want.Status {
			untrue = append(untrue, fmt.Sprintf("%s (%d %s, not %s)", client, s.Code, s.Status, want.Status))
		}
	}
	c.violate("GET /v1/tasks/{id} says something else than the results stream", untrue)
	c.violate("GET /v1/tasks/{id} has the result of another task", foreign)
}

// checkBooks holds the run's books of every gateway against the stream.
func (c *checker) checkBooks() {
	want := Books{CaughtUp: true}
	// An execution is known by these: reported twice, it is still one.
	type execution struct {
		id     string
		status task.Status
		at     int64
	}
	states, seen := make(map[string]task.Status), make(map[execution]bool)
	for _, r := range c.Results {
		execution := execution{r.ID, r.Status, r.FinishedAt.UnixNano()}
		if r.Run != c.Run || seen[execution] { // what nobody could decode belongs to no run
			continue
		}
		seen[execution] = true
		if states[r.ID] == task.StatusCompleted {
			want.Duplicates++
			continue
		}
		states[r.ID] = r.Status
	}
	for _, status := range states {
		want.Settled++
		switch status {
		case task.StatusCompleted:
			want.Completed++
		case task.StatusDead:
			want.Dead++
		default:
			want.Discarded++
		}
	}
	for _, b := range c.Books {
		if b != want {
			c.violations = append(c.violations, Violation{What: fmt.Sprintf(
				"GET /v1/runs/{run} says %+v; the results stream makes it %+v", b, want)})
		}
	}
}
