package faults

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime/debug"
	"time"
)

// Row is one fault, and what has to hold under it.
type Row struct {
	// Name is what the row is called on the command line.
	Name string
	// Fault says what happens.
	Fault string
	// Promise says what has to hold beside that nothing is lost, unexpected or said wrongly.
	Promise string

	run func(l *Lab)
}

// Options are how rows are run.
type Options struct {
	// Binaries is the folder of the gateway's and the worker's binaries.
	Binaries string
	// Dir is where logs, ledgers and brokers are, in a folder for each row.
	Dir string
	// Seed makes the times of faults and the traffic the same again.
	Seed uint64
	// Short repeats faults less often and is more patient: for a test.
	Short bool
	// Backlog is the number of tasks of the row of that name.
	Backlog int
}

// DefaultBacklog is how many tasks are queued for workers that are killed.
const DefaultBacklog = 2000

// limit is how long a row may take at most, hung or not.
func (o Options) limit() time.Duration {
	return o.patient(2*time.Minute + time.Duration(o.Backlog)*10*time.Millisecond)
}

// patient is how long to wait for something that may take d. A test, which shares the machine, is more patient.
func (o Options) patient(d time.Duration) time.Duration {
	if o.Short {
		return 4 * d
	}
	return d
}

// Result is how a row ended.
type Result struct {
	Row        string      `json:"row"`
	Seed       uint64      `json:"seed"`
	RabbitMQ   string      `json:"rabbitmq"` // its version
	Passed     bool        `json:"passed"`
	Skipped    string      `json:"skipped,omitempty"` // why the row cannot run on this machine
	Counters   Counters    `json:"counters"`
	Facts      []Fact      `json:"facts,omitempty"`
	Violations []Violation `json:"violations,omitempty"`
	Seconds    float64     `json:"seconds"`
	Logs       string      `json:"logs"`
}

// Run runs one row. It blocks until everything that the row has started is gone.
func Run(ctx context.Context, row Row, opts Options) Result {
	began := time.Now()
	result := Result{Row: row.Name, Seed: opts.Seed, Logs: filepath.Join(opts.Dir, row.Name)}
	limit := opts.limit()
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("the row took longer than %s", limit))
	defer cancel()
	l, err := newLab(ctx, opts, result.Logs, "chaos-"+row.Name)
	if err != nil {
		result.Violations = []Violation{{What: err.Error()}}
		return result
	}
	ended := make(chan struct{})
	go func() { // which must ends
		defer close(ended)
		defer func() {
			if p := recover(); p != nil { // the broker and the processes still have to end
				l.violate("the row panicked: %v\n%s", p, debug.Stack())
			}
		}()
		row.run(l)
	}()
	<-ended
	cancel()
	l.close()
	if !l.finished && l.skipped == "" {
		l.violate("the row did not get to its end")
	}
	result.RabbitMQ = l.version
	result.Counters, result.Facts, result.Violations = l.counters, l.facts, l.violations
	result.Skipped, result.Passed = l.skipped, len(l.violations) == 0 && l.skipped == ""
	result.Seconds = time.Since(began).Seconds()
	return result
}

// quietWithin is how long the queues may take to become empty.
const quietWithin = 40 * time.Second

// finish ends the row: it waits until all traffic has its answers and everything is quiet, and holds the ledger against
// the rest. It returns the evidence for what the row alone knows to check.
func (l *Lab) finish() Evidence {
	for _, load := range l.loads {
		load.stop()
	}
	l.fact("quiet after", l.quiet(quietWithin))
	for _, g := range l.gateways {
		if g.running() {
			l.bound.duplicates += l.republished(g)
		}
	}
	for _, w := range l.workers {
		if w.running() {
			l.bound.duplicates += l.republished(w)
		}
	}
	e := l.gather()
	counters, violations := check(e, l.bound)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counters, l.finished = counters, true
	l.violations = append(l.violations, violations...)
	return e
}

// pair starts the broker, a gateway and a worker, and returns when they are ready.
func (l *Lab) pair(gateway, worker settings) (g, w *service) {
	l.startBroker()
	g, w = l.gateway(gateway), l.worker(worker)
	l.ready(g, w)
	l.must(l.node.SyncQueues(l.ctx))
	return g, w
}
