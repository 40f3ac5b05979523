package lab

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// markBegin and markEnd are around what is written into the page for an
// experiment, or for the sweep.
func markBegin(name string) string {
	return fmt.Sprintf("<!-- lab:%s, written by make lab DOCS=1 -->", name)
}

func markEnd(name string) string { return fmt.Sprintf("<!-- lab:%s:end -->", name) }

// SaveDocs writes what the report has found between the markers of a page, and
// the table of a sweep where its summary is given. It refuses a report without
// all experiments, and a page without their markers.
func (r Report) SaveDocs(page, sweepSummary string) error {
	text, err := os.ReadFile(filepath.Clean(page))
	if err != nil {
		return fmt.Errorf("write docs: %w", err)
	}
	content := string(text)
	for _, name := range Names() {
		i := slices.IndexFunc(r.Results, func(result Result) bool { return result.Experiment.Name == name })
		if i < 0 {
			return fmt.Errorf("write docs: there is no result of %s; run all experiments", name)
		}
		if content, err = between(content, name, r.Results[i].markdown(r.Environment)); err != nil {
			return fmt.Errorf("write docs: %s: %w", page, err)
		}
	}
	if sweepSummary != "" {
		sweep, err := readSweep(sweepSummary)
		if err == nil {
			content, err = between(content, sweepName, sweep.markdown())
		}
		if err != nil {
			return fmt.Errorf("write docs: %w", err)
		}
	}
	write := func(w io.Writer) error {
		_, err := io.WriteString(w, content)
		return err
	}
	if err := toFile(page, write); err != nil {
		return fmt.Errorf("write docs: %w", err)
	}
	return nil
}

// between replaces what is between two markers.
func between(content, name, text string) (string, error) {
	begin, end := markBegin(name), markEnd(name)
	before, rest, begins := strings.Cut(content, begin)
	_, after, ends := strings.Cut(rest, end)
	if !begins || !ends {
		return "", fmt.Errorf("it has no lines %s and %s", begin, end)
	}
	return before + begin + "\n\n" + text + "\n" + end + after, nil
}

// markdown is what the page says of a result.
func (r Result) markdown(e Environment) string {
	var b strings.Builder
	b.WriteString(r.tables())
	fmt.Fprintf(&b, "**%s**\n\n", r.Finding)
	kind := "full run"
	if r.Size != Full {
		kind = "quick run"
	}
	fmt.Fprintf(&b, "A %s of %s, %s", kind, time.Duration(r.Seconds*float64(time.Second)).Round(time.Second), e)
	if r.RabbitMQ != "" {
		fmt.Fprintf(&b, ", RabbitMQ %s", r.RabbitMQ)
	}
	b.WriteString(".\n")
	return b.String()
}

// String is how a page tells it.
func (e Environment) String() string {
	return fmt.Sprintf("%d cores (%s), %s, commit %s", e.Cores, e.Platform, e.Go, e.Commit)
}

// tables are the table with what was published, the one with what was measured
// besides, and the formulas.
func (r Result) tables() string {
	var b strings.Builder
	theories := theories(r.Rows)
	b.WriteString(markdownTable([]string{"case", "", "published", "predicted", "measured"}, cells(r.mainLines(theories))))
	b.WriteByte('\n')
	if aside := r.aside(); len(aside.Columns) > 0 {
		b.WriteString(markdownTable(append([]string{"measured besides"}, aside.Columns...), aside.Lines))
		b.WriteByte('\n')
	}
	for i, theory := range theories {
		if i == 0 {
			b.WriteString("Predicted: ")
		}
		fmt.Fprintf(&b, "%s %s", mark(i), theory)
		if i < len(theories)-1 {
			b.WriteString("; ")
		} else {
			b.WriteString(".\n\n")
		}
	}
	if r.extrapolated() {
		b.WriteString("Figures with a ~ are scaled up from the time that was measured.\n\n")
	}
	return b.String()
}

func markdownTable(heading []string, lines [][]string) string {
	var b strings.Builder
	row := func(cells []string) {
		for i, cell := range cells {
			cells[i] = strings.ReplaceAll(cell, "|", `\|`)
		}
		fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | "))
	}
	row(heading)
	b.WriteString(strings.Repeat("| --- ", len(heading)) + "|\n")
	for _, line := range lines {
		row(line)
	}
	return b.String()
}
