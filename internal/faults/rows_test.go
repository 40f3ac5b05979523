package faults

import (
	"os/exec"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestRows runs a few rows in short. All of them, in full, are `make chaos`.
func TestRows(t *testing.T) {
	t.Parallel()
	binaries := build(t)
	for _, name := range []string{"broker-killed", "confirms-lost", "worker-killed"} {
		i := slices.IndexFunc(Rows(), func(r Row) bool { return r.Name == name })
		require.GreaterOrEqual(t, i, 0)
		result := Run(t.Context(), Rows()[i], Options{Binaries: binaries, Dir: t.TempDir(), Seed: 1, Short: true})
		t.Log(result.Text())
		require.True(t, result.Passed, "%s", name)
		require.NotZero(t, result.Counters.Completed)
	}
}

// build builds the services into a folder.
func build(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", dir+"/",
		"github.com/twinlane/twinlane/gateway", "github.com/twinlane/twinlane/worker")
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0")
	output, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", output)
	return dir
}

func TestRowsAreNamedAndDescribed(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for _, row := range Rows() {
		require.Regexp(t, `^[a-z]+(-[a-z]+)*$`, row.Name)
		require.False(t, seen[row.Name], "%s is there twice", row.Name)
		require.NotEmpty(t, row.Fault, row.Name)
		require.NotEmpty(t, row.Promise, row.Name)
		require.NotNil(t, row.run, row.Name)
		seen[row.Name] = true
	}
}

// A row that cannot go on is red, and leaves nothing behind.
func TestRowWithoutServicesIsRed(t *testing.T) {
	t.Parallel()
	row := Row{Name: "row", run: func(l *Lab) {
		l.gateway(nil)
		panic("not reached")
	}}
	result := Run(t.Context(), row, Options{Binaries: t.TempDir(), Dir: t.TempDir(), Seed: 1})
	require.False(t, result.Passed)
	require.Len(t, result.Violations, 2)
	require.Contains(t, result.Violations[0].What, "no such file")
	require.Equal(t, "the row did not get to its end", result.Violations[1].What)
}
