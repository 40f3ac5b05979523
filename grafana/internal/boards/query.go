package boards

import (
	"fmt"

	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
)

// query is one question to Prometheus.
type query = *prometheus.DataqueryBuilder

func ask(expr string) query {
	return prometheus.NewDataqueryBuilder().
		Expr(expr).
		Datasource(source()).
		EditorMode(prometheus.QueryEditorModeCode)
}

// line asks for a series over time. The legend is a template of labels.
func line(legend, expr string) query { return ask(expr).Range().LegendFormat(legend) }

// exemplary asks for exemplars besides: dots that lead to the trace of one request, where there are traces.
func exemplary(q query) query { return q.Exemplar(true) }

// now asks for a value at the end of the time range.
func now(legend, expr string) query { return ask(expr).Instant().LegendFormat(legend) }

// columns asks for a table at the end of the time range: a row a series, a column a label, and the column Value.
func columns(expr string) query {
	return ask(expr).Instant().Format(prometheus.PromQueryFormatTable)
}

// k6 tells Grafana that the series come from k6, which writes each second: $__rate_interval is four of them, and a step
// of some seconds is seen as the rate that it had.
func k6(q query) query { return q.Interval("1s") }

// rate is the increase a second of a counter, summed up by labels.
func rate(by, counter string) string {
	return fmt.Sprintf(`sum by (%s) (rate(%s[$__rate_interval]))`, by, counter)
}

// total is the same over all series.
func total(counter string) string {
	return fmt.Sprintf(`sum(rate(%s[$__rate_interval]))`, counter)
}

// inRange is how much a counter rose in the time range.
func inRange(counter string) string {
	return fmt.Sprintf(`round(sum(increase(%s[$__range])))`, counter)
}

// quantile estimates a quantile of a histogram. The selector is that of its buckets.
func quantile(q float64, buckets string) string {
	return fmt.Sprintf(`histogram_quantile(%g, sum by (le) (rate(%s[$__rate_interval])))`, q, buckets)
}

// orZero is an expression without labels that is 0 where there is nothing to add up.
func orZero(expr string) string { return expr + " or vector(0)" }

// onLane gives the series of the gateway's two routes for tasks the label lane.
func onLane(expr string) string {
	return fmt.Sprintf(`label_replace(%s, "lane", "$1", "route", "/v1/(sync|async)")`, expr)
}

// laneRequests is the selector of those routes, for a metric that has them.
func laneRequests(metric, more string) string {
	return metric + `{method="POST", route=~"/v1/(sync|async)"` + more + `}`
}

// ofStep gives what k6 tags with nothing but the scenario the labels lane and rps.
func ofStep(expr string) string {
	const pattern = `(sync|async|wait)_0*([0-9]+)`
	return fmt.Sprintf(`label_replace(label_replace(%s, "lane", "$1", "scenario", "%s"), "rps", "$2", "scenario", "%s")`,
		expr, pattern, pattern)
}

// last is the last value of a k6 series in the time range. A counter of k6 begins with the step, so its last value is
// the count of the step; increase would miss what it begins with, and estimate the rest.
func last(metric, run, more string) string {
	return fmt.Sprintf(`last_over_time(%s{testid="%s"%s}[$__range])`, metric, run, more)
}

// The figures of the steps of a run, each by (lane, rps).

func counted(metric, run, more string) string {
	return `sum by (lane, rps) (` + last(metric, run, `, lane!=""`+more) + `)`
}

func answered(run string) string { return counted("k6_iterations_total", run, "") }

func stepSeconds(run string) string {
	return `max by (lane, rps) (` + last("k6_step_seconds", run, "") + `)`
}

func throughput(run string) string { return answered(run) + " / " + stepSeconds(run) }

// dropped is 0 for a step in which nothing was dropped, of which k6 has no series.
func dropped(run string) string {
	drops := `sum by (lane, rps) (` + ofStep(last("k6_dropped_iterations_total", run, "")) + `)`
	return `(` + drops + ` or 0 * ` + answered(run) + `)`
}

func dropShare(run string) string {
	return dropped(run) + ` / (` + dropped(run) + ` + ` + answered(run) + `)`
}

// answerTime is a statistic of the answers with the promised status. It is exact: k6 keeps it up to date over a step.
func answerTime(statistic, run string) string {
	return `max by (lane, rps) (` + last("k6_http_req_duration_"+statistic, run, `, lane!="", expected_response="true"`) + `)`
}

// books is a figure of the books, of which the last reading has the most outcomes.
func books(figure, run string) string {
	return `max by (lane, rps) (` + last("k6_books", run, `, figure="`+figure+`"`) + `)`
}

func accepted(run string) string { return counted("k6_tasks_accepted_total", run, "") }

func missing(run string) string {
	return `clamp_min(` + accepted(run) + ` - ` + books("settled", run) + `, 0)`
}

// quantileOf estimates a quantile by lane of rates of buckets that are at hand.
func quantileOf(q float64, rates string) string {
	return fmt.Sprintf(`histogram_quantile(%g, sum by (le, lane) (%s))`, q, rates)
}
