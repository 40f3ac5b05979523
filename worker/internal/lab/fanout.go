package lab

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/twinlane/twinlane/worker/internal/executor"
)

// fanout is D2: an endpoint that calls several APIs and joins their answers.
func fanout() Experiment {
	return Experiment{
		Name:     "fanout",
		Part:     "D2",
		Question: "What does it cost to hold a thread for every call of an endpoint that asks several APIs at once?",
		Method: fmt.Sprintf("%d virtual users ask an HTTP endpoint again and again, each as soon as it has its answer. For each request the endpoint calls %d APIs at once over HTTP, each of which answers after %s, and joins the answers. "+
			"Each call runs on an OS thread that it holds until the answer is there (one for each call, or one of a pool), or on a goroutine, which holds none while it waits. "+
			"Everything runs on loopback, for seconds instead of the published five minutes.", fanoutUsers, fanoutCalls, Seconds.format(fanoutTime.Seconds())),
		Notes: []string{
			"A goroutine is no thread: the Go runtime parks it when it waits for the network, as an event loop does with a callback, so that code which blocks is non-blocking beneath. To have the thread per call of the " +
				"original, every call here is locked to an OS thread of its own.",
			fmt.Sprintf("The APIs take %s, because %d users then make the published %s requests in five minutes. The published thread pool is not described; 287 threads on average and %s requests fit one that is a little too small, as the one of %d here is.",
				Seconds.format(fanoutTime.Seconds()), fanoutUsers, Count.format(fanoutPublished), Count.format(fanoutPublishedThreads), fanoutPools()[0]),
			"In a quick run everything takes a quarter of its time, the APIs included; the requests of five minutes are scaled up from that.",
		},
		Quantities: []Quantity{
			{Key: "requests_in_five_minutes", Name: "requests in 5 min", Unit: Count},
			{Key: "os_threads", Name: "OS threads with calls", Unit: Count},
			{Key: "queue_wait_mean_seconds", Name: "a call waited, mean", Unit: Seconds},
			{Key: "request_mean_seconds", Name: "a request took, mean", Unit: Seconds, Aside: true},
			{Key: "calls_mean", Name: "calls under way, mean", Unit: Count, Aside: true},
			{Key: "cpu_per_request_seconds", Name: "CPU time a request", Unit: Seconds, Aside: true},
		},
		Cases:   fanoutCases,
		Finding: fanoutFinding,
	}
}

const (
	fanoutUsers = 70
	fanoutCalls = 4
	// fanoutTime is what an API takes: 70 users × 300 s ÷ 18,000 requests.
	fanoutTime   = 1167 * time.Millisecond
	fanoutPeriod = 5 * time.Minute // for which the published figures are
	// The requests that were published, of non-blocking calls and of threads.
	fanoutPublished        = 18_000
	fanoutPublishedThreads = 16_500
)

// fanoutPools lists the sizes of the pools: one that is nearly large enough for
// 70 users × 4 calls, and one that is not.
func fanoutPools() []int { return []int{256, 128} }

// fanoutWay is a way to run calls.
type fanoutWay struct {
	name     string
	config   executor.Config
	threads  int // how many calls have a thread at once at most, 0 for goroutines
	requests Value
	os       Value
	wait     Value
}

const (
	fanoutGoroutines = "a goroutine per call"
	fanoutThreads    = "a thread per call"
)

func fanoutPoolName(size int) string { return fmt.Sprintf("a pool of %d threads", size) }

func fanoutWays() []fanoutWay {
	all := []fanoutWay{
		{
			name:     fanoutGoroutines,
			config:   executor.Config{Model: executor.ModelGoroutine, Concurrency: executor.Unbounded},
			requests: Number(fanoutPublished), os: Number(1),
		},
		{
			name:    fanoutThreads,
			config:  executor.Config{Model: executor.ModelPool, Pool: executor.Cached(executor.MaxOSThreads), OSThreads: true},
			threads: fanoutUsers * fanoutCalls,
		},
	}
	for i, size := range fanoutPools() {
		way := fanoutWay{
			name:    fanoutPoolName(size),
			config:  executor.Config{Model: executor.ModelPool, Pool: executor.Fixed(size), OSThreads: true},
			threads: size,
		}
		if i == 0 {
			way.requests, way.os, way.wait = Number(fanoutPublishedThreads), Words("287 on average"), Words("tasks queue for threads")
		}
		all = append(all, way)
	}
	return all
}

func fanoutCases(size Size) []Case {
	// Shorter runs have faster APIs, so that they make as many requests.
	faster := Pick(size, 1, 4, 20)
	run := fanoutRun{
		api:    fanoutTime / time.Duration(faster),
		window: Pick(size, 16*time.Second, 3*time.Second, 400*time.Millisecond),
	}
	var cases []Case
	for _, way := range fanoutWays() {
		cases = append(cases, Case{Name: way.name, Takes: run.window + 2*run.api, Measure: func(ctx context.Context, e *Env) ([]Figure, error) {
			m, err := run.measure(ctx, e, way.config)
			return way.figures(m, float64(faster)), err
		}})
	}
	return cases
}

// figures lays out what was measured where everything was so many times faster.
func (w fanoutWay) figures(m fannedOut, faster float64) []Figure {
	period, api := fanoutPeriod.Seconds(), fanoutTime.Seconds()
	requests := Figure{
		Quantity: "requests_in_five_minutes", Published: w.requests, Measured: Number(m.rate / faster * period), Extrapolated: true,
		Predicted: Number(fanoutUsers / api * period), Theory: "users ÷ time of an API × 300 s (Little's law)",
	}
	threads := Figure{
		Quantity: "os_threads", Published: w.os, Measured: Number(float64(m.threads)),
		Predicted: AtLeast(float64(runtime.GOMAXPROCS(0))), Theory: "one a core, and a few that the Go runtime keeps at hand",
	}
	wait := Figure{
		Quantity: "queue_wait_mean_seconds", Published: w.wait, Measured: Number(m.wait.Seconds() * faster), Extrapolated: faster > 1,
		Predicted: Number(0), Theory: "nothing to wait for",
	}
	if w.threads > 0 {
		threads.Predicted, threads.Theory = Number(float64(w.threads)), "calls at once, users × 4, or the size of the pool"
	}
	if calls := float64(fanoutUsers * fanoutCalls); w.threads > 0 && float64(w.threads) < calls {
		n := float64(w.threads)
		requests.Predicted, requests.Theory = AtMost(n/fanoutCalls/api*period), "threads ÷ 4 calls ÷ time of an API × 300 s"
		wait.Predicted, wait.Theory = AtMost(calls*api/n-api), "users × 4 ÷ threads × time of an API, less that time (Little's law)"
	}
	return []Figure{
		requests, threads, wait,
		{Quantity: "request_mean_seconds", Measured: Number(m.mean.Seconds() * faster), Extrapolated: faster > 1},
		Measured("calls_mean", m.underWay),
		Measured("cpu_per_request_seconds", m.cpu.Seconds()),
	}
}

func fanoutFinding(t Table) string {
	const requests = "requests_in_five_minutes"
	shown := func(name string) string { return Count.format(t.Measured(name, requests)) }
	threads := func(name string) string { return Count.format(t.Measured(name, "os_threads")) }
	var pools []string
	effect := "makes them queue and does fewer"
	for _, size := range fanoutPools() {
		name := fanoutPoolName(size)
		pools = append(pools, fmt.Sprintf("%s with %d (a call waits %s)", shown(name), size,
			Seconds.format(t.Measured(name, "queue_wait_mean_seconds"))))
		if t.Measured(name, requests) >= t.Measured(fanoutGoroutines, requests) {
			effect = "was to make them queue and to do fewer, which not every one does here"
		}
	}
	return fmt.Sprintf("Goroutines do %s requests in five minutes with %s OS threads, and a thread for each call does %s with %s; a pool that is too small for the calls at once %s, %s.",
		shown(fanoutGoroutines), threads(fanoutGoroutines), shown(fanoutThreads), threads(fanoutThreads), effect, strings.Join(pools, ", "))
}
