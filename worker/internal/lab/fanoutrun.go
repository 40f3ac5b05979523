package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/twinlane/twinlane/internal/service"
	"github.com/twinlane/twinlane/worker/internal/executor"
)

// fanoutRun is what the cases have in common.
type fanoutRun struct {
	api, window time.Duration
}

// fannedOut is what a case has measured.
type fannedOut struct {
	rate     float64 // requests a second
	threads  int     // that have run a call
	wait     time.Duration
	mean     time.Duration // of a request
	underWay float64
	cpu      time.Duration // a request
}

// fanoutSample is how often is looked how many calls are under way.
const fanoutSample = 10 * time.Millisecond

// measure runs the servers and the users for as long as the window is.
func (r fanoutRun) measure(ctx context.Context, e *Env, config executor.Config) (m fannedOut, err error) {
	exec, err := e.newExecutor("", config)
	if err != nil {
		return m, err
	}
	transport := &http.Transport{MaxIdleConnsPerHost: executor.MaxOSThreads} // connections are not what is measured
	client := &http.Client{Transport: transport}
	defer transport.CloseIdleConnections()

	running, stop := context.WithCancel(ctx)
	defer stop()
	servers, stopServers := context.WithCancel(context.WithoutCancel(ctx))
	var g errgroup.Group
	defer func() {
		stopServers()
		exec.Drain(context.WithoutCancel(ctx))
		err = errors.Join(err, g.Wait())
	}()
	api, err := listen(servers, &g, http.HandlerFunc(r.answer))
	if err != nil {
		return m, err
	}
	joiner := &joiner{exec: exec, client: client, api: api}
	endpoint, err := listen(servers, &g, joiner)
	if err != nil {
		return m, err
	}
	warm := newWarmUp(fanoutUsers)
	var before time.Duration
	var timed sync.WaitGroup
	timed.Go(func() {
		defer stop()
		if warm.wait(running) == nil {
			before = cpuTime()
			m.underWay = sample(running, exec, r.window)
		}
	})
	total, rate, spent, err := users(running, client, endpoint, warm)
	stop() // where they have failed
	timed.Wait()
	if err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return m, err
	}
	m.rate, m.mean = rate, spent/time.Duration(max(1, total))
	m.cpu = (cpuTime() - before) / time.Duration(max(1, total))
	m.threads, m.wait = joiner.found()
	return m, nil
}

// listen serves on a free port of loopback until ctx ends, and returns its URL.
// What is under way then is cut off.
func listen(ctx context.Context, g *errgroup.Group, handler http.Handler) (string, error) {
	listener, err := service.Listen(ctx, "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	g.Go(func() error {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		return server.Close()
	})
	return "http://" + listener.Addr().String(), nil
}

// answer is an API: it answers when its time is over.
func (r fanoutRun) answer(w http.ResponseWriter, req *http.Request) {
	if pause(req.Context(), r.api) == nil {
		_, _ = io.WriteString(w, "ok")
	}
}

// joiner is the endpoint.
type joiner struct {
	exec   executor.Executor
	client *http.Client
	api    string

	calls, waited atomic.Int64 // waited is in nanoseconds
	mu            sync.Mutex
	threads       map[int]struct{}
}

// ServeHTTP calls all APIs at once and joins their answers.
func (j *joiner) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	ctx := req.Context()
	var calls sync.WaitGroup
	var failed atomic.Bool
	for range fanoutCalls {
		calls.Add(1)
		asked := time.Now()
		err := j.exec.Submit(ctx, executor.Task{Run: func() {
			defer calls.Done()
			j.note(time.Since(asked))
			if get(ctx, j.client, j.api) != nil {
				failed.Store(true)
			}
		}})
		if err != nil {
			failed.Store(true)
			calls.Done()
		}
	}
	calls.Wait()
	if failed.Load() {
		http.Error(w, "an API has failed", http.StatusBadGateway)
		return
	}
	_, _ = io.WriteString(w, "joined")
}

// note notes that a call begins, and on which thread. How long the first of each
// user waited, when there were no threads yet, does not count.
func (j *joiner) note(waited time.Duration) {
	if j.calls.Add(1) > fanoutUsers*fanoutCalls {
		j.waited.Add(int64(waited))
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.threads == nil {
		j.threads = make(map[int]struct{})
	}
	j.threads[threadID()] = struct{}{}
}

func (j *joiner) found() (threads int, wait time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.threads), time.Duration(j.waited.Load() / max(1, j.calls.Load()-fanoutUsers*fanoutCalls))
}

func get(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	if resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answers %s", url, resp.Status)
	}
	return errors.Join(err, resp.Body.Close())
}

// users ask the endpoint until ctx ends. They return how many requests were
// answered, how many a second, and how long all of them took together. The first
// of each user, which makes connections, counts for nothing, and neither does
// what is under way at the end.
func users(ctx context.Context, client *http.Client, url string, warm *warmUp) (total int, rate float64, spent time.Duration, err error) {
	var mu sync.Mutex
	var g errgroup.Group
	for range fanoutUsers {
		g.Go(func() error {
			failed := get(ctx, client, url)
			warm.done()
			began := time.Now()
			last, answered := began, 0
			for ctx.Err() == nil && failed == nil {
				if failed = get(ctx, client, url); failed == nil {
					last, answered = time.Now(), answered+1
				}
			}
			mu.Lock()
			defer mu.Unlock()
			total += answered
			spent += last.Sub(began)
			if answered > 0 {
				rate += float64(answered) / last.Sub(began).Seconds()
			}
			if ctx.Err() != nil {
				return nil // it is why the last request failed
			}
			return failed
		})
	}
	err = g.Wait()
	return total, rate, spent, err
}

// warmUp is over when all have done it once.
type warmUp struct {
	left atomic.Int64
	over chan struct{}
}

func newWarmUp(all int64) *warmUp {
	w := &warmUp{over: make(chan struct{})}
	w.left.Store(all)
	return w
}

func (w *warmUp) done() {
	if w.left.Add(-1) == 0 {
		close(w.over)
	}
}

func (w *warmUp) wait(ctx context.Context) error {
	select {
	case <-w.over:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// sample is the mean number of calls under way, for as long as the window is.
func sample(ctx context.Context, exec executor.Observed, window time.Duration) float64 {
	sum, looks := 0, 0
	for began := time.Now(); time.Since(began) < window && pause(ctx, fanoutSample) == nil; {
		sum += exec.Stats().Running
		looks++
	}
	return float64(sum) / float64(max(1, looks))
}

// cpuTime is what the process has used, users, endpoint and APIs alike.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
