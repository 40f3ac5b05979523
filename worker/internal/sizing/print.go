package sizing

import (
	"fmt"
	"io"
	"math"
	"strings"
)

// Pool is what the formulas of pools recommend.
type Pool struct {
	Cores               int     `json:"cores"`
	Utilisation         float64 `json:"utilisation"`
	WaitSeconds         float64 `json:"wait_seconds"`
	ServiceSeconds      float64 `json:"service_seconds"`
	Spindles            int     `json:"spindles"`
	ExactThreads        float64 `json:"exact_threads"`
	Threads             int     `json:"threads"`
	DatabaseConnections int     `json:"database_connections"`
}

// line is one figure and what it means.
type line struct{ name, value, why string }

// Write explains p.
func (p Pool) Write(w io.Writer) error {
	return write(w, fmt.Sprintf("A pool for work that computes for %s and then waits for %s, on %s.",
		Seconds(p.ServiceSeconds), Seconds(p.WaitSeconds), count(p.Cores, "core")), []line{
		{"threads", fmt.Sprint(p.Threads), fmt.Sprintf(
			"%d × %s × (1 + %s ÷ %s) = %s, rounded up: cores × target utilisation × (1 + wait ÷ service). While one thread waits, others compute; with fewer the cores idle, with more they only take turns.",
			p.Cores, trimmed(p.Utilisation, 3), Seconds(p.WaitSeconds), Seconds(p.ServiceSeconds), trimmed(p.ExactThreads, 2))},
		{"database connections", fmt.Sprint(p.DatabaseConnections), fmt.Sprintf(
			"%d × 2 + %d: cores × 2 + effective spindles, of a database with as many cores; for another, --cores is those of its machine. It serves more connections by letting them wait for each other.",
			p.Cores, p.Spindles)},
	})
}

// Write explains p.
func (p Plan) Write(w io.Writer) error {
	lines := []line{p.concurrencyLine(), p.utilisationLine(), p.waitLine()}
	if p.Utilisation < 1 && p.Queue.Tasks != Constant {
		lines = append(lines, p.constantLine())
	}
	lines = append(lines, p.replicasLine(),
		line{"prefetch", fmt.Sprint(p.Replica.Prefetch), "Deliveries that each worker holds: a tenth more than it runs, so that the next task is there when one ends. Not much more, because what is held when a worker crashes is delivered again."},
		line{"connections", fmt.Sprint(p.Replica.Connections), "Of each worker to RabbitMQ: one to consume, one to move tasks, one to tell results. Publishing never blocks the acks."},
		line{"channels", fmt.Sprint(p.Replica.Channels), "Of each worker, on those connections: to consume the task queue and those of suspects, and to publish."},
		p.overloadLine())
	return write(w, p.Demand.sentence(), lines)
}

func (d Demand) sentence() string {
	of := "of exponentially distributed length"
	if d.Tasks == Constant {
		of = "all of the same length"
	}
	s := fmt.Sprintf("%s tasks a second of %s on average, %s", trimmed(d.Rate, 3), Seconds(d.Task.Seconds()), of)
	if d.Concurrency > 0 {
		return s + fmt.Sprintf("; %d at once.", d.Concurrency)
	}
	return s + fmt.Sprintf("; %s %% of them are to wait %s at most.", trimmed(d.Percentile, 3), Seconds(d.MaxWait.Seconds()))
}

func (p Plan) concurrencyLine() line {
	d := p.Demand
	why := fmt.Sprintf("The fewest tasks at once that keep the wait, made even over the workers. %s are at work on average (rate × time, Little's law), so fewer than %d never catch up.",
		trimmed(p.Queue.Load(), 1), int(math.Floor(p.Queue.Load()))+1)
	if d.Concurrency > 0 {
		why = fmt.Sprintf("As asked. %s a second × %s = %s tasks have to be at work on average (Little's law).", trimmed(d.Rate, 3), Seconds(d.Task.Seconds()), trimmed(p.Queue.Load(), 1))
	}
	return line{"concurrency", fmt.Sprint(p.Concurrency), why}
}

func (p Plan) utilisationLine() line {
	why := fmt.Sprintf("The share of the places that are busy on average. At most %s tasks a second can be done.", trimmed(p.Capacity, 1))
	if p.Utilisation >= 1 {
		why += " More arrives than that, or as much: the queue grows without end. Raise the concurrency, shorten the tasks, or let fewer in."
	}
	return line{"utilisation", trimmed(100*p.Utilisation, 1) + " %", why}
}

func (p Plan) waitLine() line {
	how := "M/M/c, Erlang C"
	if p.Queue.Tasks == Constant {
		how = "M/D/c, approximated from M/M/c"
	}
	return line{"queue wait", fmt.Sprintf("p%s %s, mean %s", trimmed(p.Percentile, 3), p.Wait.AtPercentile, p.Wait.Mean), fmt.Sprintf(
		"%s of all tasks have to wait at all (%s), if they arrive independently of each other; in bursts they wait longer. A task is done that much plus its own time after it was accepted.", share(p.Wait.Probability), how)}
}

func (p Plan) constantLine() line {
	value := fmt.Sprintf("p%s %s, mean %s", trimmed(p.Percentile, 3), p.ConstWait.AtPercentile, p.ConstWait.Mean)
	return line{"if all tasks are alike", value, "Tasks of constant length wait about half as long (M/D/c): half of the mean for exponential ones, and up to a quarter of that more where many places have little to do (Lee and Longton, Cosmetatos)."}
}

func (p Plan) replicasLine() line {
	why := fmt.Sprintf("Of %s at once each, at most %d. They share the queue, so that they are as one line with all places.", count(p.Replica.Concurrency, "task"), p.Demand.PerReplica)
	if all := p.Replicas * p.Replica.Concurrency; all > p.Concurrency {
		why += fmt.Sprintf(" That makes %d, more than asked for: tasks wait less than predicted.", all)
	}
	if s := p.Demand.Service; s > 0 {
		why += fmt.Sprintf(" The computing of %s a task keeps %s busy, of which each worker has %d and uses %s %%.",
			Seconds(s.Seconds()), plural(trimmed(AtWork(p.Demand.Rate, s.Seconds()), 2), "core"), p.Demand.Cores, trimmed(100*p.Demand.Utilisation, 1))
	}
	return line{"replicas", fmt.Sprint(p.Replicas), why}
}

func (p Plan) overloadLine() line {
	o := p.Overload
	why := fmt.Sprintf("At %s a second the queue grows by %s a second. After a minute of it a new task waits %s", trimmed(o.Rate, 1), trimmed(o.Growth, 1), o.WaitAfter)
	if !o.DrainSeconds.endless() {
		why += fmt.Sprintf(", and once the rate is back to normal the backlog lasts %s", o.DrainSeconds)
	}
	why += fmt.Sprintf(". Workers take no harm: what they hold is bounded by the prefetch. After %s the queue has its %s messages, and the gateway answers 429.", o.QueueFull, "1,000,000")
	return line{"when overloaded", "waits, then 429", why}
}

func share(of float64) string {
	if of > 0 && of < 0.0001 {
		return "Less than 0.01 %"
	}
	return trimmed(100*of, 2) + " %"
}

func count(n int, noun string) string { return plural(fmt.Sprint(n), noun) }

func plural(n, noun string) string {
	if n != "1" {
		noun += "s"
	}
	return n + " " + noun
}

// textWidth is how wide an explanation is.
const textWidth = 100

func write(w io.Writer, heading string, lines []line) error {
	var b strings.Builder
	b.WriteString(heading + "\n")
	for _, l := range lines {
		fmt.Fprintf(&b, "\n%s: %s\n", l.name, l.value)
		column := 0
		for word := range strings.FieldsSeq(l.why) {
			width := len([]rune(word)) + 1
			if column == 0 || column+width > textWidth {
				if column > 0 {
					b.WriteByte('\n')
				}
				b.WriteString("   ")
				column = 3
			}
			b.WriteString(" " + word)
			column += width
		}
		b.WriteByte('\n')
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}
