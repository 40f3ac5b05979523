package check_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/grafana/internal/check"
)

const (
	rules = `
groups:
  - name: g
    rules:
      - {record: "a:b:sum", expr: "sum(up)"}
      - alert: Down
        expr: up == 0
        for: 30s
        labels: {severity: critical}
        annotations:
          summary: It is down
          description: It does not answer.
          runbook_url: https://example.org/docs/operations.md#down-or-gone
`
	runbooks = "# Operations\n\ntext # no heading\n\n## Down, or gone?\n"
	tests    = `
tests:
  - alert_rule_test: [{alertname: Down, exp_alerts: [{exp_labels: {a: b}}]}]
  - alert_rule_test: [{alertname: Down, exp_alerts: []}]
`
)

func parsedRules(t *testing.T) []check.Rule {
	t.Helper()
	all, err := check.ParseRules([]byte(rules))
	require.NoError(t, err)
	require.Len(t, all, 2)
	return all
}

func TestLintRules(t *testing.T) {
	t.Parallel()
	require.Empty(t, check.LintRules(parsedRules(t), []byte(runbooks)))
	for says, spoil := range map[string]func(record, alert *check.Rule){
		"no PromQL":                   func(record, _ *check.Rule) { record.Expr = "sum(" },
		"for how long":                func(_, alert *check.Rule) { alert.For = "" },
		"neither critical nor":        func(_, alert *check.Rule) { alert.Labels["severity"] = "page" },
		"no summary":                  func(_, alert *check.Rule) { delete(alert.Annotations, "summary") },
		"no description":              func(_, alert *check.Rule) { delete(alert.Annotations, "description") },
		`no runbook at ""`:            func(_, alert *check.Rule) { delete(alert.Annotations, "runbook_url") },
		"operations.md#no-heading":    func(_, alert *check.Rule) { alert.Annotations["runbook_url"] = "/docs/operations.md#no-heading" },
		"/docs/other.md#down-or-gone": func(_, alert *check.Rule) { alert.Annotations["runbook_url"] = "/docs/other.md#down-or-gone" },
	} {
		t.Run(says, func(t *testing.T) {
			t.Parallel()
			all := parsedRules(t)
			spoil(&all[0], &all[1])
			found := check.LintRules(all, []byte(runbooks))
			require.Len(t, found, 1)
			require.Contains(t, found[0], says)
		})
	}
}

func TestLintRuleTests(t *testing.T) {
	t.Parallel()
	suite, err := check.ParseRuleTests([]byte(tests))
	require.NoError(t, err)
	require.Empty(t, check.LintRuleTests(parsedRules(t), suite))

	onlyFires, onlyQuiet := *suite, *suite
	onlyFires.Tests, onlyQuiet.Tests = suite.Tests[:1], suite.Tests[1:]
	require.Equal(t, []string{"Down: no test sees it keep quiet"}, check.LintRuleTests(parsedRules(t), &onlyFires))
	require.Equal(t, []string{"Down: no test sees it fire"}, check.LintRuleTests(parsedRules(t), &onlyQuiet))
}

func TestParseSaysWhatIsNoFile(t *testing.T) {
	t.Parallel()
	_, err := check.ParseRules([]byte("groups: ["))
	require.ErrorContains(t, err, "parse rules")
	_, err = check.ParseRuleTests([]byte("tests: {"))
	require.ErrorContains(t, err, "parse tests of rules")
	_, err = check.Parse([]byte("{"))
	require.ErrorContains(t, err, "parse a dashboard")
}
