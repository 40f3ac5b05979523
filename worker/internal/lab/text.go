package lab

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// textWidth is how wide paragraphs are on a terminal.
const textWidth = 110

// WriteList prints the experiments, where they were published, whether they
// need a broker, and what they ask. deploy/lab reads it.
func WriteList(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, e := range Experiments() {
		needs := "–"
		if e.Broker {
			needs = "RabbitMQ"
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", e.Name, e.Part, needs, e.Question)
	}
	return table.Flush()
}

// WriteHeading prints what an experiment asks and how, before it runs.
func WriteHeading(w io.Writer, e Experiment) error {
	_, err := fmt.Fprintf(w, "%s (%s)\n%s\n\n%s\n\n", e.Name, e.Part, wrap(e.Question), wrap(e.Method))
	return err
}

// WriteText prints what a run has found: the table with what was published,
// predicted and measured, the formulas behind it, and one sentence on it.
func WriteText(w io.Writer, r Result) error {
	theories := theories(r.Rows)
	blocks := []string{columns([]string{"case", "", "published", "predicted", "measured"}, cells(r.mainLines(theories)))}
	if aside := r.aside(); len(aside.Columns) > 0 {
		blocks = append(blocks, columns(append([]string{"measured besides"}, aside.Columns...), aside.Lines))
	}
	if len(theories) > 0 {
		var b strings.Builder
		b.WriteString("predicted:\n")
		for i, theory := range theories {
			fmt.Fprintf(&b, "  %s %s\n", mark(i), theory)
		}
		blocks = append(blocks, b.String())
	}
	if r.extrapolated() {
		blocks = append(blocks, "~ scaled up from the time that was measured\n")
	}
	for _, note := range r.Experiment.Notes {
		blocks = append(blocks, wrap(note)+"\n")
	}
	blocks = append(blocks, wrap("=> "+r.Finding)+"\n\n")
	_, err := io.WriteString(w, strings.Join(blocks, "\n"))
	return err
}

// columns lays lines out below a heading.
func columns(heading []string, lines [][]string) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	for _, line := range append([][]string{heading}, lines...) {
		_, _ = fmt.Fprintln(w, strings.Join(line, "\t"))
	}
	_ = w.Flush() // a strings.Builder takes everything
	return b.String()
}

// mainLines has a line for each quantity of each case.
func (r Result) mainLines(theories []string) []mainLine {
	var lines []mainLine
	for _, row := range r.Rows {
		name := row.Case
		for _, f := range row.Figures {
			q := r.quantity(f.Quantity)
			if q.Aside {
				continue
			}
			lines = append(lines, mainLine{
				First: name != "", Case: name, Quantity: q.Name, Published: q.Unit.Format(f.Published),
				Predicted: q.predicted(f, theories), Measured: q.measured(f),
			})
			name = ""
		}
	}
	return lines
}

func cells(lines []mainLine) [][]string {
	all := make([][]string, len(lines))
	for i, l := range lines {
		all[i] = []string{l.Case, l.Quantity, l.Published, l.Predicted, l.Measured}
	}
	return all
}

// aside has a line for each case with a column for each quantity that was only
// measured.
func (r Result) aside() asideView {
	var v asideView
	var keys []Quantity
	for _, q := range r.Experiment.Quantities {
		if q.Aside {
			keys = append(keys, q)
			v.Columns = append(v.Columns, q.Name)
		}
	}
	for _, row := range r.Rows {
		line := []string{row.Case}
		for _, q := range keys {
			f, _ := Table{row}.figure(row.Case, q.Key)
			line = append(line, q.measured(f))
		}
		v.Lines = append(v.Lines, line)
	}
	return v
}

func (r Result) quantity(key string) Quantity {
	i := slices.IndexFunc(r.Experiment.Quantities, func(q Quantity) bool { return q.Key == key })
	return r.Experiment.Quantities[i] // Run has checked that it is one of them
}

func (r Result) extrapolated() bool {
	return slices.ContainsFunc(r.Rows, func(row Row) bool {
		return slices.ContainsFunc(row.Figures, func(f Figure) bool { return f.Extrapolated })
	})
}

func (q Quantity) predicted(f Figure, theories []string) string {
	text := q.Unit.Format(f.Predicted)
	if i := slices.Index(theories, f.Theory); f.Theory != "" && i >= 0 {
		text += " " + mark(i)
	}
	return text
}

func (q Quantity) measured(f Figure) string {
	text := q.Unit.Format(f.Measured)
	if f.Extrapolated {
		text = "~" + text
	}
	return text
}

// theories lists the formulas of a table, each once, in its order.
func theories(t Table) []string {
	var all []string
	for _, row := range t {
		for _, f := range row.Figures {
			if f.Theory != "" && !slices.Contains(all, f.Theory) {
				all = append(all, f.Theory)
			}
		}
	}
	return all
}

// mark is how a figure refers to its formula.
func mark(i int) string { return fmt.Sprintf("(%d)", i+1) }

// wrap breaks a paragraph into lines.
func wrap(text string) string {
	var b strings.Builder
	column := 0
	for i, word := range strings.Fields(text) {
		width := len([]rune(word))
		switch {
		case i > 0 && column+1+width > textWidth:
			b.WriteByte('\n')
			column = 0
		case i > 0:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += width
	}
	return b.String()
}
