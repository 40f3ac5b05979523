package lab

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// sweepName is what the markers of the sweep's table are called. Its figures
// come from `make sweep`, which runs the whole system.
const sweepName = "sweep"

// sweep is what is needed of a summary.json of k6/sweep.js.
type sweep struct {
	Run         string `json:"run"`
	Headline    string `json:"headline"`
	Passed      bool   `json:"passed"`
	Environment struct {
		Commit   string `json:"commit"`
		Cores    int    `json:"host_cpus"`
		Go       string `json:"go"`
		RabbitMQ string `json:"rabbitmq"`
	} `json:"environment"`
	Settings struct {
		VUs         any     `json:"vus"` // a number, or "auto"
		TaskMS      float64 `json:"task_ms"`
		StepSeconds float64 `json:"step_seconds"`
	} `json:"settings"`
	Steps []sweepStep `json:"steps"`
}

type sweepStep struct {
	Lane       string  `json:"lane"`
	Rate       float64 `json:"rps"`
	Throughput float64 `json:"throughput_rps"`
	Drop       float64 `json:"drop_share"`
	Latency    struct {
		Average *float64 `json:"avg"`
		P95     *float64 `json:"p95"`
	} `json:"latency_ms"`
}

func readSweep(path string) (s sweep, err error) {
	text, err := os.ReadFile(filepath.Clean(path))
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	if err == nil && len(s.Steps) == 0 {
		err = fmt.Errorf("it has no steps")
	}
	if err != nil {
		return s, fmt.Errorf("read sweep %s: %w", path, err)
	}
	return s, nil
}

// The published figures of A, in seconds, a second, and shares.
const (
	publishedTask      = 1.0
	publishedSyncLimit = 100.0
)

// result lays the steps of a sweep out as an experiment's.
func (s sweep) result() Result {
	r := Result{Experiment: Experiment{Name: sweepName, Quantities: []Quantity{
		{Key: "answer_time_mean_seconds", Name: "time to the answer, mean", Unit: Seconds},
		{Key: "answer_time_p95_seconds", Name: "95th percentile", Unit: Seconds},
		{Key: "answered_requests_per_second", Name: "answered", Unit: PerSecond},
		{Key: "dropped_share", Name: "not even sent", Unit: Share},
	}}}
	for _, step := range s.Steps {
		r.Rows = append(r.Rows, s.row(step))
	}
	return r
}

// row puts beside a step what was published for it, and what Little's law says
// of a lane that keeps a virtual user busy for as long as a task takes.
func (s sweep) row(step sweepStep) Row {
	average := Figure{Quantity: "answer_time_mean_seconds", Measured: fromMS(step.Latency.Average)}
	p95 := Figure{Quantity: "answer_time_p95_seconds", Measured: fromMS(step.Latency.P95)}
	answered := Figure{Quantity: "answered_requests_per_second", Measured: Number(step.Throughput)}
	dropped := Figure{Quantity: "dropped_share", Measured: Number(step.Drop)}
	published := map[float64]float64{100: .0297, 150: .34, 400: .75}
	switch step.Lane {
	case "sync":
		average.Published = Number(publishedTask)
		if step.Rate >= publishedSyncLimit {
			answered.Published = Number(publishedSyncLimit)
		}
		if share, ok := published[step.Rate]; ok {
			dropped.Published = Number(share)
		}
		if vus, ok := s.Settings.VUs.(float64); ok && s.Settings.TaskMS > 0 {
			most := min(step.Rate, vus/(s.Settings.TaskMS/1000))
			answered.Predicted, answered.Theory = Number(most), "the lesser of the rate and of virtual users ÷ time of a task (Little's law)"
			dropped.Predicted, dropped.Theory = Number(1-most/step.Rate), "1 − answered ÷ rate"
		}
	case "async":
		average.Published, p95.Published = Range(.002, .004), Range(.002, .005)
		answered.Predicted, answered.Theory = Number(step.Rate), "the rate: nobody waits for the work"
		dropped.Predicted = Number(0)
		if step.Rate == 400 {
			answered.Published, dropped.Published = Number(400), Number(0)
		}
	}
	return Row{Case: fmt.Sprintf("%s at %g/s", step.Lane, step.Rate), Figures: []Figure{average, p95, answered, dropped}}
}

func fromMS(ms *float64) Value {
	if ms == nil {
		return Value{}
	}
	return Number(*ms / 1000)
}

// markdown is what the page says of a sweep.
func (s sweep) markdown() string {
	var b strings.Builder
	b.WriteString(s.result().tables())
	fmt.Fprintf(&b, "**%s**\n\n", s.Headline)
	fmt.Fprintf(&b, "Sweep %s, %g s a step, %v virtual users, %d cores, %s, RabbitMQ %s, commit %s.\n", s.Run, s.Settings.StepSeconds,
		s.Settings.VUs, s.Environment.Cores, s.Environment.Go, s.Environment.RabbitMQ, s.Environment.Commit)
	return b.String()
}
