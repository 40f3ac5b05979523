package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/grafana/internal/check"
)

const prometheusFiles = root + "/deploy/prometheus"

// ruleFiles lists Prometheus' rules.
func ruleFiles(t *testing.T) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(prometheusFiles, "rules", "*.yml"))
	require.NoError(t, err)
	require.NotEmpty(t, names)
	return names
}

func rules(t *testing.T) []check.Rule {
	t.Helper()
	var all []check.Rule
	for _, name := range ruleFiles(t) {
		text, err := os.ReadFile(filepath.Clean(name))
		require.NoError(t, err)
		rules, err := check.ParseRules(text)
		require.NoError(t, err)
		all = append(all, rules...)
	}
	return all
}

// promtool runs it, which make deps installs with Prometheus.
func promtool(t *testing.T, args ...string) (string, error) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	require.NoError(t, err, "promtool is not installed: run make deps")
	out, err := exec.CommandContext(t.Context(), path, args...).CombinedOutput()
	return string(out), err
}

func TestAlertsHaveRunbooksAndTests(t *testing.T) {
	t.Parallel()
	all := rules(t)
	require.Empty(t, check.LintRules(all, read(t, "docs", "operations.md")))
	suite, err := check.ParseRuleTests(read(t, "deploy", "prometheus", "tests", "alerts.yml"))
	require.NoError(t, err)
	require.Empty(t, check.LintRuleTests(all, suite))
}

func TestRulesPassPromtool(t *testing.T) {
	t.Parallel()
	out, err := promtool(t, append([]string{"check", "rules"}, ruleFiles(t)...)...)
	require.NoError(t, err, out)
	out, err = promtool(t, "test", "rules", filepath.Join(prometheusFiles, "tests", "alerts.yml"))
	require.NoError(t, err, out)
}

// The unit tests of the rules notice where a rule changes.
func TestPromtoolSeesABrokenRule(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]struct{ file, old, broken string }{
		"an alert that fires too early": {"alerts.yml", "ratio1m > 0.05", "ratio1m > 0.01"},
		"an alert that never fires":     {"alerts.yml", `messages{queue="tasks.v1.dlq"}`, `messages{queue="tasks.v1.dead"}`},
		"a recording of something else": {"recording.yml", `settlement=~"completed|dead|discarded"`, `settlement="retried"`},
		"an alert that does not wait":   {"alerts.yml", "for: 10s", "for: 0s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			require.NoError(t, os.CopyFS(dir, os.DirFS(prometheusFiles)))
			path := filepath.Join(dir, "rules", change.file)
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			broken := strings.Replace(string(text), change.old, change.broken, 1)
			require.NotEqual(t, string(text), broken)
			require.NoError(t, os.WriteFile(path, []byte(broken), 0o600))
			out, err := promtool(t, "test", "rules", filepath.Join(dir, "tests", "alerts.yml"))
			require.Error(t, err, out)
			require.Contains(t, out, "FAILED")
		})
	}
}
