package main

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/grafana/internal/check"
)

// empty are the queries that have nothing to show after a small sweep, and why.
func empty() map[string]string {
	const lab = "the lab does not run, which alone has cases"
	return map[string]string{
		"Experiments / Tasks taken / B":                  lab,
		"Experiments / Waiting for a worker / B":         lab,
		"Experiments / Met a full executor / B":          lab,
		"Experiments / Dropped / B":                      lab,
		"Experiments / How many tasks does it have? / B": lab,
		"Experiments / How many of them wait? / B":       lab,
		"Experiments / What meets a full executor? / B":  lab,
		"Experiments / How many goroutines work? / B":    lab,
		"Experiments / What is dropped? / B":             lab,
		"Experiments / How much is published? / B":       lab,
		"Experiments / Is a delivery loop blocked? / B":  lab,
	}
}

// TestDashboardsShowARealSweep runs a small sweep on real processes, with some failures beside it, and asks their
// Prometheus everything that the dashboards ask.
func TestDashboardsShowARealSweep(t *testing.T) {
	t.Parallel()
	s := startStack(t)
	t.Logf("the stack was up after %s", time.Since(s.began))
	s.fail(t)
	out := s.sweep(t)
	t.Logf("the sweep was over after %s", time.Since(s.began))
	end := s.settle(t)
	t.Logf("Prometheus knew all of it after %s", time.Since(s.began))
	boards := committed(t)

	t.Run("everything that is asked for exists", func(t *testing.T) {
		t.Parallel()
		catalogue := s.catalogue(t)
		var found []string
		look := func(where, expr string) {
			for _, problem := range catalogue.Check(expr) {
				found = append(found, where+": "+problem)
			}
		}
		for _, b := range boards {
			for _, q := range queriesOf(t, b) {
				if empty()[q.Where] == "" {
					look(q.Where, fill(s, q, end))
				}
			}
		}
		for _, r := range rules(t) {
			look(r.Alert+r.Record, r.Expr)
		}
		require.Empty(t, found)
	})
	t.Run("every panel has data", func(t *testing.T) {
		t.Parallel()
		var seen []string
		for _, b := range boards {
			for _, q := range queriesOf(t, b) {
				s.hasData(t, q, end)
				seen = append(seen, q.Where)
			}
		}
		for where := range empty() {
			require.Contains(t, seen, where, "a query is in the list of what is empty, and in no dashboard")
		}
	})
	t.Run("the sweep's figures are those of its report", func(t *testing.T) {
		t.Parallel()
		s.agrees(t, boards["sweep.json"], end, readSummary(t, out))
	})
	t.Run("a broken query, a wrong label and an unknown metric are seen", func(t *testing.T) {
		t.Parallel()
		catalogue := s.catalogue(t)
		for expr, says := range map[string]string{
			`sum by (lane) (rate(gateway_http_request_duration_seconds_count[20s]))`: "has the label lane",
			`sum(rate(gateway_http_requests_total[20s]))`:                            "nothing exposes gateway_http_requests_total",
			`rabbitmq_detailed_queue_messages{queue="tasks.v2"}`:                     "no value of",
			`k6_dropped_iterations_total{lane="sync"}`:                               "has no label lane",
			`sum(rate(worker_deliveries_total[20s])`:                                 "no PromQL",
		} {
			found := catalogue.Check(expr)
			require.Len(t, found, 1, expr)
			require.Contains(t, found[0], says)
		}
	})
}

// The run of the sweep, which is its own baseline.
const run1 = "live"

// fail sees to it that there is something to see where failures are shown: a task that is tried again, tasks that die,
// and requests that are wrong.
func (s *stack) fail(t *testing.T) {
	t.Helper()
	s.task(t, "async", `{"action":"delay","duration_ms":5,"fail":{"kind":"transient","count":1}}`, http.StatusAccepted)
	s.task(t, "async", `{"action":"delay","duration_ms":5,"fail":{"kind":"permanent"}}`, http.StatusAccepted)
	s.task(t, "async", `{"action":"delay","duration_ms":5,"fail":{"kind":"panic"}}`, http.StatusAccepted)
	s.task(t, "sync", `{"action":"delay","duration_ms":5,"fail":{"kind":"permanent"}}`, http.StatusBadGateway)
	s.task(t, "async", `{"action":"dance"}`, http.StatusUnprocessableEntity)
}

// sweep runs the sweep: three lanes at two rates, of which the sync lane drops at the second, and returns its summary.
func (s *stack) sweep(t *testing.T) (summary string) {
	t.Helper()
	out := filepath.Join(s.dir, "k6")
	s.commandWith(t, map[string]string{
		"GATEWAY_URL": s.gateway, "K6_PROMETHEUS_RW_SERVER_URL": s.prometheus + "/api/v1/write",
		"RUN": run1, "OUT": out, "LANES": "sync,async,wait", "RPS": "15,34", "DURATION": "3", "GAP": "2", "VUS": "10", "VUS_PRE": "10",
		"ACTION": "delay", "TASK_MS": "300", "PRESET": "", "QUICK": "", "BASELINE": "", "BOOKS": "on", "BOOKS_TIMEOUT": "10",
	}, "k6/run")
	return filepath.Join(out, run1, "summary.json")
}

// settle returns when Prometheus has scraped what the broker knew after the sweep, and says when that was.
func (s *stack) settle(t *testing.T) time.Time {
	t.Helper()
	fresh := time.Now().Add(5 * time.Second) // as often as the broker refreshes its metrics
	s.awaitValue(t, `min(timestamp(up))`, float64(fresh.Unix()))
	s.awaitValue(t, `count(ALERTS{alertname="DeadLetters", alertstate="firing"})`, 1)
	return time.Now()
}

func queriesOf(t *testing.T, b *check.Board) []check.Query {
	t.Helper()
	all, err := b.Queries()
	require.NoError(t, err)
	choices, err := b.Choices()
	require.NoError(t, err)
	return append(all, choices...)
}

// fill puts into a query what Grafana would, for a time range that begins with the stack.
func fill(s *stack, q check.Query, end time.Time) string {
	step, interval := 5*time.Second, 5*time.Second
	if q.Step > 0 {
		step, interval = q.Step, q.Step
	}
	v := check.Variables{"run": run1, "baseline": run1}
	return v.At(end.Sub(s.began), step, interval).Fill(q.Expr)
}

// hasData asks a query and fails where nothing, or a series without a label that its legend has, comes back.
func (s *stack) hasData(t *testing.T, q check.Query, end time.Time) {
	t.Helper()
	expr := fill(s, q, end)
	found, err := s.query(t.Context(), expr, end)
	if !q.Instant {
		found, err = s.queryRange(t.Context(), expr, end, max(q.Step, time.Second))
	}
	require.NoError(t, err, "%s: %s", q.Where, expr)
	if reason, ok := empty()[q.Where]; ok {
		require.False(t, slices.ContainsFunc(found, series.any), "%s has data, although it is in the list of what is empty: %s", q.Where, reason)
		return
	}
	require.True(t, slices.ContainsFunc(found, series.any), "%s has no data: %s", q.Where, expr)
	for _, series := range found {
		for _, label := range q.Labels {
			require.Contains(t, series.Metric, label, "%s: its legend has a label that a series has not", q.Where)
		}
	}
}

// catalogue lists all series that Prometheus has.
func (s *stack) catalogue(t *testing.T) check.Catalogue {
	t.Helper()
	var answer struct{ Data []map[string]string }
	form := url.Values{"match[]": {`{__name__=~".+"}`}, "start": {unix(s.began)}, "end": {unix(time.Now())}}
	require.NoError(t, s.get(t.Context(), s.prometheus+"/api/v1/series?"+form.Encode(), &answer))
	all := check.Catalogue{}
	for _, series := range answer.Data {
		all.Add(series)
	}
	return all
}

// summary is what the sweep's report says, as far as the dashboard says it too.
type summary struct {
	Steps []struct {
		Lane       string  `json:"lane"`
		RPS        int     `json:"rps"`
		Throughput float64 `json:"throughput_rps"`
		Drop       float64 `json:"drop_share"`
		Latency    times   `json:"latency_ms"`
		Books      *struct {
			Accepted  float64 `json:"accepted"`
			Completed float64 `json:"completed"`
			Missing   float64 `json:"missing"`
			Drain     float64 `json:"drain_ms"`
			EndToEnd  times   `json:"end_to_end_ms"`
		} `json:"books"`
	} `json:"steps"`
}

// times are statistics of a time.
type times struct {
	Avg float64 `json:"avg"`
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
}

func readSummary(t *testing.T, path string) *summary {
	t.Helper()
	text, err := os.ReadFile(filepath.Clean(path))
	require.NoError(t, err)
	var s summary
	require.NoError(t, json.Unmarshal(text, &s))
	require.Len(t, s.Steps, 6)
	return &s
}

// agrees holds the panels of the sweep against its summary, step by step.
func (s *stack) agrees(t *testing.T, b *check.Board, end time.Time, sum *summary) {
	t.Helper()
	dropped := false
	for _, step := range sum.Steps {
		dropped = dropped || step.Drop > 0
		want := map[string]float64{
			"How long does an answer take on average? / A": step.Latency.Avg / 1000,
			"How long do the slowest answers take? / A":    step.Latency.P95 / 1000,
			"How many answers a second? / A":               step.Throughput,
			"How many requests were dropped? / A":          step.Drop,
		}
		if step.Books != nil {
			want["How long from accepted to done, typically? / A"] = step.Books.EndToEnd.P50
			want["How long from accepted to done, at worst? / A"] = step.Books.EndToEnd.P95
			want["How long did the backlog take to drain? / A"] = step.Books.Drain
			want["Did every accepted task come back? / A"] = step.Books.Accepted
			want["Did every accepted task come back? / B"] = step.Books.Completed
			want["Did every accepted task come back? / E"] = step.Books.Missing
		}
		for panel, value := range want {
			for _, bar := range []string{step.Lane, step.Lane + ", baseline"} {
				have := s.bar(t, b, panel, end, step.Lane, fmt.Sprint(step.RPS), bar)
				require.InDelta(t, value, have, math.Max(0.0011, value*0.001), "%s: %s at %d", panel, bar, step.RPS)
			}
		}
	}
	require.True(t, dropped, "no step dropped anything, so this test has not seen drops")
}

// bar is the value of a step in a panel; tables have no baseline.
func (s *stack) bar(t *testing.T, b *check.Board, panel string, end time.Time, lane, rps, bar string) float64 {
	t.Helper()
	for _, q := range queriesOf(t, b) {
		if !strings.HasSuffix(q.Where, " / "+panel) {
			continue
		}
		found, err := s.query(t.Context(), fill(s, q, end), end)
		require.NoError(t, err)
		for _, series := range found {
			m := series.Metric
			if m["lane"] == lane && m["rps"] == rps && (m["bar"] == bar || m["bar"] == "") {
				return series.last()
			}
		}
		require.Failf(t, "no such step", "%s: %s at %s in %v", panel, bar, rps, found)
	}
	require.Failf(t, "no such panel", "%s", panel)
	return 0
}
