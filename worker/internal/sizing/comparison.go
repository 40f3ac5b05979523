package sizing

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// Write shows c and says whether it agrees. Percentile is that of its figures.
func (c Comparison) Write(w io.Writer, percentile float64) error {
	q := c.Trial.Queue
	_, _ = fmt.Fprintf(w, "Measured with the worker's own executor: %s tasks a second of %s, %d at once, for %s, with the same utilisation as above.\n\n",
		trimmed(q.Rate, 1), Seconds(q.TaskSeconds), q.Servers, c.Trial.Length)
	tw := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	at := "p" + trimmed(percentile, 3) + " wait"
	_, _ = fmt.Fprintf(tw, "\tpredicted\tas it was\tideal line\tmeasured\tchance\n")
	_, _ = fmt.Fprintf(tw, "mean wait\t%s\t%s\t%s\t%s\t± %s\n", c.Asked.Mean, c.Had.Mean, c.Ideal.Mean, c.Measured.Mean, c.Chance.Mean)
	_, _ = fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t± %s\n", at, c.Asked.AtPercentile, c.Had.AtPercentile, c.Ideal.AtPercentile, c.Measured.AtPercentile, c.Chance.AtPercentile)
	_, _ = fmt.Fprintf(tw, "task\t%s\t\t\t%s\n", Seconds(q.TaskSeconds), Seconds(c.Measured.TaskSeconds))
	_, _ = fmt.Fprintf(tw, "tasks a second\t%s\t\t\t%s\n", trimmed(q.Rate, 1), trimmed(c.Measured.Rate, 1))
	_, _ = fmt.Fprintf(tw, "utilisation\t%s %%\t\t\t%s %%\n", trimmed(100*q.Utilisation(), 1), trimmed(100*c.Measured.Utilisation, 1))
	_ = tw.Flush()
	_, err := fmt.Fprintf(w, "\n%s\n\n=> %s\n", `predicted: by the formulas, for the trial as it was planned
as it was: by the formulas, for the rate and the task length that the trial really had
ideal line: computed from the very tasks of the trial, without the delays of a machine
chance: how far apart the figures of trials of this length are (standard deviation of 30 simulated ones)`, c.sentence())
	if err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

func (c Comparison) sentence() string {
	switch {
	case c.Measured.Counted == 0:
		return "Nothing can be said: no task arrived in that time. --measure-for takes a longer one."
	case c.Had.Mean.endless():
		return fmt.Sprintf("Nothing can be said: tasks took %s here instead of %s, and left no room. It takes a machine with less to do, or a utilisation further from 1.",
			Seconds(c.Measured.TaskSeconds), Seconds(c.Trial.Queue.TaskSeconds))
	}
	figures := fmt.Sprintf("measured %s on average, predicted %s, within %d tasks", c.Measured.Mean, c.Had.Mean, c.Measured.Counted)
	switch c.Verdict {
	case Agrees:
		return fmt.Sprintf("Prediction and run agree: %s.", figures)
	case Unclear:
		if c.busy() {
			return fmt.Sprintf("Nothing can be said: this machine is busy with other work (one timer in a hundred fired %s late or more), and %s.", c.Late, figures)
		}
		return fmt.Sprintf("The executor is as good as the ideal line, but chance alone moves the figures of so short a run as much as they are large: %s. --measure-for takes a longer one.", figures)
	default:
		return fmt.Sprintf("Prediction and run DISAGREE: %s.", figures)
	}
}
