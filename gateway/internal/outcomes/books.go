package outcomes

import "time"

// Books are the books of a run. Each task counts once, by its latest outcome,
// and for good once it is completed.
type Books struct {
	Run string `json:"run"`
	// AcceptedHere is how many tasks this gateway has accepted for the run; the
	// rest is the same on every gateway.
	AcceptedHere int64 `json:"accepted_here"`
	Completed    int64 `json:"completed"`
	Dead         int64 `json:"dead"`
	Discarded    int64 `json:"discarded"`
	// Settled is the sum of the three above.
	Settled int64 `json:"settled"`
	// Duplicates is how often a task was executed again that was completed.
	Duplicates int64 `json:"duplicates"`
	// The times of completed tasks, each by its first completion.
	EndToEnd    Distribution `json:"end_to_end_ms"`
	QueueWait   Distribution `json:"queue_wait_ms"`
	ServiceTime Distribution `json:"service_time_ms"`
	// FirstCompletedAt and LastCompletedAt are nil without a completion.
	FirstCompletedAt *time.Time `json:"first_completed_at"`
	LastCompletedAt  *time.Time `json:"last_completed_at"`
	// LastAcceptedAt is when the task was accepted that was accepted last of
	// those settled; nil where that is not known.
	LastAcceptedAt *time.Time `json:"last_accepted_at"`
	// DrainMS is the time between LastAcceptedAt and LastCompletedAt, in
	// milliseconds; nil where one of them is.
	DrainMS *float64 `json:"drain_ms"`
	// CaughtUp says that the books contain everything that was known to anybody
	// a moment ago.
	CaughtUp bool `json:"caught_up"`
}

// Distribution describes how times are distributed, in milliseconds. Count,
// Mean and Max are exact, the percentiles are within 1 % of the time that has
// that rank. All are 0 where nothing was counted.
type Distribution struct {
	Count int64   `json:"count"`
	Mean  float64 `json:"mean"`
	P50   float64 `json:"p50"`
	P95   float64 `json:"p95"`
	P99   float64 `json:"p99"`
	Max   float64 `json:"max"`
}
