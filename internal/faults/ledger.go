package faults

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/twinlane/twinlane/internal/task"
)

// Outcome is what a client was told about a task.
type Outcome string

// The outcomes of an attempt.
const (
	// Accepted is a promise: a 202 with an id, a 200 with a result, or the broker's own confirm for what the suite has
	// put into a queue.
	Accepted Outcome = "accepted"
	// Refused is a definite answer that the task was not accepted.
	Refused Outcome = "refused"
	// Unknown is an answer that says so, none in time, or a connection that broke after the request was sent.
	Unknown Outcome = "unknown"
	// Rejected says that the request is at fault.
	Rejected Outcome = "rejected"
	// Unsent says that nobody could be connected to.
	Unsent Outcome = "unsent"
	// Wrong is an answer that no client has to expect.
	Wrong Outcome = "wrong"
)

// Attempt is one request and what became of it.
type Attempt struct {
	Client     string        `json:"client"`
	Outcome    Outcome       `json:"outcome"`
	TaskID     string        `json:"task_id,omitempty"` // as far as the answer named one
	Status     int           `json:"status,omitempty"`
	Problem    string        `json:"problem,omitempty"` // the code of the problem document
	RetryAfter bool          `json:"retry_after,omitempty"`
	Error      string        `json:"error,omitempty"`
	Started    time.Time     `json:"started"`
	Elapsed    time.Duration `json:"elapsed"`
	// Final is how the task ended, where the answer said so.
	Final task.Status `json:"final,omitempty"`
	// Repeated counts how often the request was sent again.
	Repeated int `json:"repeated,omitempty"`
	// Planted says that the task was put into a queue past the gateways, which do not know it.
	Planted bool `json:"planted,omitempty"`
}

// ended is when the answer came.
func (a Attempt) ended() time.Time { return a.Started.Add(a.Elapsed) }

// ledger is the list of all attempts of a row, in memory and in a file. A client id is in the file before its request
// is sent: what is found later and is not in there has come from nowhere.
type ledger struct {
	file *os.File

	mu       sync.Mutex
	attempts []Attempt // those that have ended
	err      error     // the first of the file
}

func newLedger(path string) (*ledger, error) {
	f, err := os.OpenFile(filepath.Clean(path), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	return &ledger{file: f}, nil
}

// begin books that a request is about to be sent.
func (l *ledger) begin(client string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.write(struct {
		Client string `json:"client"`
	}{client})
}

// end books what became of it.
func (l *ledger) end(a Attempt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.attempts = append(l.attempts, a)
	l.write(a)
}

func (l *ledger) write(line any) {
	text, err := json.Marshal(line)
	if err == nil {
		_, err = l.file.Write(append(text, '\n'))
	}
	if l.err == nil && err != nil {
		l.err = fmt.Errorf("ledger: %w", err)
	}
}

// all returns the attempts that have ended, in the order of their start.
func (l *ledger) all() []Attempt {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := slices.Clone(l.attempts)
	slices.SortStableFunc(all, func(a, b Attempt) int { return a.Started.Compare(b.Started) })
	return all
}

// close reports whether everything was written.
func (l *ledger) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.file.Close(); l.err == nil {
		l.err = err
	}
	return l.err
}
