package boards

import (
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// lanes is the board to look at while something runs: what clients see of both lanes, and what the gateway does about it.
func lanes() board {
	return board{
		file: "lanes", uid: "twinlane-lanes", title: "Lanes live",
		question: "Do clients get what they ask for right now, and if not, which part fails them?",
		from:     "now-15m",
		notes:    []cog.Builder[dashboard.AnnotationQuery]{steps(".+")},
		rows: []row{
			{panels: append(lanesTiles(), whatHappened())},
			{title: "What do clients get?", panels: lanesRED()},
			{title: "What does the load generator see?", panels: lanesLoad()},
			{title: "How does the gateway publish?", panels: lanesPublishing()},
			{title: "Does the gateway know what became of the tasks?", panels: lanesOutcomes()},
		},
	}
}

// requests is the rate of the requests for tasks by lane, those with some codes.
func requests(codes string) string {
	return `sum by (lane) (` + onLane(`rate(`+laneRequests("gateway_http_request_duration_seconds_count", codes)+`[$__rate_interval])`) + `)`
}

// answers is a quantile of their time.
func answers(q float64) string {
	return quantileOf(q, onLane(`rate(`+laneRequests("gateway_http_request_duration_seconds_bucket", "")+`[$__rate_interval])`))
}

func lanesTiles() []panel {
	return []panel{
		laneTile("Requests", "Requests for tasks a second, by lane. The third lane, which waits for its result behind the queue, is a part of async here.",
			perSecond, now("{{lane}}", requests(""))),
		tile("Failed", "Requests for tasks in this time range that ended with a server error. Bad: any. The bands say when that was, and the panel of problems below says what.",
			count, none(), now("failed", inRange(laneRequests("gateway_http_request_duration_seconds_count", `, code=~"5.."`)))),
		tile("Refused", "Requests for tasks in this time range that were answered 429: the queue was full, or a bound of the gateway was reached. It is back-pressure, and right as long as clients come back later.",
			count, []level{{1, yellow}}, now("refused", inRange(laneRequests("gateway_http_request_duration_seconds_count", `, code="429"`)))),
		tile("Accepting takes", "The 95th percentile of the time until a task is confirmed by the broker. Good: some milliseconds. Bad: a tenth of a second and more, for the broker's disk or the gateway is then at its limit.",
			seconds, []level{{0.1, yellow}, {1, red}},
			line("p95", quantile(0.95, `gateway_publisher_confirm_duration_seconds_bucket{publisher="gateway-publish"}`))),
		tile("Tasks waiting", "Tasks in the queue that no worker has yet. Bad: a number that grows; see Worker and queue.",
			count, []level{{1000, yellow}, {100000, red}}, now("waiting", orZero(`sum(rabbitmq_detailed_queue_messages_ready{queue="tasks.v1"})`))),
		tile("Workers", "Workers that answer Prometheus. Bad: none, for then both lanes stand still.",
			count, least(1), now("workers", orZero(`count(up{job="worker"} == 1)`))),
	}
}

// whatHappened shows in bands what failed when.
func whatHappened() panel {
	up := func(job string) string { return orZero(`max(up{job="` + job + `"})`) }
	band := func(legend, expr string) query { return line(legend, `(`+expr+`) and on () count(up)`) }
	return states("What happened, and when?", "Each band is green while one thing holds that the system needs. Read it from the left: the first red is the cause, what follows are its effects. "+
		"Most bands are also red where nobody is there who could tell, and there are none for times at which Prometheus did not run.",
		band("a gateway is up", up("gateway")),
		band("a worker is up", up("worker")),
		band("the broker is up", up("rabbitmq")),
		band("the queue has consumers", orZero(`clamp_max(sum(rabbitmq_detailed_queue_consumers{queue="tasks.v1"}), 1)`)),
		band("the broker takes publishes", orZero(`min(gateway_amqp_connection_up{connection=~"gateway-publish.*"} - on (instance, connection) gateway_amqp_connection_blocked)`)),
		band("the queue takes tasks", `1 - (`+total(`gateway_publisher_publishes_total{publisher="gateway-publish", outcome="nacked"}`)+` > bool 0) or vector(0)`),
		band("no request fails", `1 - (`+total(`gateway_http_request_duration_seconds_count{code=~"5.."}`)+` > bool 0) or vector(0)`),
		band("outcomes are known", orZero(`min(gateway_outcomes_caught_up)`)),
		band("no task dies", `1 - (`+total(`worker_dead_total`)+` > bool 0) or vector(1)`),
	)
}

func lanesRED() []panel {
	return []panel{
		colourLanes(lines("How many requests arrive?", "Requests for tasks a second, by lane. Bad: fewer than clients send, which is then in the rows below.", perSecond, nil, line("{{lane}}", requests("")))),
		lines("How are they answered?", "Answers a second, by lane and status. 200 is a result and 202 a promise; 429 is refused, 5xx is failed.",
			perSecond, nil, line("{{lane}} {{code}}",
				`sum by (lane, code) (`+onLane(`rate(`+laneRequests("gateway_http_request_duration_seconds_count", "")+`[$__rate_interval])`)+`) > 0`)),
		lines("Which problems do clients see?", "Answers a second that tell of a problem, by its code; README.md and the OpenAPI description say what each means. Good: no line.",
			perSecond, nil, line("{{code}}", rate("code", "gateway_http_problems_total")+` > 0`)),
		colourLanes(lines("How long does an answer take?", "Median and 95th percentile by lane. Sync takes as long as the task, async as long as a confirm; requests that prefer to wait for their result are a part of async, and take as long as they wait. "+
			"Bad: an async lane that comes near the sync one without such requests.",
			seconds, nil, line("{{lane}} p50", answers(0.5)), exemplary(line("{{lane}} p95", answers(0.95))))).
			OverrideByRegexp("/p95$/", []dashboard.DynamicConfigValue{
				{Id: "custom.lineStyle", Value: map[string]any{"fill": "dash", "dash": []int{6, 4}}},
			}),
		lines("How much is in flight?", "Requests and publishes under way. Each is bounded (gateway --help): at its bound, what comes next is refused.",
			count, nil,
			line("requests", `sum(gateway_http_requests_in_flight)`),
			line("calls to a worker", `sum(gateway_worker_calls_in_flight)`),
			line("calls to a worker, bound", `sum(gateway_worker_calls_limit)`),
			line("publishes", `sum(gateway_publisher_in_flight{publisher="gateway-publish"})`),
			line("waits for a result", `sum(gateway_http_waits_in_flight)`)),
		lines("How do the calls to the worker end?", "Calls of the sync lane a second, by how they ended. Bad: anything but completed. busy is a worker at its own bound, saturated the gateway's.",
			perSecond, nil, line("{{outcome}}", rate("outcome", "gateway_worker_calls_total")+` > 0`)),
	}
}

func lanesLoad() []panel {
	return []panel{
		colourLanes(lines("What is offered?", "Requests a second that k6 is told to send, by lane: those that it sent and those that it dropped.",
			perSecond, nil, k6(line("{{lane}}", rate("lane", `k6_requests_sent_total{lane!=""}`)+` + (`+droppedNow()+` or 0 * `+rate("lane", `k6_requests_sent_total{lane!=""}`)+`)`)))),
		colourLanes(lines("What is achieved?", "Answers a second that came back. Bad: less than is offered, which means that the lane has reached its limit.",
			perSecond, nil, k6(line("{{lane}}", rate("lane", `k6_iterations_total{lane!=""}`))))),
		colourLanes(lines("What is dropped?", "Requests a second that k6 could not send, because all of its virtual users waited for an answer. The limit is then the number of users ÷ the time of an answer.",
			perSecond, nil, k6(line("{{lane}}", droppedNow())))),
	}
}

func droppedNow() string {
	return `sum by (lane) (` + ofStep(`rate(k6_dropped_iterations_total[$__rate_interval])`) + `)`
}

func lanesPublishing() []panel {
	const mine = `{publisher="gateway-publish"}`
	return []panel{
		lines("How do publishes end?", "Publishes of tasks a second, by outcome. accepted is confirmed and on disk; nacked is a full queue; unknown was answered 503, because nobody can tell; unavailable and blocked is a broker that is gone or short of memory or disk.",
			opsPerSec, nil, line("{{outcome}}", rate("outcome", `gateway_publisher_publishes_total`+mine)+` > 0`)),
		lines("How long does the broker take to confirm?", "Time from a publish to its confirm. It is the broker's write to disk, and the floor of the async lane's answer time.",
			seconds, []level{{0.1, yellow}},
			line("p50", quantile(0.5, `gateway_publisher_confirm_duration_seconds_bucket`+mine)),
			line("p95", quantile(0.95, `gateway_publisher_confirm_duration_seconds_bucket`+mine)),
			line("p99", quantile(0.99, `gateway_publisher_confirm_duration_seconds_bucket`+mine)),
			line("wait for a channel, p95", quantile(0.95, `gateway_publisher_acquire_wait_seconds_bucket`+mine))),
		lines("Does the connection hold?", "Connections to the broker that were lost or could not be made, messages published a second time, and connections closed because confirms stayed away: each a minute. Good: all 0.",
			noUnit, nil,
			line("lost or failed connections", `60 * `+total(`gateway_amqp_connection_failures_total`)),
			line("published again", `60 * `+total(`gateway_publisher_republished_total`)),
			line("given up for lack of confirms", `60 * `+total(`gateway_publisher_evictions_total`))),
	}
}

func lanesOutcomes() []panel {
	return []panel{
		lines("How soon is an outcome known?", "Time from the end of a task to when its outcome is known to the gateway, which is what waits for a result wait for. Good: milliseconds.",
			seconds, nil,
			line("p50", quantile(0.5, "gateway_outcomes_visible_seconds_bucket")),
			line("p95", quantile(0.95, "gateway_outcomes_visible_seconds_bucket"))),
		lines("How far behind is the index?", "For how long a gateway has not known all of the results stream. While it is behind, a task that nobody has heard of is answered 503 instead of 404. Good: 0.",
			seconds, []level{{30, red}}, line("behind", `max(gateway_outcomes_behind_seconds)`)),
		lines("How do waits for a result end?", "Requests with Prefer: wait a second, by how the wait ended. expired was answered 202, refused is one too many.",
			perSecond, nil, line("{{outcome}}", rate("outcome", "gateway_http_waits_total"))),
	}
}
