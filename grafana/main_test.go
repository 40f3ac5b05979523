package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/grafana/internal/boards"
	"github.com/twinlane/twinlane/grafana/internal/check"
	"github.com/twinlane/twinlane/internal/rabbitmq/rabbittest"
)

func TestMain(m *testing.M) { rabbittest.Main(m) }

// root is the repository, seen from this package.
const root = ".."

// read is a file of the repository.
func read(t *testing.T, path ...string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(append([]string{root}, path...)...))
	require.NoError(t, err)
	return text
}

// committed are the dashboards as they are in the repository, by their files.
func committed(t *testing.T) map[string]*check.Board {
	t.Helper()
	names, err := filepath.Glob(filepath.Join("dashboards", "*.json"))
	require.NoError(t, err)
	require.Len(t, names, 5)
	all := map[string]*check.Board{}
	for _, name := range names {
		b, err := check.Parse(read(t, "grafana", name))
		require.NoError(t, err)
		all[filepath.Base(name)] = b
	}
	return all
}

// stale says which files of a folder are not what the code makes.
func stale(t *testing.T, folder string) []string {
	t.Helper()
	files, err := boards.Files()
	require.NoError(t, err)
	names, err := filepath.Glob(filepath.Join(folder, "*"))
	require.NoError(t, err)
	var found []string
	for _, name := range names {
		if _, ok := files[filepath.Base(name)]; !ok {
			found = append(found, filepath.Base(name))
		}
	}
	for name, want := range files {
		have, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil || !bytes.Equal(want, have) {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	return found
}

func TestCommittedDashboardsAreWhatTheCodeMakes(t *testing.T) {
	t.Parallel()
	require.Empty(t, stale(t, "dashboards"), "run make dashboards, and commit what it writes")
}

func TestStaleDashboardsAreSeen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.Zero(t, run([]string{dir}, os.Stderr))
	require.Empty(t, stale(t, dir))

	text, err := os.ReadFile(filepath.Join(dir, "lanes.json"))
	require.NoError(t, err)
	edited := bytes.Replace(text, []byte("histogram_quantile(0.95"), []byte("histogram_quantile(0.99"), 1)
	require.NotEqual(t, text, edited)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "lanes.json"), edited, 0o600))
	require.NoError(t, os.Rename(filepath.Join(dir, "worker.json"), filepath.Join(dir, "old.json")))
	require.Equal(t, []string{"lanes.json", "old.json", "worker.json"}, stale(t, dir))

	require.Zero(t, run([]string{dir}, os.Stderr))
	require.Empty(t, stale(t, dir), "writing them again mends it")
}

func TestCommandSaysWhatItNeeds(t *testing.T) {
	t.Parallel()
	var stderr strings.Builder
	require.Equal(t, 2, run(nil, &stderr))
	require.Contains(t, stderr.String(), "usage: grafana FOLDER")
	require.Equal(t, 1, run([]string{filepath.Join(t.TempDir(), "none")}, &stderr))
	require.Contains(t, stderr.String(), "write a dashboard")
}

func TestDashboardsKeepTheRules(t *testing.T) {
	t.Parallel()
	var all []*check.Board
	for _, b := range committed(t) {
		require.Empty(t, b.Lint())
		all = append(all, b)
	}
	require.Empty(t, check.LintLinks(all))
}

func TestGrafanaOpensWithADashboardThatThereIs(t *testing.T) {
	t.Parallel()
	require.Contains(t, committed(t), boards.Home)
	require.Contains(t, string(read(t, "docker-compose.yml")),
		"GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH: /etc/grafana/dashboards/"+boards.Home+"\n")
}

func TestALaneHasOneColourEverywhere(t *testing.T) {
	t.Parallel()
	report := string(read(t, "k6", "lib", "lanes.js"))
	for lane, colour := range boards.LaneColours() {
		_, entry, ok := strings.Cut(report, "\n  "+lane+": {")
		require.True(t, ok, "k6/lib/lanes.js has no lane %s", lane)
		entry, _, _ = strings.Cut(entry, "\n  },")
		require.Contains(t, entry, "dark: '"+colour+"'")
	}
}
