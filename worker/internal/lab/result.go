package lab

import "time"

// Result is what one run of an experiment has found.
type Result struct {
	Experiment Experiment
	Size       Size
	RabbitMQ   string // its version, where the experiment needs it
	Started    time.Time
	Seconds    float64
	Rows       Table
	Finding    string
}

func newResult(e Experiment, s Size, now time.Time) Result {
	return Result{Experiment: e, Size: s, Started: now}
}
