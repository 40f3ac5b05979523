package lab

import (
	"runtime"
	"slices"
	"time"

	"github.com/twinlane/twinlane/internal/service"
)

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

// Report is the results of experiments that ran on one machine with one version
// of everything.
type Report struct {
	Environment Environment
	Results     []Result
}

// Environment says on what the experiments ran.
type Environment struct {
	Commit   string `json:"commit"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
	Cores    int    `json:"cores"`
}

// CurrentEnvironment is that of this process.
func CurrentEnvironment() Environment {
	return Environment{
		Commit:   service.Commit(),
		Go:       runtime.Version(),
		Platform: runtime.GOOS + "/" + runtime.GOARCH,
		Cores:    runtime.GOMAXPROCS(0),
	}
}

// Add puts a result into the report, in place of an earlier one of the same
// experiment. Results of another environment go.
func (r *Report) Add(e Environment, result Result) {
	if r.Environment != e {
		*r = Report{Environment: e}
	}
	i := slices.IndexFunc(r.Results, func(old Result) bool { return old.Experiment.Name == result.Experiment.Name })
	if i < 0 {
		r.Results = append(r.Results, result)
		return
	}
	r.Results[i] = result
}
