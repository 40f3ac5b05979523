package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/twinlane/twinlane/internal/faults"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// command runs the command and returns its exit code and output.
func command(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = run(t.Context(), args, &out, &err)
	return code, out.String(), err.String()
}

func TestListNamesEveryRow(t *testing.T) {
	t.Parallel()
	code, stdout, _ := command(t, "--list")
	require.Equal(t, exitOK, code)
	require.Equal(t, len(faults.Rows()), strings.Count(stdout, "\n"))
	require.Contains(t, stdout, faults.Rows()[0].Name)
}

func TestHelp(t *testing.T) {
	t.Parallel()
	code, stdout, _ := command(t, "--help")
	require.Equal(t, exitOK, code)
	require.Contains(t, stdout, "--seed")
}

func TestWrongArguments(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"no-such-row"}, {"--no-such-flag"}, {"--seed", "x"}} {
		code, stdout, stderr := command(t, args...)
		require.Equal(t, exitUsage, code, "%v", args)
		require.Empty(t, stdout)
		require.Contains(t, stderr, "chaos: ")
	}
}

func TestRedRowFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	out := filepath.Join(dir, "results.json")
	code, stdout, stderr := command(t, "--bin", dir, "--dir", dir, "--out", out, "--seed", "3", "broker-absent") // without binaries
	require.Equal(t, exitFailed, code)
	require.Contains(t, stdout, "seed 3\nRED broker-absent")
	require.Contains(t, stderr, "1 of 1 rows are red: broker-absent")
	report, err := faults.ReadReport(out)
	require.NoError(t, err)
	require.Len(t, report.Rows, 1)
	require.Equal(t, uint64(3), report.Rows[0].Seed)
}

func TestDocsNeedAReport(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	page := filepath.Join(dir, "page.md")
	require.NoError(t, os.WriteFile(page, nil, 0o600))
	code, _, stderr := command(t, "--out", filepath.Join(dir, "none.json"), "--docs", page)
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr, "the report has no row")
}

func TestSummaryNamesWhatDidNotRun(t *testing.T) {
	t.Parallel()
	away := []string{"b (no root)"}
	for name, c := range map[string]struct {
		ran   int
		red   []string
		away  []string
		named bool
		text  string
		ok    bool
	}{
		"all":               {2, nil, nil, false, "2 rows, nothing lost", true},
		"one cannot run":    {1, nil, away, false, "1 rows, nothing lost; left out: b (no root)", true},
		"the one named":     {0, nil, away, true, "0 rows, nothing lost; left out: b (no root)", false},
		"one of two named":  {1, nil, away, true, "1 rows, nothing lost; left out: b (no root)", false},
		"none can":          {0, nil, away, false, "0 rows, nothing lost; left out: b (no root)", false},
		"red and left out":  {1, []string{"a"}, away, false, "1 of 1 rows are red: a; left out: b (no root)", false},
		"red, and all were": {2, []string{"a"}, nil, true, "1 of 2 rows are red: a", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, ok := summary(c.ran, c.red, c.away, c.named)
			require.Equal(t, c.text, text)
			require.Equal(t, c.ok, ok)
		})
	}
}
