package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// payload is what a task carries to the target.
type payload struct {
	Client string `json:"client"`
	// WorkMS is how long a call lasts, in milliseconds.
	WorkMS int `json:"work_ms"`
	// Fail is how many calls fail before one succeeds, and FailStatus how they are answered.
	Fail       int    `json:"fail,omitempty"`
	FailStatus int    `json:"fail_status,omitempty"`
	Padding    string `json:"padding,omitempty"`
}

// Execution is what the target knows of a task.
type Execution struct {
	// Tasks are the ids under which it was called, without repetitions.
	Tasks []string
	// Begun is when each call came.
	Begun []time.Time
	// Done counts the calls that succeeded.
	Done int
}

// target is the server that the action http calls. It notes every call by the client id that the payload carries, so
// what it says does not depend on any part of Twinlane.
type target struct {
	server *http.Server
	url    string
	served chan struct{}

	mu         sync.Mutex
	executions map[string]*Execution
	done       int
}

func startTarget() (*target, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("target: %w", err)
	}
	t := &target{
		url:        "http://" + listener.Addr().String() + "/",
		served:     make(chan struct{}),
		executions: make(map[string]*Execution),
	}
	t.server = &http.Server{Handler: t, ReadHeaderTimeout: time.Minute}
	go func() {
		defer close(t.served)
		_ = t.server.Serve(listener) // until close
	}()
	return t, nil
}

func (t *target) close() {
	_ = t.server.Close()
	<-t.served
}

// ServeHTTP executes a task.
func (t *target) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var p payload
	if err := json.NewDecoder(r.Body).Decode(&p); err != nil || p.Client == "" {
		http.Error(w, "not a task of this suite", http.StatusBadRequest)
		return
	}
	answer, err := json.Marshal(output{Client: p.Client})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	fails := t.begin(p, r.Header.Get("Idempotency-Key"))
	worked := work(r.Context(), time.Duration(p.WorkMS)*time.Millisecond)
	t.end(p, worked && !fails)
	switch {
	case !worked: // the worker is gone, nobody reads an answer
	case fails:
		http.Error(w, "told to fail", p.FailStatus)
	default:
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(answer)
	}
}

// output is the answer of the target, and with that the output of a task.
type output struct {
	Client string `json:"client"`
}

// begin notes a call, and returns whether it is to fail.
func (t *target) begin(p payload, taskID string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.executions[p.Client]
	if e == nil {
		e = &Execution{}
		t.executions[p.Client] = e
	}
	if !slices.Contains(e.Tasks, taskID) {
		e.Tasks = append(e.Tasks, taskID)
	}
	e.Begun = append(e.Begun, time.Now())
	return len(e.Begun) <= p.Fail
}

func (t *target) end(p payload, succeeded bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if succeeded {
		t.executions[p.Client].Done++
		t.done++
	}
}

// work lasts d. It returns false, at once, where the caller is gone before.
func work(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// completions counts the calls that have succeeded so far.
func (t *target) completions() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.done
}

// notes returns what the target knows, by client id.
func (t *target) notes() map[string]Execution {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make(map[string]Execution, len(t.executions))
	for client, e := range maps.All(t.executions) {
		all[client] = Execution{Tasks: slices.Clone(e.Tasks), Begun: slices.Clone(e.Begun), Done: e.Done}
	}
	return all
}
