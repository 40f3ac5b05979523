package boards

// experiments is the board beside `worker lab`: the execution models side by side. The worker of the stack, which has
// one of them, is a line in each panel; while the lab runs with --metrics, each of its cases is one more.
func experiments() board {
	return board{
		file: "experiments", uid: "twinlane-experiments", title: "Experiments",
		question: "What does each execution model cost, in threads, goroutines and waiting tasks, and what does it refuse?",
		from:     "now-15m",
		rows: []row{
			{panels: experimentTiles()},
			{title: "How does each model hold its tasks?", panels: experimentTasks()},
			{title: "What does each model cost?", panels: experimentCosts()},
			{title: "What else do the experiments measure?", panels: experimentTraffic()},
		},
	}
}

const (
	workerLegend = "worker: {{source}}"
	caseLegend   = "{{experiment}}: {{case}}"
	ofLab        = "experiment, case"
	processes    = `{job=~"worker|lab"}`
)

// both asks for the same of the worker's executors and of the cases of the lab.
func both(of func(metric, by string) string, metric string) []query {
	return []query{line(workerLegend, of("worker_"+metric, "source")), line(caseLegend, of("lab_"+metric, ofLab))}
}

func sum(metric, by string) string { return `sum by (` + by + `) (` + metric + `)` }

func increase(metric, by string) string { return rate(by, metric) }

func experimentTiles() []panel {
	return []panel{
		tile("Threads", "Operating system threads of the worker and of the lab. Bad: about one a task; then blocking work is what tasks do.",
			count, []level{{500, yellow}}, now("{{job}}", `sum by (job) (go_threads`+processes+`)`)),
		tile("Goroutines", "Goroutines of the worker and of the lab. Thousands cost little: it is memory, some kilobytes each.",
			count, nil, now("{{job}}", `sum by (job) (go_goroutines`+processes+`)`)),
		tile("Tasks taken", "Tasks that executors have accepted and not finished: those that run, and those that wait inside of them.",
			count, nil, now("worker", `sum(worker_executor_tasks)`), now("lab", `sum(lab_executor_tasks)`)),
		tile("Waiting for a worker", "Tasks that wait inside of an executor. Bad: as many as its queue holds, for then the saturation policy decides on the next.",
			count, nil, now("worker", `sum(worker_executor_queued)`), now("lab", `sum(lab_executor_queued)`)),
		tile("Met a full executor", "Submits a second that found no room, so that the saturation policy had to decide. Bad in production: any. In an experiment it is what is measured.",
			opsPerSec, []level{{0.01, yellow}}, now("worker", total("worker_executor_saturated_total")), now("lab", total("lab_executor_saturated_total"))),
		tile("Dropped", "Accepted tasks a second that a policy dropped. Their books say discarded. Bad: any that nobody asked for.",
			opsPerSec, []level{{0.01, red}}, now("worker", total("worker_executor_discarded_total")), now("lab", total("lab_executor_discarded_total"))),
	}
}

func experimentTasks() []panel {
	return []panel{
		lines("How many tasks does it have?", "Tasks that each executor has accepted and not finished. serial has one; goroutine as many as it may; pool those of its workers and of its queue.",
			count, nil, both(sum, "executor_tasks")...),
		lines("How many of them wait?", "Tasks that wait inside of each executor. Bad: a queue that stays full, which only makes every task later.",
			count, nil, both(sum, "executor_queued")...),
		lines("What meets a full executor?", "Submits a second that found no room, by the policy that decided: abort refuses, caller_runs and block slow the submitter down, discard and discard_oldest drop.",
			opsPerSec, nil,
			line("worker: {{source}} {{policy}}", rate("source, policy", "worker_executor_saturated_total")),
			line(caseLegend+" {{policy}}", rate(ofLab+", policy", "lab_executor_saturated_total")+` > 0`)),
	}
}

func experimentCosts() []panel {
	return []panel{
		lines("How many goroutines work?", "Goroutines that each executor has for tasks, idle ones as well. Those of a pool come with the load, and go when they have been idle for their keep-alive.",
			count, nil, both(sum, "executor_workers")...),
		lines("How many threads do the processes have?", "Operating system threads of the worker and of the lab. Waiting costs none; an action that blocks, or OS_THREADS, costs one a task. They are never given back.",
			count, nil, line("{{job}}", `sum by (job) (go_threads`+processes+`)`)),
		lines("How much memory do the processes have?", "Resident memory of the worker and of the lab. Bad: growth without an end, which is a queue without a bound.",
			bytesIEC, nil, line("{{job}}", `sum by (job) (process_resident_memory_bytes`+processes+`)`)),
	}
}

func experimentTraffic() []panel {
	return []panel{
		lines("What is dropped?", "Accepted tasks a second that a saturation policy dropped. Only discard and discard_oldest do; everything else is 0.",
			opsPerSec, nil, both(increase, "executor_discarded_total")...),
		lines("Is a delivery loop blocked?", "Loops that have been blocked for longer than the watchdog's limit, which is what serial, caller_runs and block do under load. Bad: any for long, as nothing is taken from the queue meanwhile.",
			count, none(), line("worker", `sum(worker_watchdog_blocked_loops)`), line(caseLegend, sum("lab_watchdog_blocked_loops", ofLab))),
		lines("How much is published?", "Confirmed publishes a second, of the worker and of the cases of the lab that publish: experiment A's strategies are told apart here.",
			opsPerSec, nil,
			line("worker: {{publisher}}", rate("publisher", `worker_publisher_publishes_total{outcome="accepted"}`)),
			line(caseLegend, rate(ofLab, `lab_publisher_publishes_total{outcome="accepted"}`))),
	}
}
