package lab

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// page is the one that make lab DOCS=1 writes.
const page = "../../../docs/experiments.md"

// fullReport has a result of every experiment.
func fullReport(t *testing.T) Report {
	t.Helper()
	report := exampleReport(t)
	result := report.Results[0]
	report.Results = nil
	for _, name := range Names() {
		result.Experiment.Name = name
		result.Finding = "What " + name + " shows."
		report.Results = append(report.Results, result)
	}
	return report
}

func TestDocsAreWrittenBetweenTheirMarkers(t *testing.T) {
	t.Parallel()
	original, err := os.ReadFile(page)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "experiments.md")
	require.NoError(t, os.WriteFile(path, original, 0o600))

	report := fullReport(t)
	require.NoError(t, report.SaveDocs(path, "testdata/sweep.json"))
	first, err := os.ReadFile(path)
	require.NoError(t, err)
	for _, name := range Names() {
		_, after, found := strings.Cut(string(first), markBegin(name))
		require.True(t, found)
		part, _, found := strings.Cut(after, markEnd(name))
		require.True(t, found)
		require.Contains(t, part, "| one hen | laid | 200/min | 150 to 200/min (1) | 188/min |")
		require.Contains(t, part, "**What "+name+" shows.**")
		require.Contains(t, part, "A quick run of 13s, 2 cores (linux/amd64), go1.26.0, commit 0123456789ab, RabbitMQ 3.10.8.")
	}
	require.NoError(t, report.SaveDocs(path, "testdata/sweep.json"))
	second, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(first), string(second), "to write it again changes nothing")

	outside := func(text string) string {
		for _, name := range append(Names(), sweepName) {
			before, rest, _ := strings.Cut(text, markBegin(name))
			_, after, _ := strings.Cut(rest, markEnd(name))
			text = before + after
		}
		return text
	}
	require.Equal(t, outside(string(original)), outside(string(first)), "the rest of the page stays")
}

func TestDocsWantEverything(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "page.md")
	require.NoError(t, os.WriteFile(path, []byte("nothing"), 0o600))
	report := fullReport(t)
	require.ErrorContains(t, report.SaveDocs(path, ""), "it has no lines "+markBegin(Names()[0]))
	report.Results = report.Results[1:]
	require.ErrorContains(t, report.SaveDocs(path, ""), "there is no result of "+Names()[0])
}

func TestTheSweepStandsBesideWhatWasPublished(t *testing.T) {
	t.Parallel()
	s, err := readSweep("testdata/sweep.json")
	require.NoError(t, err)
	table := s.result().Rows
	f, _ := table.figure("sync at 400/s", "dropped_share")
	require.Equal(t, Number(.75), f.Published)
	require.InDelta(t, .75, f.Predicted.Low, 1e-9)
	f, _ = table.figure("sync at 100/s", "answered_requests_per_second")
	require.Equal(t, Number(100), f.Published)
	require.Equal(t, Number(100), f.Predicted)
	f, _ = table.figure("async at 400/s", "answer_time_mean_seconds")
	require.Equal(t, Range(.002, .004), f.Published)
	require.InDelta(t, .0031, f.Measured.Low, 1e-9)
	require.Contains(t, s.markdown(), "| async at 400/s | time to the answer, mean | 2 to 4 ms | – | 3.1 ms |")

	_, err = readSweep("testdata/example.json")
	require.ErrorContains(t, err, "it has no steps")
}

// TestResultsAreKept holds that an experiment replaces its own earlier result,
// and another environment all of them.
func TestResultsAreKept(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "results.json")
	kept, err := ReadReport(path)
	require.NoError(t, err)
	require.Empty(t, kept.Results)
	name := Names()[0]
	result := Result{Experiment: Experiments()[0], Started: time.Unix(0, 0).UTC(), Finding: "first"}
	here := Environment{Cores: 2}
	kept.Add(here, result)
	result.Finding = "second"
	kept.Add(here, result)
	require.NoError(t, kept.Save(path))
	kept, err = ReadReport(path)
	require.NoError(t, err)
	require.Len(t, kept.Results, 1)
	require.Equal(t, name, kept.Results[0].Experiment.Name)
	require.Equal(t, "second", kept.Results[0].Finding)
	kept.Add(Environment{Cores: 4}, result)
	require.Len(t, kept.Results, 1)
	require.Equal(t, 4, kept.Environment.Cores)
}
