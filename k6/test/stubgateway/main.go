// Command stubgateway answers like a Twinlane gateway without a system behind it, so that the sweep can be tested with
// answers whose times and failures are known beforehand.
//
// It prints its address on the first line, and ends with the process that started it. GET /seen answers how many
// requests each run id sent. The books of GET /v1/runs are in ledger.go.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"
)

var validRun = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

type task struct {
	Action     string          `json:"action"`
	DurationMS int             `json:"duration_ms"`
	Run        string          `json:"run"`
	Payload    json.RawMessage `json:"payload"`
}

// stub is the gateway. Its limit and status make it refuse or fail, as a test needs it.
type stub struct {
	failAbove  int // requests a second and lane beyond which failStatus is answered; 0 for never
	failStatus int
	empty      bool // answer with the right status and a body that promises nothing
	unknownNth int  // every so manyth request of the async lane gets no promise, and half of those tasks are done; 0 for none
	lateNth    int  // every so manyth request that prefers to wait does not; 0 for none
	ledger     ledger

	mu     sync.Mutex
	second map[string]int64 // the second that count counts, by path
	count  map[string]int
	seen   map[string]int // requests by run id
}

func main() {
	fmt.Fprintln(os.Stderr, run(os.Stdout))
	os.Exit(1) //nolint:forbidigo // This is main, and serving ends in no other way.
}

// run serves for as long as it can.
func run(stdout io.Writer) error {
	s := &stub{second: map[string]int64{}, count: map[string]int{}, seen: map[string]int{}}
	addr := flag.String("addr", "127.0.0.1:0", "address to listen on")
	flag.IntVar(&s.failAbove, "fail-above", 0, "requests a second and lane above which requests fail; 0 for never, -1 for always")
	flag.IntVar(&s.failStatus, "fail-status", http.StatusInternalServerError, "status of requests that fail")
	flag.BoolVar(&s.empty, "empty", false, "answer successes with an empty object")
	flag.IntVar(&s.unknownNth, "unknown-nth", 0, "answer every so manyth request of the async lane with 503 outcome-unknown")
	flag.IntVar(&s.lateNth, "late-nth", 0, "answer every so manyth request that prefers to wait at once")
	s.ledger.flags()
	flag.Parse()
	s.ledger.began = time.Now()

	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	if _, err := fmt.Fprintln(stdout, listener.Addr()); err != nil {
		return fmt.Errorf("print the address: %w", err)
	}

	mux := http.NewServeMux()
	mux.HandleFunc("GET /openapi.yaml", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintln(w, "openapi: 3.1.0") // a client that is gone needs no answer
	})
	mux.HandleFunc("GET /seen", s.report)
	mux.HandleFunc("POST /v1/sync", s.sync)
	mux.HandleFunc("POST /v1/async", s.async)
	mux.HandleFunc("GET /v1/runs/{run}", s.ledger.serve)
	server := http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	return server.Serve(listener)
}

func (s *stub) sync(w http.ResponseWriter, r *http.Request) {
	t, ok := s.accept(w, r)
	if !ok {
		return
	}
	work(r, time.Duration(t.DurationMS)*time.Millisecond)
	s.answer(w, http.StatusOK, map[string]any{"id": "task", "status": "completed"})
}

func (s *stub) async(w http.ResponseWriter, r *http.Request) {
	t, ok := s.accept(w, r)
	if !ok {
		return
	}
	n := s.requests(t.Run)
	if s.unknownNth > 0 && n%s.unknownNth == 0 {
		if n/s.unknownNth%2 == 0 {
			s.ledger.add(t, false)
		}
		problem(w, "outcome-unknown")
		return
	}
	took := s.ledger.add(t, true)
	if prefersToWait(r) && (s.lateNth == 0 || n%s.lateNth != 0) {
		work(r, took)
		s.answer(w, http.StatusOK, map[string]any{"id": "task", "status": "completed"})
		return
	}
	s.answer(w, http.StatusAccepted, map[string]any{"id": "task", "status": "accepted"})
}

// work takes so long, or until the client gives up.
func work(r *http.Request, d time.Duration) {
	select {
	case <-time.After(d):
	case <-r.Context().Done():
	}
}

// prefersToWait is whether the answer is to be held for the result.
func prefersToWait(r *http.Request) bool {
	return strings.HasPrefix(r.Header.Get("Prefer"), "wait=")
}

// problem answers 503 with a problem document of this type.
func problem(w http.ResponseWriter, kind string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = fmt.Fprintf(w, `{"type":"https://example.org/problems/%s","status":503}`, kind)
}

// accept reads a task as strictly as the gateway does and books it, or answers with the failure that is due.
func (s *stub) accept(w http.ResponseWriter, r *http.Request) (task, bool) {
	var t task
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&t)
	switch {
	case err != nil, r.Header.Get("Content-Type") != "application/json", !validRun.MatchString(t.Run), t.Action == "":
		http.Error(w, "invalid task", http.StatusBadRequest)
		return t, false
	case s.tooMany(r.URL.Path, t.Run):
		http.Error(w, "failing as told", s.failStatus)
		return t, false
	}
	return t, true
}

func (s *stub) tooMany(path, run string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen[run]++
	if now := time.Now().Unix(); s.second[path] != now {
		s.second[path], s.count[path] = now, 0
	}
	s.count[path]++
	return s.failAbove != 0 && s.count[path] > s.failAbove
}

func (s *stub) requests(run string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen[run]
}

func (s *stub) answer(w http.ResponseWriter, status int, body map[string]any) {
	if s.empty {
		body = map[string]any{}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

// report writes one line a run id, `<run> <requests>`, in no particular order.
func (s *stub) report(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var lines strings.Builder
	for run, requests := range s.seen {
		fmt.Fprintf(&lines, "%s %d\n", run, requests)
	}
	_, _ = fmt.Fprint(w, lines.String())
}
