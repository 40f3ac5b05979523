package lab

import (
	"context"
	"crypto/sha256"
	"runtime/metrics"
	"time"

	"github.com/twinlane/twinlane/worker/internal/executor"
)

// compute is the work of a task that is bound by a processor: a chain of that
// many SHA-256 hashes, the same work on a busy machine as on an idle one.
func compute(hashes int) {
	var link [sha256.Size]byte
	for range hashes {
		link = sha256.Sum256(link[:])
	}
}

// arrive calls each for one arrival after the other, at even intervals. An
// arrival that is late, because the one before it took its time, follows at
// once: the rate is that of the clock.
func arrive(ctx context.Context, count int, interval time.Duration, each func(i int) error) error {
	start := time.Now()
	for i := range count {
		if early := time.Until(start.Add(time.Duration(i) * interval)); early > 0 {
			if err := pause(ctx, early); err != nil {
				return err
			}
		}
		if err := each(i); err != nil {
			return err
		}
	}
	return nil
}

// newExecutor returns an executor of the case, whose metrics are served while it
// runs. Part is its name in a case that has several, and else empty.
func (e *Env) newExecutor(part string, c executor.Config) (observed, error) {
	exec, err := executor.New(c, e.MetricsOf(part), e.Logger)
	if err != nil {
		return nil, err
	}
	return exec.(observed), nil //nolint:forcetypeassert // Every model is one.
}

// observed is an executor that says what it does, as every model is.
type observed interface {
	executor.Executor
	executor.Observed
}

// process is what this process has at one moment.
type process struct {
	threads, heap float64 // heap in bytes, with what is no longer needed
}

func readProcess() process {
	samples := []metrics.Sample{{Name: "/sched/threads/total:threads"}, {Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(samples)
	return process{threads: float64(samples[0].Value.Uint64()), heap: float64(samples[1].Value.Uint64())}
}

// threadInterval is how often watchThreads looks.
const threadInterval = 5 * time.Millisecond

// watchThreads looks at the process until the returned function is called, which
// returns the most OS threads that it had.
func watchThreads() (stop func() float64) {
	stopped, most := make(chan struct{}), make(chan float64)
	go func() {
		tick := time.NewTicker(threadInterval)
		defer tick.Stop()
		seen := 0.0
		for {
			seen = max(seen, readProcess().threads)
			select {
			case <-tick.C:
			case <-stopped:
				most <- max(seen, readProcess().threads)
				return
			}
		}
	}()
	return func() float64 {
		close(stopped)
		return <-most
	}
}

// threadPatience is how long threads may take to end.
const threadPatience = time.Second

// awaitThreads waits until this process has no more than so many OS threads:
// they end some time after the goroutines that they were locked to.
func awaitThreads(ctx context.Context, most float64) {
	ctx, cancel := context.WithTimeout(ctx, threadPatience)
	defer cancel()
	for readProcess().threads > most && pause(ctx, threadInterval) == nil {
	}
}
