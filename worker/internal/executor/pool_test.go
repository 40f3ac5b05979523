package executor

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
)

// TestPoolKeepsTheRules has random events happen to a pool and to the rules, and
// holds after each of them that every task has the fate, and the pool the
// workers, that the rules say.
func TestPoolKeepsTheRules(t *testing.T) {
	t.Parallel()
	const sequences, events = 150, 80
	for _, policy := range Policies() {
		t.Run(string(policy), func(t *testing.T) {
			t.Parallel()
			for range sequences {
				seed := rand.Uint64()
				ok := t.Run(fmt.Sprintf("seed %#x", seed), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { playPool(t, rand.New(rand.NewPCG(seed, 0)), policy, events) })
				})
				require.True(t, ok)
			}
		})
	}
}

// game is a pool, the rules that it has to keep, and what its tasks tell.
type game struct {
	rules rules
	pool  *pool
	calls []*call
	log   []string
}

// call is a submit and its task.
type call struct {
	release  chan struct{} // closed, the task ends
	giveUp   context.CancelFunc
	started  bool
	ended    bool
	dropped  int
	returned bool
	err      error
}

func playPool(t *testing.T, random *rand.Rand, policy Policy, events int) {
	t.Helper()
	cfg := randomPool(random, policy)
	exec, err := New(Config{Model: ModelPool, Pool: cfg}, prometheus.NewRegistry(), nil)
	require.NoError(t, err)
	g := &game{rules: rules{PoolConfig: cfg}, pool: exec.(*pool)} //nolint:forcetypeassert // It is what New was asked for.
	g.note("%+v", cfg)
	for range events {
		g.event(t, random)
		g.check(t)
	}
	if !g.rules.stopped {
		g.drain()
	}
	g.check(t)
	for running := g.running(); len(running) > 0; running = g.running() {
		g.finish(running[random.IntN(len(running))])
		g.check(t)
	}
	require.Zero(t, g.pool.Drain(t.Context()), "%v", g.log)
	require.Zero(t, g.pool.Stats().Workers)
}

func randomPool(random *rand.Rand, policy Policy) PoolConfig {
	cfg := PoolConfig{Max: 1 + random.IntN(5), Policy: policy, KeepAlive: time.Duration(random.IntN(4)) * time.Second}
	cfg.Core = random.IntN(cfg.Max + 1)
	switch random.IntN(4) {
	case 0:
		cfg.Queue = Unbounded
	case 1:
	default:
		cfg.Queue = random.IntN(5)
	}
	if policy == DiscardOldest {
		cfg.Queue = max(cfg.Queue, 1)
	}
	return cfg
}

func (g *game) note(format string, args ...any) { g.log = append(g.log, fmt.Sprintf(format, args...)) }

// event has one thing happen, to the pool and to the rules.
func (g *game) event(t *testing.T, random *rand.Rand) {
	t.Helper()
	running := g.running()
	switch what := random.IntN(100); {
	case what < 45:
		g.submit()
	case what < 75 && len(running) > 0:
		g.finish(running[random.IntN(len(running))])
	case what < 86:
		g.pass(time.Duration(random.IntN(2500)) * time.Millisecond)
	case what < 94:
		s := Sizes{Max: 1 + random.IntN(5)}
		s.Core = random.IntN(s.Max + 1)
		g.note("resize %+v", s)
		require.NoError(t, g.pool.Resize(s))
		g.rules.resize(s)
	case what < 98 && len(g.rules.waiting) > 0:
		n := g.rules.waiting[random.IntN(len(g.rules.waiting))]
		g.note("give up %d", n)
		g.calls[n].giveUp()
		g.rules.giveUp(n)
	case what == 99 && !g.rules.stopped && random.IntN(2) == 0:
		g.drain()
	}
}

func (g *game) running() []int { return g.rules.with(fateRunning, fateByCaller) }

func (g *game) submit() {
	g.note("submit %d", len(g.calls))
	ctx, cancel := context.WithCancel(context.Background())
	c := &call{release: make(chan struct{}), giveUp: cancel}
	g.calls = append(g.calls, c)
	go func() {
		defer cancel()
		c.err = g.pool.Submit(ctx, Task{
			Run: func() {
				c.started = true
				<-c.release
				c.ended = true
			},
			Discard: func() { c.dropped++ },
		})
		c.returned = true
	}()
	g.rules.submit()
}

func (g *game) finish(n int) {
	g.note("finish %d", n)
	close(g.calls[n].release)
	g.rules.finish(n)
}

func (g *game) pass(d time.Duration) {
	g.note("pass %s", d)
	sleep(d)
	g.rules.pass(d)
}

// drain begins a drain, without waiting for its end.
func (g *game) drain() {
	g.note("drain")
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	g.pool.Drain(ended)
	g.rules.drain()
}

// check waits for everything to settle, and compares.
func (g *game) check(t *testing.T) {
	t.Helper()
	synctest.Wait()
	require.Equal(t, g.rules.stats(), g.pool.Stats(), "%v", g.log)
	for n, c := range g.calls {
		require.Equal(t, string(g.rules.fates[n]), string(c.fate(g.rules.fates[n])), "task %d: %+v\n%v", n, *c, g.log)
	}
}

// fate is what the call tells of its task. What a call cannot tell, whether its
// task is queued, is believed where nothing speaks against it.
func (c *call) fate(expected fate) fate {
	switch {
	case c.dropped == 1 && !c.started && c.returned && c.err == nil:
		return fateDiscarded
	case c.dropped > 0:
		return "dropped wrongly"
	case c.ended && c.returned && c.err == nil:
		return fateDone
	case c.started && !c.ended && !c.returned:
		return fateByCaller
	case c.started && !c.ended && c.err == nil:
		return fateRunning
	case c.started:
		return "run wrongly"
	case !c.returned:
		return fateWaiting
	}
	switch {
	case c.err == nil:
		return fateQueued
	case errors.Is(c.err, ErrSaturated):
		return fateAborted
	case errors.Is(c.err, ErrStopped):
		return fateStopped
	case errors.Is(c.err, context.Canceled):
		return fateGivenUp
	default:
		return expected + " with an error of its own"
	}
}

// TestAPoolAllocatesNothingForATask holds it for tasks that are handed over, that
// are queued, and that wait. Allocations of tests beside it would count.
//
//nolint:paralleltest // See above.
func TestAPoolAllocatesNothingForATask(t *testing.T) {
	for name, cfg := range map[string]PoolConfig{
		"hand-off": {Core: 8, Max: 8, Policy: Block},
		"queue":    {Core: 1, Max: 1, Queue: 100, Policy: Block},
	} {
		t.Run(name, func(t *testing.T) {
			exec, err := New(Config{Model: ModelPool, Pool: cfg}, nil, nil)
			require.NoError(t, err)
			run := func() {}
			allocs := testing.AllocsPerRun(10_000, func() {
				if err := exec.Submit(context.Background(), Task{Run: run}); err != nil {
					t.Error(err)
				}
			})
			require.Zero(t, allocs)
			require.Zero(t, exec.Drain(t.Context()))
		})
	}
}
