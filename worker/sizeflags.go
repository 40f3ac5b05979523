package main

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"strconv"
	"time"

	"github.com/alecthomas/kong"

	"github.com/twinlane/twinlane/internal/service"
	"github.com/twinlane/twinlane/worker/internal/sizing"
)

// sizeCommand recommends sizes. What has no default is a pointer, so that it is
// known whether it was given.
type sizeCommand struct {
	Cores       int            `default:"${cores}" help:"Cores of a worker, or of the database, 1 to ${max_cores}. Default: those of this machine."`
	Utilisation float64        `default:"0.8" help:"The share of the cores to keep busy, above 0 to 1."`
	Wait        *time.Duration `placeholder:"DURATION" help:"How long a task waits, for I/O or another service, 0s to ${max_time}."`
	Service     *time.Duration `placeholder:"DURATION" help:"How long it computes, ${min_time} to ${max_time}."`
	Spindles    int            `default:"1" help:"Disks of the database that seek, 0 to ${max_cores}; an SSD or a cached database has 0 or 1."`

	Rate        *float64       `placeholder:"N" help:"Tasks that arrive in a second, ${min_rate} to ${max_rate}."`
	Task        *time.Duration `placeholder:"DURATION" help:"How long a task takes on average, ${min_time} to ${max_time}. Default: --wait and --service together."`
	Tasks       sizing.Tasks   `default:"exponential" help:"How the lengths of tasks vary: ${task_lengths}."`
	MaxWait     *time.Duration `placeholder:"DURATION" help:"How long a task may wait in the queue, 0s to ${max_time}: asks for the fewest tasks at once that keep it."`
	Percentile  float64        `default:"95" help:"How many percent of the tasks are to keep that, 1 to ${max_percentile}."`
	Concurrency *int           `placeholder:"N" help:"In place of --max-wait: how many tasks run at once in all, 1 to ${max_servers}."`
	PerReplica  int            `default:"1000" help:"How many tasks one worker runs at once at most, 1 to ${max_concurrency}."`

	Measure    bool          `help:"Check the prediction: run the worker's executor under such a load, scaled so that this machine can."`
	MeasureFor time.Duration `default:"20s" help:"How long, ${min_measure} to ${max_measure}."`
	JSON       bool          `name:"json" help:"Print JSON."`
}

// The bounds of what is sized.
const (
	maxCores      = 1024
	minTime       = 10 * time.Microsecond
	maxTime       = time.Hour
	minRate       = 0.001
	maxRate       = 1_000_000
	maxPercentile = 99.99
	maxServers    = 1_000_000
	minMeasure    = time.Second
	maxMeasure    = 10 * time.Minute
)

// sizeBounds are the values that the help texts of size name in ${…}.
func sizeBounds() kong.Vars {
	return kong.Vars{
		"cores":          strconv.Itoa(runtime.GOMAXPROCS(0)),
		"max_cores":      strconv.Itoa(maxCores),
		"min_time":       minTime.String(),
		"max_time":       maxTime.String(),
		"min_rate":       fmt.Sprint(minRate),
		"max_rate":       strconv.Itoa(maxRate),
		"max_percentile": fmt.Sprint(maxPercentile),
		"max_servers":    strconv.Itoa(maxServers),
		"min_measure":    minMeasure.String(),
		"max_measure":    maxMeasure.String(),
		"task_lengths":   anyOf(sizing.AllTasks()),
	}
}

// Validate reports every value that is not allowed. The parser calls it.
func (c *sizeCommand) Validate() error {
	return errors.Join(c.validateUse(),
		service.Between("--cores", c.Cores, 1, maxCores),
		c.validateUtilisation(),
		betweenIfGiven("--wait", c.Wait, 0, maxTime),
		betweenIfGiven("--service", c.Service, minTime, maxTime),
		service.Between("--spindles", c.Spindles, 0, maxCores),
		betweenIfGiven("--rate", c.Rate, minRate, maxRate),
		betweenIfGiven("--task", c.Task, minTime, maxTime),
		service.OneOf("--tasks", c.Tasks, sizing.AllTasks()...),
		betweenIfGiven("--max-wait", c.MaxWait, 0, maxTime),
		service.Between("--percentile", c.Percentile, 1, maxPercentile),
		betweenIfGiven("--concurrency", c.Concurrency, 1, maxServers),
		service.Between("--per-replica", c.PerReplica, 1, maxConcurrency),
		service.Between("--measure-for", c.MeasureFor, minMeasure, maxMeasure),
	)
}

func (c *sizeCommand) validateUtilisation() error {
	if c.Utilisation > 0 && c.Utilisation <= 1 {
		return nil
	}
	return service.NotAllowed("--utilisation", c.Utilisation, "above 0, up to 1")
}

// validateUse looks at which flags were given together.
func (c *sizeCommand) validateUse() error {
	pool := c.Wait != nil && c.Service != nil
	switch {
	case c.Rate == nil && (c.Task != nil || c.MaxWait != nil || c.Concurrency != nil || c.Measure):
		return errors.New("--rate is missing: --task, --max-wait, --concurrency and --measure need it")
	case c.Wait != nil && c.Service == nil, c.Service != nil && c.Wait == nil && c.Task == nil:
		return errors.New("give both of --wait and --service")
	case c.Rate == nil && !pool:
		return errors.New("say what to size: --wait and --service for a pool of threads, --rate, --task and --max-wait for workers")
	case c.Rate == nil:
		return nil
	case c.Task == nil && !pool:
		return errors.New("--task is missing, or --wait and --service: how long does a task take?")
	case c.Task != nil && pool && *c.Task != *c.Wait+*c.Service:
		return service.NotAllowed("--task", *c.Task, fmt.Sprintf("%s, which --wait and --service are together, or none", *c.Wait+*c.Service))
	case c.Task != nil && c.Service != nil && *c.Service > *c.Task:
		return service.NotAllowed("--service", *c.Service, fmt.Sprintf("up to %s, which is all of --task", *c.Task))
	case (c.MaxWait == nil) == (c.Concurrency == nil):
		return errors.New("give one of --max-wait and --concurrency")
	}
	return c.validateLoad()
}

// validateLoad bounds how many tasks would be at work.
func (c *sizeCommand) validateLoad() error {
	load := sizing.AtWork(*c.Rate, c.taskTime().Seconds())
	if load <= maxServers*0.9 {
		return nil
	}
	return service.NotAllowed("--rate", *c.Rate, fmt.Sprintf("up to %g with tasks of %s, which keeps %d at work", math.Floor(maxServers*0.9/c.taskTime().Seconds()), c.taskTime(), int(maxServers*0.9)))
}

// taskTime is how long a task takes.
func (c *sizeCommand) taskTime() time.Duration {
	if c.Task != nil {
		return *c.Task
	}
	return *c.Wait + *c.Service
}

func betweenIfGiven[T interface{ ~int | ~int64 | ~float64 }](name string, value *T, low, high T) error {
	if value == nil {
		return nil
	}
	return service.Between(name, *value, low, high)
}
