package sizing

import "math"

// Tasks says how the lengths of tasks vary around their mean.
type Tasks string

// The ways in which lengths vary.
const (
	Exponential Tasks = "exponential" // most are short and some are long, without memory
	Constant    Tasks = "constant"    // all alike
)

// AllTasks lists every way.
func AllTasks() []Tasks { return []Tasks{Exponential, Constant} }

// Queue is one waiting line in front of servers, each of which works on one task
// at a time; for a worker, a server is one of its tasks at once. Tasks arrive
// independently of each other, and each is taken in its turn.
type Queue struct {
	Rate        float64 `json:"rate_per_second"` // of arrivals
	TaskSeconds float64 `json:"task_seconds"`    // on average
	Servers     int     `json:"servers"`
	Tasks       Tasks   `json:"tasks"`
}

// Load is how many servers are at work on average, if there are enough.
func (q Queue) Load() float64 { return AtWork(q.Rate, q.TaskSeconds) }

// Utilisation is the share of the servers that the load keeps busy. From 1 on
// the line grows without end.
func (q Queue) Utilisation() float64 { return q.Load() / float64(q.Servers) }

// Capacity is how many tasks a second are done while there are any.
func (q Queue) Capacity() float64 { return float64(q.Servers) / q.TaskSeconds }

// Waits is what a Queue predicts of the time that tasks wait for a server.
type Waits struct {
	Probability float64 // that a task waits at all
	Mean        Seconds // of all tasks, those included that do not wait
}

// Waits predicts the waiting times.
func (q Queue) Waits() Waits {
	if q.Utilisation() >= 1 {
		return Waits{Probability: 1, Mean: Seconds(math.Inf(1))}
	}
	blocked := 1.0
	for n := 1; n <= q.Servers; n++ {
		blocked = erlangB(blocked, q.Load(), n)
	}
	return q.waits(blocked)
}

// At is the waiting time that so many percent of the tasks do not exceed: the
// time of one that waits is exponentially distributed. It is exactly that for
// exponential tasks, and approximately for constant ones.
func (w Waits) At(percentile float64) Seconds {
	exceed := 1 - percentile/100
	if w.Probability <= exceed {
		return 0
	}
	return Seconds(math.Log(w.Probability/exceed)) * w.Mean / Seconds(w.Probability)
}

// Smallest is the fewest servers with which so many percent of the tasks wait
// no longer than limit.
func Smallest(rate, taskSeconds float64, tasks Tasks, percentile float64, limit Seconds) int {
	q := Queue{Rate: rate, TaskSeconds: taskSeconds, Tasks: tasks}
	blocked := 1.0
	for {
		q.Servers++
		blocked = erlangB(blocked, q.Load(), q.Servers)
		if q.Utilisation() < 1 && q.waits(blocked).At(percentile) <= limit {
			return q.Servers
		}
	}
}

// waits follows from the share of tasks that would find all servers busy if none
// could wait: A. K. Erlang's two formulas (1917). With exponential tasks, the
// line is M/M/c in Kendall's notation.
func (q Queue) waits(blocked float64) Waits {
	servers := float64(q.Servers)
	probability := servers * blocked / (servers - q.Load()*(1-blocked))
	mean := probability * q.TaskSeconds / (servers - q.Load())
	if q.Tasks == Constant {
		mean *= q.constantShare()
	}
	return Waits{Probability: probability, Mean: Seconds(mean)}
}

// erlangB is the share that is turned away by n servers, made of that by n-1.
// All of its terms are positive and it never leaves 0 to 1, so it neither
// overflows nor cancels out, however many servers there are: the factorials of
// the closed form are not needed.
func erlangB(fewer, load float64, n int) float64 { return load * fewer / (float64(n) + load*fewer) }

// constantShare is the mean wait for constant tasks (M/D/c) as a share of that
// for exponential ones: half of it (A. M. Lee and P. A. Longton, 1959; exact for
// one server), and somewhat more where many servers have little to do. That
// correction is G. P. Cosmetatos's (1975), with the bound that Ward Whitt gave
// it in Approximations for the GI/G/m Queue (1993).
func (q Queue) constantShare() float64 {
	servers, busy := float64(q.Servers), q.Utilisation()
	more := (1 - busy) * (servers - 1) * (math.Sqrt(4+5*servers) - 2) / (16 * servers * busy)
	return 0.5 * (1 + min(more, 0.24))
}
