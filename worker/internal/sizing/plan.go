package sizing

import (
	"math"
	"time"
)

// Demand is what a worker is to be sized for.
type Demand struct {
	Rate       float64       // tasks that arrive in a second
	Task       time.Duration // that one takes on average
	Tasks      Tasks
	Percentile float64 // of the tasks, which MaxWait is for
	// MaxWait is how long tasks may wait. It does not count if Concurrency is set.
	MaxWait time.Duration
	// Concurrency is how many tasks run at once in all; zero asks for the fewest
	// that keep MaxWait.
	Concurrency int
	// PerReplica is how many tasks one worker runs at once at most.
	PerReplica int
	// Service is how much of a task's time is computation, zero if that does not
	// count. Cores and Utilisation say how much of it one worker can do.
	Service     time.Duration
	Cores       int
	Utilisation float64
}

// Replica is one worker of a plan.
type Replica struct {
	Concurrency int `json:"concurrency"`
	Prefetch    int `json:"prefetch"`
	Connections int `json:"connections"`
	Channels    int `json:"channels"`
}

// Plan is what meets a Demand, and what to expect of it.
type Plan struct {
	Demand      Demand   `json:"-"`
	Queue       Queue    `json:"queue"`
	Concurrency int      `json:"concurrency"`
	Utilisation float64  `json:"utilisation"`
	AtWork      float64  `json:"at_work"`
	Capacity    float64  `json:"capacity_per_second"`
	Percentile  float64  `json:"percentile"`
	Wait        Expected `json:"queue_wait"`
	ConstWait   Expected `json:"queue_wait_of_constant_tasks"`
	Replicas    int      `json:"replicas"`
	Replica     Replica  `json:"replica"`
	Overload    Overload `json:"overload"`
}

// Expected is a predicted queue wait.
type Expected struct {
	Probability  float64 `json:"probability"`
	Mean         Seconds `json:"mean_seconds"`
	AtPercentile Seconds `json:"at_percentile_seconds"`
}

// queueLimit is how many messages tasks.v1 holds by the policy that both stacks
// bring along; beyond, the gateway answers 429.
const queueLimit = 1_000_000

// burst is how long an overload lasts that a plan tells the consequences of.
const burst = time.Minute

// Overload is what becomes of a minute in which more arrives than can be done.
type Overload struct {
	Rate         float64 `json:"rate_per_second"`
	Growth       float64 `json:"backlog_growth_per_second"`
	WaitAfter    Seconds `json:"queue_wait_after_a_minute_seconds"`
	QueueFull    Seconds `json:"queue_full_after_seconds"`
	DrainSeconds Seconds `json:"drain_seconds"` // at the rate of the demand
}

// NewPlan sizes workers for d. What a worker with so many tasks at once holds and
// opens is asked of replica.
func NewPlan(d Demand, replica func(concurrency int) Replica) Plan {
	wanted := d.Concurrency
	if wanted == 0 {
		wanted = Smallest(d.Rate, d.Task.Seconds(), d.Tasks, d.Percentile, Seconds(d.MaxWait.Seconds()))
	}
	replicas := max(divideUp(wanted, d.PerReplica), d.workersToCompute())
	each := divideUp(wanted, replicas)
	if d.Concurrency == 0 {
		wanted = each * replicas // all workers are alike
	}
	q := Queue{Rate: d.Rate, TaskSeconds: d.Task.Seconds(), Servers: wanted, Tasks: d.Tasks}
	constant := q
	constant.Tasks = Constant
	return Plan{
		Demand: d, Queue: q,
		Concurrency: wanted, Utilisation: q.Utilisation(), AtWork: min(q.Load(), float64(wanted)), Capacity: q.Capacity(),
		Percentile: d.Percentile,
		Wait:       q.expected(d.Percentile), ConstWait: constant.expected(d.Percentile),
		Replicas: replicas, Replica: replica(each),
		Overload: q.overload(),
	}
}

// workersToCompute is how many workers have the cores for the computation.
func (d Demand) workersToCompute() int {
	cores := AtWork(d.Rate, d.Service.Seconds())
	return max(1, int(math.Ceil(cores/(float64(d.Cores)*d.Utilisation)-1e-9)))
}

func (q Queue) expected(percentile float64) Expected {
	w := q.Waits()
	return Expected{Probability: w.Probability, Mean: w.Mean, AtPercentile: w.At(percentile)}
}

// overload is what a rate leads to that is half as much again as can be done, or
// the rate itself where that is more than can be done.
func (q Queue) overload() Overload {
	capacity := q.Capacity()
	rate := 1.5 * capacity
	if q.Utilisation() > 1 {
		rate = q.Rate
	}
	growth := rate - capacity
	backlog := growth * burst.Seconds()
	drain := Seconds(math.Inf(1))
	if q.Utilisation() < 1 {
		drain = Seconds(backlog / (capacity - q.Rate))
	}
	return Overload{
		Rate: rate, Growth: growth,
		WaitAfter:    Seconds(backlog / capacity),
		QueueFull:    Seconds(queueLimit / growth),
		DrainSeconds: drain,
	}
}

func divideUp(a, b int) int { return (a + b - 1) / b }
