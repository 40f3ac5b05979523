package faults

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// full is a report of all rows.
func full() *Report {
	r := &Report{}
	for _, row := range Rows() {
		r.Add(Environment{Go: "go1", Cores: 2}, Result{
			Row: row.Name, Passed: true, Seconds: 2, RabbitMQ: "3.10.8", Counters: Counters{Attempted: 11, Accepted: 5, Refused: 1, Rejected: 2, Unknown: 3, Recovered: 1, Deleted: 4},
			Facts: []Fact{{Name: "first 503 after", Value: "12ms"}, {Name: "kills", Value: "4"}, {Name: "first 503 after", Value: "1s"}},
		})
	}
	return r
}

func TestReportReplacesARow(t *testing.T) {
	t.Parallel()
	r := full()
	e := r.Environment
	first := Rows()[0].Name
	r.Add(e, Result{Row: first, Seed: 7})
	require.Len(t, r.Rows, len(Rows()))
	require.Equal(t, uint64(7), r.Rows[0].Seed)

	path := filepath.Join(t.TempDir(), "new", "results.json")
	require.NoError(t, r.Write(path))
	read, err := ReadReport(path)
	require.NoError(t, err)
	require.Equal(t, *r, read)

	e.Twinlane = "another commit"
	r.Add(e, Result{Row: first})
	require.Len(t, r.Rows, 1, "what another version did says nothing about this one")

	missing, err := ReadReport(path + "x")
	require.NoError(t, err)
	require.Empty(t, missing)
}

func TestDocsAreWrittenBetweenTheMarkers(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "page.md")
	require.NoError(t, os.WriteFile(path, []byte("# Before\n\n"+tableBegin+"\nthe last table\n"+tableEnd+"\n\nAfter\n"), 0o600))
	for range 2 {
		require.NoError(t, full().WriteDocs(path))
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		page := string(text)
		require.True(t, strings.HasPrefix(page, "# Before\n\n"+tableBegin))
		require.True(t, strings.HasSuffix(page, tableEnd+"\n\nAfter\n"))
		require.NotContains(t, page, "the last table")
		require.Equal(t, len(Rows()), strings.Count(page, "| 11 | 5 | 1 | 2 | 3 | 1 | 0 | 4 | 0 | first 503 after 12ms / 1s<br>kills 4 |"))
		require.Contains(t, page, "RabbitMQ 3.10.8")
	}
}

func TestDocsNeedEveryRowGreen(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "page.md")
	require.Error(t, full().WriteDocs(path), "no page")
	require.NoError(t, os.WriteFile(path, []byte("no markers"), 0o600))
	require.ErrorContains(t, full().WriteDocs(path), "has no lines")

	r := full()
	r.Rows[3].Passed = false
	require.ErrorContains(t, r.WriteDocs(path), "is red")
	r.Rows = r.Rows[1:]
	require.ErrorContains(t, r.WriteDocs(path), "has no row")
}

func TestResultTellsWhatIsWrong(t *testing.T) {
	t.Parallel()
	r := Result{
		Row: "row", Seed: 5, Logs: "/logs", Counters: Counters{Attempted: 9, Accepted: 3, Rejected: 2, Wrong: 4, Deleted: 6, Lost: 1},
		Violations: []Violation{{What: "lost", IDs: []string{"a"}, Of: 1}, {What: "late"}},
	}
	text := r.Text()
	for _, part := range []string{"RED row", "attempted 9 = accepted 3 + refused 0 + rejected 2 + unknown 0 + wrong 4 ", "deleted 6  lost 1", "- lost: 1, such as [a]", "- late", "/logs", "ROW=row SEED=5"} {
		require.Contains(t, text, part)
	}
	r.Passed = true
	require.NotContains(t, r.Text(), "/logs")
}
