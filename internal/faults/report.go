package faults

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	process "github.com/twinlane/twinlane/internal/service"
)

// Report is the results of rows that ran on one machine with one version of everything.
type Report struct {
	Environment Environment `json:"environment"`
	Rows        []Result    `json:"rows"`
}

// Environment says on what the rows ran.
type Environment struct {
	Twinlane string `json:"twinlane"` // the commit
	Go       string `json:"go"`
	Platform string `json:"platform"`
	Cores    int    `json:"cores"`
}

// CurrentEnvironment is that of this process.
func CurrentEnvironment() Environment {
	return Environment{
		Twinlane: process.Commit(), Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH, Cores: runtime.NumCPU(),
	}
}

// ReadReport reads a report. Where there is none, it is empty.
func ReadReport(path string) (r Report, err error) {
	text, err := os.ReadFile(filepath.Clean(path))
	if errors.Is(err, os.ErrNotExist) {
		return r, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil {
		return r, fmt.Errorf("read report: %w", err)
	}
	return r, nil
}

// Add puts a result into the report, in place of an earlier one of the same row. Results of another environment go.
func (r *Report) Add(e Environment, result Result) {
	if r.Environment != e {
		*r = Report{Environment: e}
	}
	i := slices.IndexFunc(r.Rows, func(old Result) bool { return old.Row == result.Row })
	if i < 0 {
		r.Rows = append(r.Rows, result)
		return
	}
	r.Rows[i] = result
}

// Write writes the report.
func (r *Report) Write(path string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o750)
	}
	if err == nil {
		err = os.WriteFile(path, append(text, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// Text is a result for a terminal: a line of counters, one of what was measured, and what does not hold.
func (r Result) Text() string {
	var b strings.Builder
	verdict := "ok "
	switch {
	case r.Skipped != "":
		return fmt.Sprintf("--  %-18s left out: %s\n", r.Row, r.Skipped)
	case !r.Passed:
		verdict = "RED"
	}
	c := r.Counters
	fmt.Fprintf(&b, "%s %-18s %5.1f s  attempted %d = accepted %d + refused %d + rejected %d + unknown %d + wrong %d  recovered %d  completed %d  dead %d  duplicated %d  deleted %d  lost %d  unexpected %d\n",
		verdict, r.Row, r.Seconds, c.Attempted, c.Accepted, c.Refused+c.Unsent, c.Rejected, c.Unknown, c.Wrong,
		c.Recovered, c.Completed, c.Dead, c.Duplicated, c.Deleted, c.Lost, c.Unexpected)
	if len(r.Facts) > 0 {
		fmt.Fprintf(&b, "    %s\n", r.measured(", "))
	}
	for _, v := range r.Violations {
		fmt.Fprintf(&b, "    - %s\n", v)
	}
	if !r.Passed {
		fmt.Fprintf(&b, "    logs: %s, again: ROW=%s SEED=%d\n", r.Logs, r.Row, r.Seed)
	}
	return b.String()
}

// measured lists the facts, those that were measured several times once.
func (r Result) measured(separator string) string {
	var names []string
	values := make(map[string]string)
	for _, f := range r.Facts {
		if before, ok := values[f.Name]; ok {
			values[f.Name] = before + " / " + f.Value
			continue
		}
		names = append(names, f.Name)
		values[f.Name] = f.Value
	}
	for i, name := range names {
		names[i] = name + " " + values[name]
	}
	return strings.Join(names, separator)
}

// List is the rows for a terminal.
func List() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, row := range Rows() {
		_, _ = fmt.Fprintf(w, "%s\t%s\n", row.Name, row.Fault)
	}
	_ = w.Flush()
	return b.String()
}

// The markers between which a page has the generated table.
const (
	tableBegin = "<!-- faults:begin, written by make chaos -->"
	tableEnd   = "<!-- faults:end -->"
)

// WriteDocs puts the table of the report between the markers of a page. It refuses a report without all rows.
func (r *Report) WriteDocs(path string) error {
	table, err := r.table()
	if err != nil {
		return err
	}
	page, err := os.ReadFile(filepath.Clean(path))
	if err != nil {
		return fmt.Errorf("write docs: %w", err)
	}
	before, rest, begins := bytes.Cut(page, []byte(tableBegin))
	_, after, ends := bytes.Cut(rest, []byte(tableEnd))
	if !begins || !ends {
		return fmt.Errorf("write docs: %s has no lines %s and %s", path, tableBegin, tableEnd)
	}
	text := fmt.Sprintf("%s%s\n\n%s\n%s%s", before, tableBegin, table, tableEnd, after)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil { //nolint:gosec // A page for everybody.
		return fmt.Errorf("write docs: %w", err)
	}
	return nil
}

// table is the report as Markdown.
func (r *Report) table() (string, error) {
	var b strings.Builder
	b.WriteString("| fault, and what has to hold besides | attempted | 202 | refused | rejected | unknown | of these done | twice | deleted | lost | measured |\n")
	b.WriteString("| --- | --: | --: | --: | --: | --: | --: | --: | --: | --: | --- |\n")
	seconds, version := 0.0, ""
	for _, row := range Rows() {
		i := slices.IndexFunc(r.Rows, func(result Result) bool { return result.Row == row.Name })
		if i < 0 {
			return "", fmt.Errorf("write docs: the report has no row %s; run all of them", row.Name)
		}
		result := r.Rows[i]
		if result.Skipped != "" {
			fmt.Fprintf(&b, "| %s | | | | | | | | | | left out: %s |\n", row.described(), cell(result.Skipped))
			continue
		}
		if !result.Passed {
			return "", fmt.Errorf("write docs: the row %s is red", row.Name)
		}
		c := result.Counters
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d | %d | %d | %d | %d | %d | %s |\n", row.described(), c.Attempted, c.Accepted,
			c.Refused+c.Unsent, c.Rejected, c.Unknown, c.Recovered, c.Duplicated, c.Deleted, c.Lost, cell(result.measured("<br>")))
		seconds += result.Seconds
		version = result.RabbitMQ
	}
	e := r.Environment
	fmt.Fprintf(&b, "\nEvery attempt is in one of the columns 202 (or 200), refused, rejected and unknown. %s in all, on %d cores (%s), RabbitMQ %s, %s, commit %s.\n",
		(time.Duration(seconds) * time.Second).String(), e.Cores, e.Platform, version, e.Go, e.Twinlane)
	return b.String(), nil
}

// described is the row's cell in the table.
func (r Row) described() string {
	return cell(fmt.Sprintf("**%s**: %s.<br>%s.", r.Name, r.Fault, r.Promise))
}

// cell is a text that cannot end the cell that it is in.
func cell(text string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ").Replace(text)
}
