package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/twinlane/twinlane/grafana/internal/check"
)

// sampled is what a query finds at a time, as promtool's unit tests of expressions have it.
type sampled struct {
	Expr    string           `yaml:"expr"`
	At      string           `yaml:"eval_time"`
	Samples []map[string]any `yaml:"exp_samples"`
}

// The bands say nothing of the time before Prometheus ran, and no from then on where something is not there.
func TestBandsBeginWithPrometheus(t *testing.T) {
	t.Parallel()
	var wanted []sampled
	queries, err := committed(t)["lanes.json"].Queries()
	require.NoError(t, err)
	for _, q := range queries {
		if band, ok := strings.CutPrefix(q.Where, "Lanes live / What happened, and when? / "); ok {
			expr := check.Variables{}.At(0, 5*time.Second, 5*time.Second).Fill(q.Expr)
			value := 0
			if band == "I" { // nobody says that a task has died
				value = 1
			}
			wanted = append(wanted, sampled{expr, "50s", []map[string]any{}},
				sampled{expr, "2m", []map[string]any{{"labels": "{}", "value": value}}})
		}
	}
	require.Len(t, wanted, 18)
	suite, err := yaml.Marshal(map[string]any{"tests": []any{map[string]any{
		"interval":         "5s",
		"input_series":     []any{map[string]string{"series": `up{job="prometheus"}`, "values": "_x11 1x40"}},
		"promql_expr_test": wanted,
	}}})
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "bands.yml")
	require.NoError(t, os.WriteFile(file, suite, 0o600))
	out, err := promtool(t, "test", "rules", file)
	require.NoError(t, err, out)
}
