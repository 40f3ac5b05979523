package sizing

import (
	"math"
	"math/rand/v2"
	"time"
)

// Trial is a run that a prediction is checked against.
type Trial struct {
	Queue  Queue   `json:"queue"`
	Length Seconds `json:"length_seconds"`
	Warmup Seconds `json:"warmup_seconds"` // from its start, in which nothing is counted
}

// The bounds of a trial, so that what is measured is the waiting line and not
// the clock and the cores of this machine.
const (
	trialRate    = 4000.0 // arrivals a second at most
	trialTask    = 0.05   // seconds that a task takes at least, which is much for a timer
	trialLengths = 50.0   // tasks that fit into a trial one after the other at least
)

// NewTrial makes of q a queue that can be run within length. It makes all times
// shorter or longer by one factor, which changes nothing but the unit of the
// predicted times. Where that does not do, it takes a part of the servers with
// the same utilisation, which is another queue with a prediction of its own.
func NewTrial(q Queue, length time.Duration) Trial {
	longest := length.Seconds() / trialLengths
	task := min(max(q.Load()/trialRate, trialTask), longest)
	if share := q.Load() / task / trialRate; share > 1 {
		busy := q.Utilisation()
		q.Servers = max(1, int(math.Round(float64(q.Servers)/share)))
		q.Rate = busy * float64(q.Servers) / task
	} else {
		q.Rate = q.Load() / task
	}
	q.TaskSeconds = task
	return Trial{Queue: q, Length: Seconds(length.Seconds()), Warmup: Seconds(length.Seconds() / 10)}
}

// Figures are waiting times.
type Figures struct {
	Mean         Seconds `json:"mean_seconds"`
	AtPercentile Seconds `json:"at_percentile_seconds"`
}

// Measured is what a trial has shown.
type Measured struct {
	Counted     int     `json:"tasks"` // that arrived after the warm-up
	Rate        float64 `json:"rate_per_second"`
	TaskSeconds float64 `json:"task_seconds"`
	Utilisation float64 `json:"utilisation"`
	Figures
}

// Comparison is what was measured, and what should have been.
type Comparison struct {
	Trial    Trial    `json:"trial"`
	Measured Measured `json:"measured"`
	// Asked is what the formulas say of the trial as it was planned, and Had what
	// they say of the rate and the task length that the trial really had: chance
	// and late timers change both a little.
	Asked Figures `json:"predicted"`
	Had   Figures `json:"predicted_as_it_was"`
	// Ideal is an ideal waiting line with the same arrivals and tasks.
	Ideal Figures `json:"ideal_line"`
	// Chance is by how much trials of this length differ, as a standard deviation.
	Chance Figures `json:"chance"`
	// Late is what one timer in a hundred was late by, or more.
	Late Seconds `json:"timers_late_seconds"`
	// Verdict is whether they agree.
	Verdict Verdict `json:"verdict"`
}

func (t Trial) compare(m Measured, ideal Figures, percentile float64, random *rand.Rand) Comparison {
	had := t
	had.Queue.Rate, had.Queue.TaskSeconds = m.Rate, m.TaskSeconds
	c := Comparison{
		Trial: t, Measured: m, Ideal: ideal,
		Asked: t.Queue.expected(percentile).figures(), Had: had.Queue.expected(percentile).figures(),
	}
	if m.Counted > 0 {
		c.Chance = had.chance(random, percentile)
	}
	return c
}

func (e Expected) figures() Figures { return Figures{Mean: e.Mean, AtPercentile: e.AtPercentile} }

// The delays of a machine. With no other work, tasks start less late than by
// clockError, and hardly a timer is later than busyClock.
const (
	clockError = Seconds(0.003)
	busyClock  = Seconds(0.005)
)

// Verdict is whether prediction and measurement agree.
type Verdict string

// The verdicts.
const (
	Agrees    Verdict = "agrees"
	Disagrees Verdict = "disagrees"
	Unclear   Verdict = "unclear" // chance, or a busy machine, could explain the difference
)

// verdict compares what was measured with the ideal line, and with what the
// formulas say of the trial as it was. It agrees with the one where they differ
// by no more than a tenth or what the clock explains, and with the other where
// chance may explain it, too (three standard deviations). Where chance is as
// much as the figure itself, or the machine too busy, nothing can be said.
func (c Comparison) verdict() Verdict {
	if c.Measured.Counted == 0 || c.Had.Mean.endless() {
		return Unclear
	}
	verdict := Agrees
	for _, f := range []struct{ measured, ideal, formula, chance Seconds }{
		{c.Measured.Mean, c.Ideal.Mean, c.Had.Mean, c.Chance.Mean},
		{c.Measured.AtPercentile, c.Ideal.AtPercentile, c.Had.AtPercentile, c.Chance.AtPercentile},
	} {
		switch {
		case apart(f.measured, f.ideal) > max(f.ideal/10, clockError),
			apart(f.measured, f.formula) > max(f.formula/10, 3*f.chance, clockError):
			if !c.busy() {
				return Disagrees
			}
			verdict = Unclear
		case 2*f.chance > max(f.formula, clockError):
			verdict = Unclear
		}
	}
	return verdict
}

// busy reports whether the machine had too much else to do.
func (c Comparison) busy() bool { return c.Late > busyClock }

func (s Seconds) endless() bool { return math.IsInf(float64(s), 1) }

func apart(a, b Seconds) Seconds { return Seconds(math.Abs(float64(a - b))) }
