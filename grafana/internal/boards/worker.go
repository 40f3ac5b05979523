package boards

import (
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// worker is the board of the async lane behind the gateway: the queues and who works them off.
func worker() board {
	return board{
		file: "worker", uid: "twinlane-worker", title: "Worker and queue",
		question: "Does the worker keep up with what arrives, and what becomes of the tasks that fail?",
		from:     "now-15m",
		notes:    []cog.Builder[dashboard.AnnotationQuery]{steps(".+")},
		rows: []row{
			{panels: append(workerTiles(), workerBalance()...)},
			{title: "How long does a task take, and where?", panels: workerTimes()},
			{title: "What becomes of the deliveries?", panels: workerDeliveries()},
			{title: "What fails?", panels: workerFailures()},
			{title: "How busy is the worker?", panels: workerExecutor()},
		},
	}
}

// arrivals is how many tasks a second the broker takes in, and departures how many leave the queue for good.
func arrivals() string {
	return `(` + orZero(total(`gateway_publisher_publishes_total{publisher="gateway-publish", outcome="accepted"}`)) + `)`
}

func departures() string {
	return `(` + orZero(total(`worker_settlements_total{settlement=~"completed|dead|discarded"}`)) + `)`
}

// again counts the deliveries of the broker that are not the first of their message.
const again = `rabbitmq_global_messages_redelivered_total{queue_type="rabbit_quorum_queue"}`

func waiting() string { return `sum(rabbitmq_detailed_queue_messages_ready{queue="tasks.v1"})` }

func workerTiles() []panel {
	return []panel{
		tile("Tasks waiting", "Tasks in the queue that no worker has yet. Bad: a number that grows.",
			count, []level{{1000, yellow}, {100000, red}}, now("waiting", orZero(waiting()))),
		tile("Time to drain", "How long the tasks that wait would take if none arrived any more, at the rate of now. Bad: longer than anybody wants to wait. Where nothing is being worked off, it says so.",
			seconds, []level{{60, yellow}, {600, red}}, now("drain", waiting()+` / (`+departures()+` > 0) or `+waiting()+` == 0`)).
			NoValue("stands still"),
		tile("Consumers", "Consumers of the queue of tasks. A worker has several. Bad: none, for then tasks only wait.",
			count, least(1), now("consumers", orZero(`sum(rabbitmq_detailed_queue_consumers{queue="tasks.v1"})`))),
		tile("In the worker's hands", "Deliveries that a worker has and the broker has no answer for. Bad: as many as the prefetch allows while nothing is completed.",
			count, nil, now("unsettled", `sum(worker_subscription_unsettled_deliveries)`)),
		tile("Dead letters", "Tasks that failed for good and wait for somebody to look: make dlq ARGS=ls. Bad: any.",
			count, none(), now("dead", orZero(`sum(rabbitmq_detailed_queue_messages{queue="tasks.v1.dlq"})`))),
		tile("Delivered again", "Deliveries in this time range that the broker had made before. When a worker is killed, what it had in hand comes again; otherwise it is 0. The broker counts, because a worker that is new has not seen the first delivery.",
			count, []level{{1, yellow}}, now("again", inRange(again))),
	}
}

func workerBalance() []panel {
	return []panel{
		lines("Does the worker keep up?", "Tasks a second that arrive, and that are done with. Good: one line. Bad: more that arrive than leave, for as long as that lasts the queue grows; no departures at all is a worker that is gone or stuck.",
			opsPerSec, nil, line("arrive", arrivals()), line("are done with", departures())),
		lines("How long is the queue?", "Tasks of the main queue that wait, and that workers have in hand. Bad: a slope that does not turn. Flat at the top is a queue at the limit of its policy, which refuses tasks.",
			count, nil, line("waiting", waiting()), line("in hand", `sum(rabbitmq_detailed_queue_messages_unacked{queue="tasks.v1"})`)),
		lines("Where else are tasks?", "Tasks in the other queues: waiting for a retry, set apart because they may have crashed a worker (suspect, isolated), or dead. Good: retries that come and go, and nothing else.",
			count, nil, line("{{queue}}", `sum by (queue) (rabbitmq_detailed_queue_messages{queue=~"tasks.v1.(retry.*|suspect|isolated|dlq)"})`)),
	}
}

func workerTimes() []panel {
	histogram := func(title, description, metric string) panel {
		buckets := metric + `_bucket{lane="async"}`
		return lines(title, description, seconds, nil,
			line("p50", quantile(0.5, buckets)), line("p95", quantile(0.95, buckets)), exemplary(line("p99", quantile(0.99, buckets))))
	}
	return []panel{
		histogram("How long do tasks wait?", "Time from acceptance by the gateway to the start of the first attempt. Good: milliseconds. Bad: seconds, which is a worker that has less room than arrives.", "worker_task_queue_wait_seconds"),
		histogram("How long does the work take?", "Time of one run of a task, however it ended. Bad: more than the task's own time, for tasks then wait inside of the worker, for a processor or for what they call.", "worker_task_service_time_seconds"),
		histogram("How long from accepted to done?", "Time from acceptance to completion, waits and retries included: what a client who waits for the outcome waits.", "worker_task_end_to_end_seconds"),
	}
}

func workerDeliveries() []panel {
	return []panel{
		lines("How many deliveries come?", "Deliveries a second, the first of a message and those that the broker makes again. Bad: again without a worker having been stopped.",
			opsPerSec, nil,
			line("first", total(`worker_deliveries_total{redelivered="false"}`)), line("again", total(again))),
		lines("How are they answered?", "Deliveries a second by what became of the task. completed and dead are final; retried waits for its next attempt; moved is set apart; returned and requeued come again.",
			opsPerSec, nil, line("{{settlement}}", rate("settlement", "worker_settlements_total"))),
		lines("Does settling work?", "Messages that settle a task and were not confirmed, answers that found no channel, and results that were given up: each a minute. Good: 0. Otherwise tasks run twice, or nobody is told their outcome.",
			noUnit, nil,
			line("not confirmed", `60 * `+total(`worker_unconfirmed_settlements_total`)),
			line("no channel", `60 * `+total(`worker_ack_errors_total`)),
			line("results given up", `60 * `+total(`worker_results_lost_total`))),
	}
}

func workerFailures() []panel {
	return []panel{
		lines("How do runs end?", "Runs of tasks a second by lane and outcome. Bad: anything but completed. interrupted says nothing of the task: the worker was stopped, or the client gave up.",
			opsPerSec, nil, line("{{lane}} {{outcome}}", rate("lane, outcome", "worker_tasks_total")+` > 0`)),
		lines("What is tried again?", "Tasks a second that are put into a retry queue, by its delay. Bad: a line that stays, which is something that tasks need and that does not come back.",
			opsPerSec, nil, line("{{queue}}", rate("queue", "worker_retries_total"))),
		lines("What dies, and why?", "Tasks a second that go to the dead-letter queue, by reason. Good: all 0. worker dlq show tells the error of each.",
			opsPerSec, nil, line("{{reason}}", rate("reason", "worker_dead_total"))),
	}
}

func workerExecutor() []panel {
	return narrow(
		colourLanes(lines("How much runs at once?", "Tasks that run now, by lane. Bad: a flat top, which is the worker's bound (CONCURRENCY, SYNC_CONCURRENCY).",
			count, nil, line("{{lane}}", `sum by (lane) (worker_tasks_in_flight)`))),
		lines("What does the executor hold?", "Tasks that the executor has accepted and not finished, and deliveries that are held outside of it: on their way to another queue, or done and waiting for a confirm.",
			count, nil, line("in the executor", `sum(worker_executor_tasks)`), line("of those waiting", `sum(worker_executor_queued)`),
			line("goroutines for them", `sum(worker_executor_workers)`), line("held: {{cause}}", `sum by (cause) (worker_deliveries_held)`)),
		lines("Does it have room?", "Submits a second that met a full executor, by the policy that decided on them, and the delivery loops that have been blocked for too long. Good: all 0. Otherwise the worker takes more than it can hold (EXECUTOR, CONCURRENCY, POOL_QUEUE).",
			noUnit, nil, line("full: {{policy}}", rate("policy", "worker_executor_saturated_total")), line("blocked loops", `sum(worker_watchdog_blocked_loops)`)),
		lines("Is anything stuck?", "Tasks that run on although their time is over, and panics of tasks and of the worker itself, a minute. Good: all 0.",
			noUnit, none(),
			line("overdue", `sum(worker_tasks_overdue)`),
			line("panics of tasks", `60 * `+total(`worker_task_panics_total`)),
			line("panics of the worker", `60 * (`+total(`worker_settlement_panics_total`)+` + `+total(`worker_executor_panics_total`)+`)`)),
	)
}
