package main

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/twinlane/twinlane/internal/service"
	"github.com/twinlane/twinlane/internal/task"
	"github.com/twinlane/twinlane/worker/internal/dlq"
)

// dlqCommand is the tools for dead letters. While one looks at messages, others
// do not see them; they come back when it ends.
type dlqCommand struct {
	Ls     lsCommand     `cmd:"" aliases:"list" help:"List dead letters in the order of the queue."`
	Show   showCommand   `cmd:"" help:"Show one dead letter with its headers and body."`
	Replay replayCommand `cmd:"" help:"Put dead letters back into the task queue, as first attempts."`
	Purge  purgeCommand  `cmd:"" help:"Delete dead letters after writing them to a file."`
}

// scanFlags bound how much of the DLQ a command looks at.
type scanFlags struct {
	brokerFlags
	Scan int `default:"10000" help:"How many messages to look at, from the head of the queue on; 1 or more."`
}

func (f scanFlags) validate() error {
	return errors.Join(f.brokerFlags.validate(), atLeast("--scan", f.Scan, 1))
}

// filterFlags say which dead letters are meant.
type filterFlags struct {
	ID     string        `name:"id" help:"Only the letter of this task."`
	Reason string        `help:"Only letters with this reason: ${reasons}."`
	Since  time.Duration `placeholder:"DURATION" help:"Only letters that died in the last so many, such as 1h30m."`
}

func (f filterFlags) validate() error {
	var reason error
	if f.Reason != "" {
		reason = service.OneOf("--reason", task.Reason(f.Reason), dlq.Reasons()...)
	}
	return errors.Join(reason, atLeast("--since", f.Since, 0))
}

func (f filterFlags) isSet() bool { return f != filterFlags{} }

// atLeast refuses a value below low, and what is no number.
func atLeast[T cmp.Ordered](name string, value, low T) error {
	if value >= low {
		return nil
	}
	return service.NotAllowed(name, value, fmt.Sprintf("%v or more", low))
}

type lsCommand struct {
	scanFlags
	filterFlags
	Max  int  `default:"50" help:"How many to list; 0 for all."`
	JSON bool `name:"json" help:"Print a JSON array."`
}

// Validate reports every value that is not allowed. The parser calls it.
func (c *lsCommand) Validate() error {
	return errors.Join(c.scanFlags.validate(), c.filterFlags.validate(), atLeast("--max", c.Max, 0))
}

type showCommand struct {
	scanFlags
	ID   string `arg:"" help:"The task's id."`
	JSON bool   `name:"json" help:"Print JSON, which has every byte of the body."`
}

// Validate reports every value that is not allowed. The parser calls it.
func (c *showCommand) Validate() error { return c.validate() }

type replayCommand struct {
	scanFlags
	filterFlags
	traceFlags
	All    bool    `help:"Replay all."`
	Max    int     `placeholder:"N" help:"Replay so many at most."`
	Rate   float64 `placeholder:"N" help:"Replay so many a second at most; without it, as fast as the broker confirms."`
	DryRun bool    `help:"Only print what would be replayed."`
}

// Validate reports every value that is not allowed, and makes sure that nobody
// replays everything by accident. The parser calls it.
func (c *replayCommand) Validate() error {
	var which error
	if !c.All && c.Max == 0 && !c.isSet() {
		which = errors.New("say which letters to replay: --id, --reason, --since, --max or --all")
	}
	return errors.Join(
		c.scanFlags.validate(), c.filterFlags.validate(), c.traceFlags.validate(), which,
		atLeast("--max", c.Max, 0), atLeast("--rate", c.Rate, 0),
	)
}

type purgeCommand struct {
	scanFlags
	filterFlags
	Backup string `placeholder:"FILE" help:"The file to write first; it must not exist. By default its name is made of the queue and the time."`
	Count  int    `placeholder:"N" help:"How many letters you expect to delete; if it differs, none is. Without it you are asked."`
}

// Validate reports every value that is not allowed. The parser calls it.
func (c *purgeCommand) Validate() error {
	return errors.Join(c.scanFlags.validate(), c.filterFlags.validate(), atLeast("--count", c.Count, 0))
}
