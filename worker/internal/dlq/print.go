package dlq

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/twinlane/twinlane/internal/task"
)

// shownError is how much of an error a table shows, in bytes.
const shownError = 60

// WriteTable writes letters as a table. Ages are as of now.
func WriteTable(w io.Writer, letters []Letter, now time.Time) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(tw, "ID\tREASON\tATTEMPT\tREPLAYS\tDIED AT\tAGE\tACTION\tERROR")
	for _, l := range letters {
		_, _ = fmt.Fprintf(tw, "%s\t%s\t%d\t%d\t%s\t%s\t%s\t%s\n",
			cell(l.ID), cell(l.Reason), l.Attempt, l.Replays, l.diedAt(), l.age(now), cell(l.Action), cell(task.Truncate(l.Error, shownError)))
	}
	if err := tw.Flush(); err != nil {
		return fmt.Errorf("write table: %w", err)
	}
	return nil
}

// WriteLetter writes one letter with its contents. The body is shown as text,
// with what a terminal would act on made harmless; its JSON form has every byte.
func WriteLetter(w io.Writer, l Letter, now time.Time) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range [][2]string{
		{"id", l.ID},
		{"reason", l.Reason},
		{"error", l.Error},
		{"queue", l.Queue},
		{"attempt", fmt.Sprint(l.Attempt)},
		{"replays", fmt.Sprint(l.Replays)},
		{"died at", l.diedAt()},
		{"age", l.age(now)},
		{"action", l.Action},
		{"run", l.Run},
		{"type", l.Contents.Type},
		{"content type", l.Contents.ContentType},
	} {
		_, _ = fmt.Fprintf(tw, "%s\t%s\n", row[0], cell(row[1]))
	}
	for _, name := range slices.Sorted(maps.Keys(l.Contents.Headers)) {
		value, err := json.Marshal(l.Contents.Headers[name])
		if err != nil {
			return fmt.Errorf("encode header %s: %w", name, err)
		}
		_, _ = fmt.Fprintf(tw, "header %s\t%s\n", cell(name), cell(string(value)))
	}
	if err := tw.Flush(); err != nil {
		return fmt.Errorf("write letter: %w", err)
	}
	if _, err := fmt.Fprintf(w, "body (%d bytes)\n%s\n", l.Size, harmless(string(l.Contents.Body), true)); err != nil {
		return fmt.Errorf("write letter: %w", err)
	}
	return nil
}

func (l Letter) diedAt() string {
	if l.DiedAt == nil {
		return "-"
	}
	return l.DiedAt.UTC().Format(time.DateTime)
}

func (l Letter) age(now time.Time) string {
	if l.DiedAt == nil {
		return "-"
	}
	return now.Sub(*l.DiedAt).Round(time.Second).String()
}

// cell is a value of one line.
func cell(s string) string {
	if s == "" {
		return "-"
	}
	return harmless(s, false)
}

// harmless replaces what is not printable: a dead letter comes from anywhere,
// and a terminal acts on what it is shown.
func harmless(s string, lines bool) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) || (lines && (r == '\n' || r == '\t')) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}

// Printable returns a value of a dead letter in a form that is safe to print.
func Printable(s string) string { return cell(s) }
