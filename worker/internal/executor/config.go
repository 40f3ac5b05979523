package executor

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Model names an execution model.
type Model string

// The execution models.
const (
	ModelGoroutine Model = "goroutine" // a goroutine for each task, up to a bound
	ModelSerial    Model = "serial"    // one task at a time, on the submitting goroutine
	ModelPool      Model = "pool"      // workers that stay, a queue, and a policy for when both are full
	ModelKeyed     Model = "keyed"     // one task at a time of each key, up to a bound over all keys
)

// Models lists every model, in the order used in messages to people.
func Models() []Model { return []Model{ModelGoroutine, ModelSerial, ModelPool, ModelKeyed} }

// Policy names a saturation policy: what becomes of a task that is submitted
// while all workers of a pool are busy and its queue is full.
type Policy string

// The saturation policies.
const (
	Abort         Policy = "abort"          // Submit returns ErrSaturated
	CallerRuns    Policy = "caller_runs"    // the submitting goroutine runs it
	Discard       Policy = "discard"        // it is dropped
	DiscardOldest Policy = "discard_oldest" // the oldest queued task is dropped in its favour
	Block         Policy = "block"          // Submit waits for room, in turn
)

// Policies lists every saturation policy, in the order used in messages to people.
func Policies() []Policy {
	return []Policy{Abort, CallerRuns, Discard, DiscardOldest, Block}
}

// Unbounded is a size without a bound: as PoolConfig.Queue for a queue that
// takes everything, as PoolConfig.Max for as many workers as there are tasks.
const Unbounded = math.MaxInt32

// MaxOSThreads bounds how many tasks may run at once that have an OS thread
// each. The Go runtime ends a process that has 10,000 threads, and needs some
// for itself.
const MaxOSThreads = 8000

// Config says which model runs tasks and how many at once.
type Config struct {
	Model Model
	// Concurrency bounds how many tasks run at once under ModelGoroutine and
	// ModelKeyed. ModelSerial always runs one, and ModelPool has sizes of its own.
	Concurrency int
	// KeyQueue is how many accepted tasks ModelKeyed holds beyond Concurrency,
	// those that wait for the one before them of their key. The more there is of
	// it, the further the model sees past a key that has many tasks.
	KeyQueue int
	// Pool is read by ModelPool alone.
	Pool PoolConfig
	// OSThreads locks every goroutine that runs tasks to an OS thread, which ends
	// with the goroutine: a goroutine then costs what a thread costs. A submitting
	// goroutine that runs a task itself has a thread to itself meanwhile.
	OSThreads bool
}

// PoolConfig has the sizes of a pool. A task that is submitted has a new worker
// while there are fewer than Core, even where others are idle. Then it is
// queued, and an idle worker takes it at once. Where the queue is full it has a
// new worker while there are fewer than Max. Where there are Max, Policy decides.
type PoolConfig struct {
	Core, Max int
	// KeepAlive is how long a worker above Core may be idle before it ends.
	KeepAlive time.Duration
	// Queue is how many tasks wait at most while no worker is idle. With zero, a
	// task is handed to an idle worker or has a new one.
	Queue  int
	Policy Policy
}

// cachedKeepAlive is how long the workers of a cached pool stay.
const cachedKeepAlive = time.Minute

// Fixed is a pool of n workers and a queue without a bound.
func Fixed(n int) PoolConfig {
	return PoolConfig{Core: n, Max: n, Queue: Unbounded, Policy: Abort}
}

// Cached is a pool that queues nothing: it has a worker for every task at once,
// up to limit, which may be Unbounded, and keeps idle ones for a minute.
func Cached(limit int) PoolConfig {
	return PoolConfig{Max: limit, KeepAlive: cachedKeepAlive, Policy: Abort}
}

// Single is a pool of one worker: tasks run one after the other, in the order of
// their submits.
func Single() PoolConfig { return Fixed(1) }

// Validate names the first field whose value is not allowed.
func (c Config) Validate() error {
	if err := oneOf("model", c.Model, Models()); err != nil {
		return err
	}
	switch c.Model {
	case ModelPool:
		if err := c.Pool.validate(); err != nil {
			return err
		}
	case ModelKeyed:
		if err := between("key queue", c.KeyQueue, 0, Unbounded); err != nil {
			return err
		}
		fallthrough
	default:
		if err := between("concurrency", c.Concurrency, 1, Unbounded); err != nil {
			return err
		}
	}
	if c.OSThreads && c.Parallelism() > MaxOSThreads {
		return fmt.Errorf("os threads: %d tasks at once are not allowed; allowed: 1 to %d", c.Parallelism(), MaxOSThreads)
	}
	return nil
}

func (p PoolConfig) validate() error {
	if err := validateSizes(p.Core, p.Max); err != nil {
		return err
	}
	if p.KeepAlive < 0 {
		return fmt.Errorf("keep alive: %s is not allowed; allowed: 0s or more", p.KeepAlive)
	}
	if err := between("queue", p.Queue, 0, Unbounded); err != nil {
		return err
	}
	if err := oneOf("policy", p.Policy, Policies()); err != nil {
		return err
	}
	if p.Policy == DiscardOldest && p.Queue == 0 {
		return fmt.Errorf("queue: 0 is not allowed with policy %s, which drops a queued task; allowed: 1 or more", p.Policy)
	}
	return nil
}

func validateSizes(core, limit int) error {
	if err := between("max", limit, 1, Unbounded); err != nil {
		return err
	}
	return between("core", core, 0, limit)
}

// Parallelism is how many tasks run at once at most, without those that
// CallerRuns has submitting goroutines run.
func (c Config) Parallelism() int {
	switch c.Model {
	case ModelSerial:
		return 1
	case ModelPool:
		return c.Pool.Max
	default:
		return c.Concurrency
	}
}

// Capacity is how many tasks are accepted at once, running and queued, before a
// submit finds no room.
func (c Config) Capacity() int {
	switch c.Model {
	case ModelPool:
		return c.Pool.Max + c.Pool.Queue
	case ModelKeyed:
		return c.Concurrency + c.KeyQueue
	default:
		return c.Parallelism()
	}
}

// policy is what becomes of a submit that finds no room.
func (c Config) policy() Policy {
	if c.Model == ModelPool {
		return c.Pool.Policy
	}
	return Block
}

func oneOf[T ~string](what string, value T, allowed []T) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	names := make([]string, len(allowed))
	for i, a := range allowed {
		names[i] = string(a)
	}
	return fmt.Errorf("%s: %q is not allowed; allowed: %s", what, value, strings.Join(names, ", "))
}

// between checks a size. A bound of Unbounded is none that anybody could exceed.
func between(what string, value, low, high int) error {
	switch {
	case low <= value && value <= high:
		return nil
	case high == Unbounded:
		return fmt.Errorf("%s: %d is not allowed; allowed: %d or more", what, value, low)
	default:
		return fmt.Errorf("%s: %d is not allowed; allowed: %d to %d", what, value, low, high)
	}
}

// onlyConcurrency checks the sizes of a model that has no others.
func (s Sizes) onlyConcurrency() error {
	if s.Core != 0 || s.Max != 0 {
		return errors.New("core and max are not allowed; allowed: concurrency")
	}
	return between("concurrency", s.Concurrency, 1, Unbounded)
}

// onlyPool checks the sizes of a pool.
func (s Sizes) onlyPool() error {
	if s.Concurrency != 0 {
		return errors.New("concurrency is not allowed; allowed: core and max")
	}
	return validateSizes(s.Core, s.Max)
}
