package boards

// runtime is the board of what the lanes stand on: the broker, and the Go runtime of the services.
func runtime() board {
	return board{
		file: "runtime", uid: "twinlane-runtime", title: "Broker and Go runtime",
		question: "Do the broker and the services have the memory, the disk, the processors and the connections that they need?",
		from:     "now-15m",
		rows: []row{
			{panels: runtimeTiles()},
			{title: "What does the broker do?", panels: brokerTraffic()},
			{title: "What does the broker need?", panels: brokerResources()},
			{title: "What do the services need?", panels: goRuntime()},
		},
	}
}

func runtimeTiles() []panel {
	return []panel{
		tile("Broker's alarms", "Alarms of the broker for memory and for disk. Bad: any, for while one is on the broker takes nothing from publishers, and the gateway answers 503.",
			count, none(), now("alarms", `sum(rabbitmq_alarms_memory_used_watermark) + sum(rabbitmq_alarms_free_disk_space_watermark)`)),
		tile("Broker's memory", "Memory of the broker as a share of where its alarm is. Bad: near 100 %.",
			share, []level{{0.7, yellow}, {0.9, red}}, now("memory", `max(rabbitmq_process_resident_memory_bytes / rabbitmq_resident_memory_limit_bytes)`)),
		tile("Broker's free disk", "Free disk as a multiple of where the alarm is. Bad: near 1.",
			times, []level{{-1e9, red}, {1.5, yellow}, {3, green}}, now("free", `min(rabbitmq_disk_space_available_bytes / rabbitmq_disk_space_available_limit_bytes)`)),
		tile("Connections", "Connections to the broker. A gateway and a worker have some each and keep them. Bad: a number that grows, or in the hundreds (PUBLISH_STRATEGY=per_request opens one a message).",
			count, []level{{100, yellow}}, now("connections", `sum(rabbitmq_connections)`)),
		tile("Queues as declared", "Queues and exchanges that exist with other arguments than the services declare, or that they may not declare. Bad: any; what a queue then promises is unknown, and the log says which.",
			count, none(), now("different", `sum(max by (name) ({__name__=~"(gateway|worker)_amqp_topology_drift"}))`)),
		tile("Processors in use", "Processor time of gateway and worker together, in cores. Bad: as many as the machine or their limits have.",
			cores, nil, now("used", `sum(rate(process_cpu_seconds_total{job=~"gateway|worker"}[$__rate_interval]))`)),
	}
}

func brokerTraffic() []panel {
	return []panel{
		lines("What goes in and out?", "Messages a second over all queues: received from publishers, confirmed to them, delivered and acknowledged. A task makes several: itself, its result, and the copy of that for each gateway.",
			opsPerSec, nil,
			line("received", total("rabbitmq_global_messages_received_total")),
			line("confirmed", total("rabbitmq_global_messages_confirmed_total")),
			line("delivered", total("rabbitmq_global_messages_delivered_total")),
			line("acknowledged", total("rabbitmq_global_messages_acknowledged_total")),
			line("delivered again", total("rabbitmq_global_messages_redelivered_total"))),
		lines("What was dead-lettered or had no queue?", "Messages a second that queues passed on by dead-lettering, by cause, and that found no queue. expired is the end of a retry's delay, and right; delivery_limit is a task that killed its workers; returned is a queue that is missing.",
			opsPerSec, nil,
			line("expired", total("rabbitmq_global_messages_dead_lettered_expired_total")),
			line("rejected", total("rabbitmq_global_messages_dead_lettered_rejected_total")),
			line("delivery limit", total("rabbitmq_global_messages_dead_lettered_delivery_limit_total")),
			line("too long a queue", total("rabbitmq_global_messages_dead_lettered_maxlen_total")),
			line("returned", total("rabbitmq_global_messages_unroutable_returned_total"))),
		lines("Do connections and channels come and go?", "Connections and channels opened a second. Good: 0 while nothing is restarted. Bad: as many as there are messages.",
			opsPerSec, nil,
			line("connections", total("rabbitmq_connections_opened_total")), line("channels", total("rabbitmq_channels_opened_total"))),
	}
}

func brokerResources() []panel {
	return narrow(
		lines("How much memory does it have left?", "Resident memory of the broker, and where its alarm is. Above it, publishers are blocked.",
			bytesIEC, nil, line("used", `sum(rabbitmq_process_resident_memory_bytes)`), line("alarm", `sum(rabbitmq_resident_memory_limit_bytes)`)),
		lines("How much disk does it have left?", "Free disk of the broker, and where its alarm is. Below it, publishers are blocked. The results stream takes 2 GiB at most, and the queues as much as their policies allow.",
			bytesIEC, nil, line("free", `min(rabbitmq_disk_space_available_bytes)`), line("alarm", `max(rabbitmq_disk_space_available_limit_bytes)`)),
		lines("How much do its queues hold?", "Bytes of the messages in each queue; a stream does not tell. Bad: growth that does not turn.",
			bytesIEC, nil, line("{{queue}}", `sum by (queue) (rabbitmq_detailed_queue_messages_bytes)`)),
		lines("How many connections, channels and files?", "Connections, channels, consumers and open files. Bad: growth while the load is steady.",
			count, nil,
			line("connections", `sum(rabbitmq_connections)`), line("channels", `sum(rabbitmq_channels)`),
			line("consumers", `sum(rabbitmq_consumers)`), line("open files", `sum(rabbitmq_process_open_fds)`)),
	)
}

func goRuntime() []panel {
	const services = `{job=~"gateway|worker"}`
	byJob := func(expr string) query { return line("{{job}}", expr) }
	return []panel{
		lines("How much processor time?", "Cores in use by each service. The gateway of the lab has one. Bad: at the limit, for everything then waits.",
			cores, nil, byJob(`sum by (job) (rate(process_cpu_seconds_total`+services+`[$__rate_interval]))`)),
		lines("How many goroutines?", "Goroutines of each service: one a request, delivery or wait. Bad: growth while the load is steady, which is a leak.",
			count, nil, byJob(`sum by (job) (go_goroutines`+services+`)`)),
		lines("How many threads?", "Operating system threads that the runtime has made; it never gives one back. Bad: about one a task, which is what blocking work on locked threads costs.",
			count, nil, byJob(`sum by (job) (go_threads`+services+`)`)),
		lines("How much memory?", "Resident memory of each service, and its live heap.",
			bytesIEC, nil, byJob(`sum by (job) (process_resident_memory_bytes`+services+`)`),
			line("{{job}} heap", `sum by (job) (go_memstats_heap_alloc_bytes`+services+`)`)),
		lines("How much does the garbage collector stop?", "The share of the time in which a service stood still for its garbage collector. Good: well below 1 %. Bad: more, which is seen in every answer time.",
			share, []level{{0.01, yellow}}, byJob(`sum by (job) (rate(go_gc_duration_seconds_sum`+services+`[$__rate_interval]))`)),
		lines("How many open files?", "Open files and sockets of each service. Bad: near the limit, for then connections fail.",
			count, nil, byJob(`sum by (job) (process_open_fds`+services+`)`)),
	}
}
