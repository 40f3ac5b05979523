package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/twinlane/twinlane/internal/rabbitmq/rabbittest"
	"github.com/twinlane/twinlane/internal/task"
)

// Evidence is everything that is known once a row is quiet.
type Evidence struct {
	Run        string // that every task belongs to
	Attempts   []Attempt
	Results    []task.Result        // the results stream, from its first message on
	Letters    []Letter             // the dead-letter queue
	Executions map[string]Execution // the target's notes, by client id
	Statuses   map[string]Status    // what gateways say of the tasks that were accepted, by task id
	Books      []Books              // of each gateway
}

// Letter is a dead letter.
type Letter struct {
	TaskID string
	Client string // as far as its body says
	Reason task.Reason
}

// Status is an answer of GET /v1/tasks/{id}.
type Status struct {
	Code   int
	Status task.Status
	Client string // whose result it is, where there is one
}

// Books are an answer of GET /v1/runs/{run}.
type Books struct {
	Completed  int  `json:"completed"`
	Dead       int  `json:"dead"`
	Discarded  int  `json:"discarded"`
	Settled    int  `json:"settled"`
	Duplicates int  `json:"duplicates"`
	CaughtUp   bool `json:"caught_up"`
}

// quiet waits until no task is in any queue, under way to one, or in the hands of a worker: what is left is in the
// dead-letter queue. It returns how long that took.
func (l *Lab) quiet(limit time.Duration) time.Duration {
	began := time.Now()
	ctx, cancel := context.WithTimeout(l.ctx, l.opts.patient(limit))
	defer cancel()
	empty := 0 // looks in a row: the queues are not looked at in one moment, and a task may move meanwhile
	err := poll(ctx, 300*time.Millisecond, func() error {
		held, err := l.node.Held(l.ctx)
		if err != nil {
			return err
		}
		delete(held, task.QueueDeadLetter)
		maps.DeleteFunc(held, func(_ string, n int) bool { return n == 0 })
		if empty++; len(held) > 0 {
			empty = 0
		}
		if empty < 2 {
			return fmt.Errorf("messages left: %v", held)
		}
		return nil
	})
	if err != nil {
		l.violate("the queues did not become empty: %v", err)
	}
	return time.Since(began)
}

// gather collects the evidence. One gateway at least has to be there to be asked.
func (l *Lab) gather() Evidence {
	e := Evidence{Run: l.run, Attempts: l.ledger.all(), Executions: l.target.notes(), Statuses: make(map[string]Status)}
	stream, err := l.node.ReadStream(l.ctx, task.QueueResults, task.MessageTypeMarker)
	l.must(err)
	for _, m := range stream {
		r, ok, err := resultOf(m)
		l.must(err)
		if ok {
			e.Results = append(e.Results, r)
		}
	}
	letters, err := l.node.Browse(l.ctx, task.QueueDeadLetter)
	l.must(err)
	for _, m := range letters {
		e.Letters = append(e.Letters, letterOf(m))
	}
	settled := make(map[string]bool)
	for _, r := range e.Results {
		settled[r.ID] = settled[r.ID] || r.Run == l.run
	}
	maps.DeleteFunc(settled, func(_ string, ours bool) bool { return !ours })
	gateways := slices.DeleteFunc(slices.Clone(l.gateways), func(s *service) bool { return !s.running() })
	for _, g := range gateways {
		e.Books = append(e.Books, l.books(g, len(settled)))
	}
	l.ask(gateways, &e)
	return e
}

// resultOf reads a message of the results stream that tells of a final outcome.
func resultOf(m rabbittest.Message) (r task.Result, ok bool, err error) {
	reason, _ := m.Headers[task.HeaderFirstDeathReason].(string)
	switch {
	case m.Type == task.MessageTypeResult:
		if r, err = task.DecodeResult(m.Body); err != nil {
			return r, false, fmt.Errorf("results stream: %s: %w", m.ID, err)
		}
		return r, true, nil
	case reason != "" && m.Headers[task.HeaderDeadReason] == nil:
		body, _ := task.DecodeMessage(m.Body) // what cannot be decoded belongs to no run
		return task.Result{ID: m.ID, Run: body.Run, Status: task.StatusDead, Reason: task.Reason(reason), FinishedAt: m.Timestamp}, true, nil
	default:
		return r, false, nil
	}
}

func letterOf(m rabbittest.Message) Letter {
	letter := Letter{TaskID: m.ID}
	for _, header := range []string{task.HeaderDeadReason, task.HeaderFirstDeathReason} {
		if reason, ok := m.Headers[header].(string); ok && letter.Reason == "" {
			letter.Reason = task.Reason(reason)
		}
	}
	var body struct {
		Payload payload `json:"payload"`
	}
	if json.Unmarshal(m.Body, &body) == nil {
		letter.Client = body.Payload.Client
	}
	return letter
}

// books returns the run's books as soon as they have as many tasks as they should, or what they have after a while.
func (l *Lab) books(gateway *service, settled int) (b Books) {
	ctx, cancel := context.WithTimeout(l.ctx, l.opts.patient(5*time.Second))
	defer cancel()
	err := poll(ctx, 50*time.Millisecond, func() error {
		status, body, err := get(l.ctx, l.client, gateway.url()+"/v1/runs/"+l.run)
		if err != nil {
			return err
		}
		if status != http.StatusOK {
			return fmt.Errorf("GET /v1/runs/%s answers %d: %s", l.run, status, body)
		}
		if err := json.Unmarshal(body, &b); err != nil {
			return fmt.Errorf("GET /v1/runs/%s: %w", l.run, err)
		}
		if !b.CaughtUp || b.Settled < settled {
			return fmt.Errorf("the gateway has %d of %d outcomes, caught up: %t", b.Settled, settled, b.CaughtUp)
		}
		return nil
	})
	if err != nil {
		l.violate("%v", err)
	}
	return b
}

// askers is how many requests for a status are in flight.
const askers = 16

// ask asks for the status of every task that was accepted, the gateways in turn.
func (l *Lab) ask(gateways []*service, e *Evidence) {
	if len(gateways) == 0 {
		l.must(errors.New("no gateway runs that could be asked"))
	}
	type question struct {
		id      string
		gateway *service
	}
	questions := make(chan question)
	var mu sync.Mutex
	var asking sync.WaitGroup
	for range askers {
		asking.Go(func() {
			for q := range questions {
				s := l.status(q.gateway, q.id)
				mu.Lock()
				e.Statuses[q.id] = s
				mu.Unlock()
			}
		})
	}
	for i, a := range e.Attempts {
		if a.Outcome == Accepted && !a.Planted {
			questions <- question{a.TaskID, gateways[i%len(gateways)]}
		}
	}
	close(questions)
	asking.Wait()
}

// status asks for one task. An answer that does not come is status 0.
func (l *Lab) status(gateway *service, id string) Status {
	code, body, err := get(l.ctx, l.client, gateway.url()+"/v1/tasks/"+id)
	var doc struct {
		Status task.Status `json:"status"`
		Output output      `json:"output"`
	}
	if err != nil || code == http.StatusOK && json.Unmarshal(body, &doc) != nil {
		return Status{}
	}
	return Status{Code: code, Status: doc.Status, Client: doc.Output.Client}
}
