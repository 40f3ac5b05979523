package lab

import (
	"math"
	"runtime"
	"time"

	"github.com/twinlane/twinlane/worker/internal/executor"
	"github.com/twinlane/twinlane/worker/internal/sizing"
)

// work is how long tasks compute, when one runs alone.
type work struct {
	hashes  int     // of an I/O task
	service float64 // seconds that those take
	cores   int
}

// measureWork computes for a moment. Of several times the shortest counts, in
// which nothing else had the processor.
func measureWork(hashes int) work {
	const repeats = 50
	fastest := time.Second
	for range repeats {
		start := time.Now()
		compute(hashes)
		fastest = min(fastest, time.Since(start))
	}
	return work{hashes: hashes, service: max(fastest.Seconds(), 1e-6), cores: runtime.GOMAXPROCS(0)}
}

// alone is how many seconds an I/O task takes.
func (w work) alone() float64 { return w.service + poolWaits.Seconds() }

// formula is the core that the formula recommends for I/O tasks.
func (w work) formula() int {
	threads := sizing.Threads(w.cores, poolUtilisation, poolWaits, time.Duration(w.service*float64(time.Second)))
	return int(min(math.Ceil(threads), mostFormula))
}

// trial is a pool and what it is to do.
type trial struct {
	name      string
	work      work
	pool      executor.PoolConfig
	osThreads bool
	cpu       bool
	published Value
	predicted float64 // seconds
	theory    string
	atLeast   bool // predicted is the least
}

// poolTrials lists the trials in their order.
func poolTrials(w work, count, bound int) []trial {
	io, cpu := ioTrials(w, count, bound), cpuTrials(w, count, bound)
	all := append(append(io, cpu...), policyTrials(w, count)...)
	for i := range all {
		all[i].work = w
	}
	return all
}

func ioTrials(w work, count, bound int) []trial {
	with := func(t trial, workers int) trial {
		t.predicted = max(float64(count)*w.alone()/float64(workers), float64(count)*w.service/float64(w.cores))
		t.theory = "tasks × (wait + service) ÷ " + some(workers, "worker")
		if workers > mostFormula {
			t.theory, t.atLeast = "tasks × service ÷ cores: there are workers enough to keep them busy", true
		}
		return t
	}
	core := w.formula()
	same := Words("about the same as default")
	var trials []trial
	for _, threads := range []bool{false, true} {
		prefix, limit, policy := "I/O, ", executor.Unbounded, executor.Abort
		if threads {
			prefix, limit, policy = "I/O, threads, ", mostThreads, executor.Block
		}
		if !threads { // one thread takes as long as one goroutine
			trials = append(trials, with(trial{name: prefix + "default", pool: executor.PoolConfig{Core: 1, Max: limit, Queue: executor.Unbounded, Policy: executor.Abort}}, 1))
		}
		trials = append(trials,
			with(trial{name: prefix + "formula", osThreads: threads, published: same, pool: executor.PoolConfig{Core: core, Max: limit, Queue: executor.Unbounded, Policy: executor.Abort}}, core),
			with(trial{name: prefix + "bounded queue", osThreads: threads, pool: executor.PoolConfig{Core: core, Max: limit, Queue: bound, KeepAlive: time.Minute, Policy: policy}}, limit),
			with(trial{name: prefix + "cached", osThreads: threads, pool: executor.PoolConfig{Max: limit, KeepAlive: time.Minute, Policy: policy}}, limit),
		)
		if !threads {
			trials = append(trials, with(trial{name: prefix + "fixed 10", pool: executor.Fixed(10)}, 10))
		}
	}
	return trials
}

func cpuTrials(w work, count, bound int) []trial {
	with := func(t trial, workers int) trial {
		t.cpu = true
		busy := min(workers, w.cores)
		t.predicted = float64(count) * w.service / float64(busy)
		t.theory = "tasks × service ÷ " + some(busy, "core") + ": more threads are of no use"
		return t
	}
	slower := Words("slower than an unbounded queue")
	pool := func(core, limit, queue int, policy executor.Policy) executor.PoolConfig {
		return executor.PoolConfig{Core: core, Max: limit, Queue: queue, KeepAlive: time.Minute, Policy: policy}
	}
	return []trial{
		with(trial{name: "CPU, single", pool: executor.Single()}, 1),
		with(trial{name: "CPU, formula", pool: pool(w.cores, executor.Unbounded, executor.Unbounded, executor.Abort)}, w.cores),
		with(trial{name: "CPU, bounded queue", pool: pool(w.cores, executor.Unbounded, bound, executor.Abort), published: slower}, w.cores),
		with(trial{name: cpuFormula, osThreads: true, pool: pool(w.cores, mostThreads, executor.Unbounded, executor.Abort)}, w.cores),
		with(trial{name: cpuBounded, osThreads: true, pool: pool(w.cores, mostThreads, bound, executor.Block), published: slower}, w.cores),
	}
}

// policyTrials have few places, so that the policy decides on most tasks.
func policyTrials(w work, count int) []trial {
	var trials []trial
	for _, policy := range executor.Policies() {
		t := trial{name: policyNamed + string(policy), pool: examplePool(policy)}
		runs, places, theory := count, 5, "5 workers"
		switch policy {
		case executor.Block:
		case executor.CallerRuns:
			places, theory = 6, "5 workers and the caller"
		default: // what is not accepted takes no time
			runs = t.pool.Max + t.pool.Queue
			t.atLeast = true
		}
		t.predicted = float64(runs) * w.alone() / float64(places)
		t.theory = "tasks that run × (wait + service) ÷ " + theory
		trials = append(trials, t)
	}
	return trials
}

// examplePool has the sizes that the write-up gives as an example.
func examplePool(policy executor.Policy) executor.PoolConfig {
	return executor.PoolConfig{Core: 3, Max: 5, Queue: 200, KeepAlive: time.Minute, Policy: policy}
}
