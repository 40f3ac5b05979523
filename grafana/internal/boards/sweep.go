package boards

import (
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// run and baseline are the runs that the reader chose. A run without a baseline is held against the run called none,
// which there is not.
const (
	run      = "$run"
	baseline = "$baseline"
)

// sweep is the board that Grafana opens with: what a sweep measured, step by step, as the report has it.
func sweep() board {
	return board{
		file: "sweep", uid: "twinlane-sweep", title: "Sweep",
		question: "Which lane carries how much, at what answer time, and was all accepted work done? One run of `make sweep`, beside another one.",
		from:     "now-1h",
		variables: []cog.Builder[dashboard.VariableModel]{
			runVariable("run", "Run", "The run that is shown. Runs outside of the time range are not offered.").
				Query(text(`label_values(k6_requests_sent_total{lane!=""}, testid)`)),
			runVariable("baseline", "Baseline", "The run that it is compared with: its bars are pale.").
				Query(text(`query_result(label_replace(vector(1), "testid", "none", "", "") or max by (testid) (last_over_time(k6_requests_sent_total[$__range])))`)).
				Regex(`/testid="([^"]+)"/`).
				Current(dashboard.VariableOption{
					Text: dashboard.StringOrArrayOfString{String: new("none")}, Value: dashboard.StringOrArrayOfString{String: new("none")},
				}),
		},
		notes: []cog.Builder[dashboard.AnnotationQuery]{steps(run)},
		rows: []row{
			{panels: append(sweepTiles(), whatHappened())},
			{title: "How do the lanes compare?", panels: sweepCharts()},
			{title: "When was the work really done?", panels: sweepBooks()},
			{title: "What is different from the baseline?", panels: []panel{sweepComparison()}},
			{title: "How did it go over time?", panels: sweepTime()},
		},
	}
}

func runVariable(name, label, description string) *dashboard.QueryVariableBuilder {
	return dashboard.NewQueryVariableBuilder(name).
		Label(label).
		Description(description).
		Datasource(source()).
		Refresh(dashboard.VariableRefreshOnTimeRangeChanged).
		Sort(dashboard.VariableSortNaturalDesc)
}

func text(s string) dashboard.StringOrMap { return dashboard.StringOrMap{String: &s} }

func sweepTiles() []panel {
	perLane := func(of, expr string) query { return now("{{lane}}", of+` by (lane) (`+expr+`)`) }
	return []panel{
		tile("Tasks lost", "Accepted tasks that are neither done, dead nor discarded, over all steps. While a run is on, these are the tasks that are "+
			"still open; afterwards any at all is a failure of the system's promise.",
			count, none(), now("lost", `sum(`+missing(run)+`)`)).Span(3).
			Mappings([]dashboard.ValueMapping{mapping(map[string]string{"0": "none"}, nil)}),
		laneTile("Best throughput", "The step with the most answers a second. The sync lane ends at virtual users ÷ task time; the async lane should follow the rate that was asked for.",
			perSecond, perLane("max", throughput(run))).Span(5),
		laneTile("Slowest p95 answer time", "The worst step's 95th percentile of the answers with the promised status. A lane that waits for the work cannot be below the task's own time.",
			seconds, perLane("max", answerTime("p95", run))).Span(5),
		laneTile("Dropped", "The share of the requests that could not even be sent, because every virtual user still waited. It says that a lane has reached its limit, not that work was lost.",
			share, now("{{lane}}", `sum by (lane) (`+dropped(run)+`) / (sum by (lane) (`+dropped(run)+`) + sum by (lane) (`+answered(run)+`))`)).Span(5),
		laneTile("Longest drain", "The longest time from the last acceptance of a step to its last completion: how far the worker was behind. Longer than a task takes means that a backlog had built up.",
			millis, perLane("max", books("drain_ms", run))).Span(3),
		tile("Dead or run twice", "Tasks that ended in the dead-letter queue, and executions of tasks that were done already. A sweep asks for no failures: each is worth a look, "+
			"though neither breaks a promise.", count, []level{{1, yellow}},
			now("dead", `sum(`+books("dead", run)+`)`), now("run twice", `sum(`+books("duplicates", run)+`)`)).Span(3),
	}
}

// withBaseline is a figure of both runs, with the label bar: the lane, or the lane and that it is the baseline's.
func withBaseline(figure func(run string) string) string {
	return `label_replace(` + figure(run) + `, "bar", "$1", "lane", "(.+)") or label_replace(` + figure(baseline) + `, "bar", "$1, baseline", "lane", "(.+)")`
}

func sweepCharts() []panel {
	answer := func(statistic string) string {
		return withBaseline(func(run string) string { return answerTime(statistic, run) })
	}
	return []panel{
		overRPS("How long does an answer take on average?", "The mean time to the promised answer, by the rate asked for. The async lane answers when the broker has confirmed the message: "+
			"milliseconds, whatever the task takes. Bad: a bar that grows with the rate.", seconds, answer("avg")),
		overRPS("How long do the slowest answers take?", "The 95th percentile of the same. Requests that were dropped are in no percentile: read it beside the drop rate.", seconds, answer("p95")),
		overRPS("How many answers a second?", "Answers of a step, by its seconds. Good: as high as the rate below it. Bad: flat from a rate on, which is the lane's limit. A step that was cut short shows less than it had.",
			perSecond, withBaseline(throughput)),
		overRPS("How many requests were dropped?", "The share of requests that the load generator could not send because all of its virtual users waited for an answer: 1 − users ÷ (rate × task time) for a lane that waits. Good: 0 %.",
			share, withBaseline(dropShare)).Max(1),
	}
}

func sweepBooks() []panel {
	figure := func(name string) string {
		return withBaseline(func(run string) string { return books(name, run) })
	}
	return []panel{
		overRPS("How long from accepted to done, typically?", "The median time from the acceptance of a task to its completion: queue wait and work. Bad: much more than the task takes, which means that it waited in the queue.",
			millis, figure("end_to_end_ms_p50")).Span(8),
		overRPS("How long from accepted to done, at worst?", "The 95th percentile of the same. Where the rate is above what the worker can do, it grows with the length of the step.",
			millis, figure("end_to_end_ms_p95")).Span(8),
		overRPS("How long did the backlog take to drain?", "From the last acceptance of a step to its last completion. Good: about the time of one task. Bad: more, which is the work that was accepted faster than it was done.",
			millis, figure("drain_ms")).Span(8),
		perStep("Did every accepted task come back?", "The books of each step: what the load generator was promised, and what became of it. Lost must be 0. Run twice is at-least-once delivery at work.", []column{
			{"accepted", noUnit, accepted(run)},
			{"completed", noUnit, books("completed", run)},
			{"dead", noUnit, books("dead", run)},
			{"discarded", noUnit, books("discarded", run)},
			{"lost", noUnit, missing(run)},
			{"run twice", noUnit, books("duplicates", run)},
			{"queue wait p95", millis, books("queue_wait_ms_p95", run)},
			{"service time p95", millis, books("service_time_ms_p95", run)},
			{"drain", millis, books("drain_ms", run)},
		}).OverrideByName("lost", []dashboard.DynamicConfigValue{
			{Id: "custom.cellOptions", Value: map[string]any{"type": "color-background"}},
			{Id: "thresholds", Value: map[string]any{"mode": "absolute", "steps": []any{
				map[string]any{"value": nil, "color": green}, map[string]any{"value": 1, "color": red},
			}}},
		}),
	}
}

func sweepComparison() panel {
	change := func(figure func(run string) string) string {
		return `(` + figure(run) + `) / (` + figure(baseline) + `) - 1`
	}
	p95 := func(run string) string { return answerTime("p95", run) }
	done := func(run string) string { return books("end_to_end_ms_p95", run) }
	return perStep("How much did each step change?", "This run against the baseline, step by step; steps that both have. A change of a few per cent is noise on a machine that does other things as well. "+
		"Choose a baseline above, and a time range that both runs are in.", []column{
		{"p95 answer time", seconds, p95(run)},
		{"p95, baseline", seconds, p95(baseline)},
		{"p95, change", share, change(p95)},
		{"answers a second", perSecond, throughput(run)},
		{"answers a second, baseline", perSecond, throughput(baseline)},
		{"answers a second, change", share, change(throughput)},
		{"accepted to done p95", millis, done(run)},
		{"accepted to done p95, baseline", millis, done(baseline)},
		{"accepted to done p95, change", share, change(done)},
	})
}

func sweepTime() []panel {
	k6Rate := func(counter string) string {
		return rate("lane", counter+`{testid="`+run+`", lane!=""}`)
	}
	return []panel{
		colourLanes(lines("What was sent?", "Requests a second that the load generator sent. The steps of the sweep are marked. Bad: below the rate of a step, whose rest was dropped.",
			perSecond, nil, k6(line("{{lane}}", k6Rate("k6_requests_sent_total"))))).Span(8),
		lines("How much work was waiting?", "Tasks in the queue that no worker has yet. It rises while tasks arrive faster than they are done, and falls when they do not. Bad: it does not come back to 0 between steps.",
			count, nil, line("waiting", `sum(rabbitmq_detailed_queue_messages_ready{queue="tasks.v1"})`),
			line("being worked on", `sum(worker_tasks_in_flight{lane="async"})`)),
		lines("What did the machine spend on it?", "Processor time of the services, in cores. Where their sum is what the machine has, the figures above are those of the machine.",
			cores, nil, line("{{job}}", `sum by (job) (rate(process_cpu_seconds_total{job=~"gateway|worker"}[$__rate_interval]))`)),
	}
}
