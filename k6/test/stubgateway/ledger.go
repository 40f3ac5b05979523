package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"
)

// ledger keeps the books of all runs. Tasks are done at the time at which they would be, without anybody doing them;
// its settings make the books wrong, or late, as a test needs it.
type ledger struct {
	drain     time.Duration // how much longer than it says each task takes
	lose      int           // the first tasks of each run that never end
	die       int           // the next ones, which end dead
	repeat    int           // duplicates of each run
	invent    int           // completions of each run that nobody asked for
	behind    time.Duration // how long after the start nothing is known
	gateways  int           // how many of them share the load, of which the stub is all, and its books those of one
	restart   time.Duration // how long after a run's first task the gateway forgets what it accepted; 0 for never
	forgetful bool          // there is no such route

	began time.Time
	mu    sync.Mutex
	runs  map[string]*book
}

// book is what is known of one run.
type book struct {
	began        time.Time
	accepted     int
	lastAccepted time.Time
	tasks        []entry
}

type entry struct {
	at, done time.Time
	dead     bool
}

func (l *ledger) flags() {
	flag.DurationVar(&l.drain, "drain", 0, "how much longer than it says each task takes")
	flag.IntVar(&l.lose, "lose", 0, "tasks of each run that never end")
	flag.IntVar(&l.die, "die", 0, "tasks of each run that end dead")
	flag.IntVar(&l.repeat, "repeat", 0, "duplicate executions of each run")
	flag.IntVar(&l.invent, "invent", 0, "completions of each run without an acceptance")
	flag.DurationVar(&l.behind, "behind", 0, "how long after the start the books are not known")
	flag.IntVar(&l.gateways, "gateways", 1, "how many gateways share the load")
	flag.DurationVar(&l.restart, "restart", 0, "how long after a run's first task its acceptances are forgotten")
	flag.BoolVar(&l.forgetful, "forgetful", false, "keep no books: GET /v1/runs is not found")
	l.runs = map[string]*book{}
}

// add books a task and returns how long it takes. A task whose client was promised nothing is done all the same.
func (l *ledger) add(t task, promised bool) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.runs[t.Run]
	if b == nil {
		b = &book{began: time.Now()}
		l.runs[t.Run] = b
	}
	now := time.Now()
	if promised {
		b.accepted++
		b.lastAccepted = now
	}
	took := time.Duration(t.DurationMS)*time.Millisecond + l.drain
	if promised && b.accepted <= l.lose {
		return took
	}
	b.tasks = append(b.tasks, entry{at: now, done: now.Add(took), dead: promised && b.accepted <= l.lose+l.die})
	return took
}

func (l *ledger) serve(w http.ResponseWriter, r *http.Request) {
	switch {
	case l.forgetful:
		http.NotFound(w, r)
	case time.Since(l.began) < l.behind:
		problem(w, "results-behind")
	default:
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(l.books(r.PathValue("run"))); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
}

// books are those of a run as they stand now.
func (l *ledger) books(run string) map[string]any {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.runs[run]
	if b == nil {
		return map[string]any{
			"run": run, "accepted_here": 0, "completed": 0, "dead": 0, "discarded": 0, "settled": 0,
			"duplicates": 0, "end_to_end_ms": nil, "queue_wait_ms": nil, "service_time_ms": nil, "drain_ms": nil, "caught_up": true,
		}
	}
	var times []float64
	var drain any
	dead, now := 0, time.Now()
	for _, t := range b.tasks {
		switch {
		case t.done.After(now):
		case t.dead:
			dead++
		default:
			times = append(times, t.done.Sub(t.at).Seconds()*1000)
			drain = t.done.Sub(b.lastAccepted).Seconds() * 1000
		}
	}
	accepted := b.accepted / l.gateways
	if l.restart > 0 && now.Sub(b.began) > l.restart {
		accepted = 0
	}
	completed, all := len(times)+l.invent, spread(times)
	return map[string]any{
		"run": run, "accepted_here": accepted, "completed": completed, "dead": dead, "discarded": 0, "settled": completed + dead,
		"duplicates": l.repeat, "end_to_end_ms": all, "queue_wait_ms": all, "service_time_ms": all, "drain_ms": drain, "caught_up": true,
	}
}

// spread describes times as the gateway does; nil where there are none.
func spread(times []float64) map[string]any {
	if len(times) == 0 {
		return nil
	}
	slices.Sort(times)
	sum := 0.0
	for _, t := range times {
		sum += t
	}
	at := func(share float64) float64 { return times[int(share*float64(len(times)-1))] }
	return map[string]any{
		"count": len(times), "mean": sum / float64(len(times)),
		"p50": at(0.5), "p95": at(0.95), "p99": at(0.99), "max": at(1),
	}
}
