package lab

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/twinlane/twinlane/worker/internal/executor"
)

// The quantities of starvation.
const (
	callsAtOnce = "calls_at_once_count"
	allDone     = "all_done_seconds"
	fastWait    = "longest_wait_of_fast_work_seconds"
	fastDone    = "fast_work_done_count"
)

// The sizes of starvation.
const (
	starvingRequests = 100
	starvingLoops    = 10
	// elasticThreads are those of the pool that cures it.
	elasticThreads = 20
	starvingTimer  = 3 * time.Second
	starvingCall   = time.Second
	fastWorkEvery  = 20 * time.Millisecond
)

// starvation is experiment D3: blocking calls on the few threads of event loops.
func starvation() Experiment {
	return Experiment{
		Name:     "starvation",
		Part:     "D3",
		Question: "What becomes of everything else when blocking calls run on the few threads that serve everybody?",
		Method: "100 timers of 3 s go off at the same time, and a call of 1 s follows each, all of it on 10 threads that also have fast work to do: a step that takes no time, every 20 ms. " +
			"The call blocks its thread, or it does not (its answer is another step on the 10 threads), or it blocks a thread of a separate pool of 20. With --quick all of these times are a fifth.",
		Notes: []string{
			"Blocked goroutines leave their thread to others, so a Go program does not starve in this way unless it bounds its goroutines, as each pool does, and each CONCURRENCY: what counts is the number of places, not of threads.",
			"The separate pool is bounded: 100 calls at once would need 100 threads, or connections, which are finite as well.",
		},
		Quantities: []Quantity{
			{Key: callsAtOnce, Name: "calls at once", Unit: Count},
			{Key: allDone, Name: "all done after", Unit: Seconds},
			{Key: fastWait, Name: "longest wait of fast work", Unit: Seconds},
			{Key: fastDone, Name: "fast steps", Unit: Count, Aside: true},
		},
		Cases:   starvationCases,
		Finding: starvationFinding,
	}
}

// The cases of starvation.
const (
	blockingCalls = "calls that block"
	asyncCalls    = "calls that do not"
	separatePool  = "calls that block a pool of their own"
)

func starvationCases(size Size) []Case {
	part := Pick[time.Duration](size, 1, 5, 30)
	timer, call := starvingTimer/part, starvingCall/part
	rounds := func(places int) time.Duration { return timer + call*starvingRequests/time.Duration(places) }
	starves := Figure{Predicted: Number((rounds(starvingLoops) - timer).Seconds()), Theory: "100 ÷ 10 rounds of a call: it waits behind all of them"}
	free := Figure{Predicted: Number(0), Theory: "the threads are free while calls are under way"}
	var cases []Case
	for _, c := range []struct {
		name      string
		begin     func(s *starving)
		published Value
		atOnce    int
		done      time.Duration
		theory    string
		fast      Figure
	}{
		{blockingCalls, (*starving).callOnLoops, Number(10), starvingLoops, rounds(starvingLoops), "the timer and 100 ÷ 10 rounds of a call", starves},
		{asyncCalls, (*starving).callWithoutThread, Number(100), starvingRequests, timer + call, "the timer and one call", free},
		{separatePool, (*starving).callOnElastic, Value{}, elasticThreads, rounds(elasticThreads), "the timer and 100 ÷ 20 rounds of a call", free},
	} {
		cases = append(cases, Case{Name: c.name, Takes: c.done, Measure: func(ctx context.Context, e *Env) ([]Figure, error) {
			s := starving{env: e, timer: timer, call: call, every: fastWorkEvery / part}
			took, err := s.run(ctx, func() { c.begin(&s) })
			if err != nil {
				return nil, err
			}
			fast := c.fast
			fast.Quantity, fast.Measured = fastWait, Number(time.Duration(s.fastWait.Load()).Seconds())
			return []Figure{
				{Quantity: callsAtOnce, Published: c.published, Predicted: Number(float64(c.atOnce)), Measured: Number(float64(s.most.Load()))},
				{Quantity: allDone, Predicted: Number(c.done.Seconds()), Theory: c.theory, Measured: Number(took.Seconds())},
				fast,
				Measured(fastDone, float64(s.fastDone.Load())),
			}, nil
		}})
	}
	return cases
}

// starving is one run.
type starving struct {
	env         *Env
	ctx         context.Context //nolint:containedctx // Of the one run, for steps that run anywhere.
	timer, call time.Duration
	every       time.Duration

	loops, elastic observed
	left           sync.WaitGroup // requests
	calls, most    atomic.Int64   // under way
	fastWait       atomic.Int64   // the longest
	fastDone       atomic.Int64
}

// run lets all timers go off, calls begin on the loops for each, and returns how
// long it took until all requests were done.
func (s *starving) run(ctx context.Context, begin func()) (took time.Duration, err error) {
	s.ctx = ctx
	if s.loops, err = s.env.newExecutor("the 10 threads", executor.Config{Model: executor.ModelPool, Pool: executor.Fixed(starvingLoops), OSThreads: true}); err != nil {
		return 0, err
	}
	elastic := executor.PoolConfig{Core: elasticThreads, Max: elasticThreads, Queue: starvingRequests, Policy: executor.Abort}
	if s.elastic, err = s.env.newExecutor("the pool of 20", executor.Config{Model: executor.ModelPool, Pool: elastic, OSThreads: true}); err != nil {
		return 0, err
	}
	start := time.Now()
	fast, stop := context.WithCancel(ctx)
	defer stop()
	var g errgroup.Group
	g.Go(func() error { return s.workFast(fast) })
	for range starvingRequests {
		s.left.Add(1)
		g.Go(func() error {
			_ = pause(ctx, s.timer)
			s.submit(s.loops, begin)
			return nil
		})
	}
	s.left.Wait()
	took = time.Since(start)
	stop()
	err = g.Wait()
	for _, exec := range []observed{s.loops, s.elastic} {
		exec.Drain(context.WithoutCancel(ctx))
	}
	if err == nil {
		err = context.Cause(ctx)
	}
	return took, err
}

// submit hands a step of a request over. A request whose step is refused, as the
// run is over, is done.
func (s *starving) submit(to executor.Executor, step func()) {
	if err := to.Submit(s.ctx, executor.Task{Run: step}); err != nil {
		s.left.Done()
	}
}

// callBlocking is the call of a request, on the thread that runs it.
func (s *starving) callBlocking() {
	s.enter()
	_ = pause(s.ctx, s.call)
	s.leave()
}

func (s *starving) callOnLoops() { s.callBlocking() }

func (s *starving) callOnElastic() { s.submit(s.elastic, s.callBlocking) }

// callWithoutThread has the answer come as another step.
func (s *starving) callWithoutThread() {
	s.enter()
	go func() {
		_ = pause(s.ctx, s.call)
		s.submit(s.loops, s.leave)
	}()
}

func (s *starving) enter() { raise(&s.most, s.calls.Add(1)) }

func (s *starving) leave() {
	s.calls.Add(-1)
	s.left.Done()
}

// workFast submits fast work to the loops, and looks at how long it waits.
func (s *starving) workFast(ctx context.Context) error {
	steps := int(time.Hour / s.every) // until ctx ends
	_ = arrive(ctx, steps, s.every, func(int) error {
		submitted := time.Now()
		return s.loops.Submit(ctx, executor.Task{Run: func() {
			raise(&s.fastWait, int64(time.Since(submitted)))
			s.fastDone.Add(1)
		}})
	})
	return nil
}

// raise sets most to value if that is more.
func raise(most *atomic.Int64, value int64) {
	for seen := most.Load(); value > seen && !most.CompareAndSwap(seen, value); seen = most.Load() {
	}
}

func starvationFinding(t Table) string {
	return fmt.Sprintf("Calls that blocked the threads were served %s at a time, and fast work waited up to %s behind them; without blocking %s were under way together and it waited %s; "+
		"with a pool of their own for what blocks, calls took %s in all, and fast work waited %s.",
		Count.format(t.Measured(blockingCalls, callsAtOnce)), Seconds.format(t.Measured(blockingCalls, fastWait)),
		allOf(t.Measured(asyncCalls, callsAtOnce), starvingRequests), Seconds.format(t.Measured(asyncCalls, fastWait)),
		Seconds.format(t.Measured(separatePool, allDone)), Seconds.format(t.Measured(separatePool, fastWait)))
}

// allOf says a number of things out of all.
func allOf(n float64, all int) string {
	if n == float64(all) {
		return "all " + Count.format(n)
	}
	return fmt.Sprintf("%s of %d", Count.format(n), all)
}
