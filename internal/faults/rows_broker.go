package faults

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/twinlane/twinlane/internal/task"
)

func brokerRows() []Row {
	return []Row{
		{
			Name:    "broker-restarted",
			Fault:   "RabbitMQ is stopped and started in order",
			Promise: "503 at most 1 s after the loss, 202 again at most 5 s after the return",
			run:     brokerRestarted,
		},
		{
			Name:    "broker-killed",
			Fault:   "RabbitMQ is killed (SIGKILL) amid a surge of requests and started again, twice",
			Promise: "as above",
			run:     brokerKilled,
		},
		{
			Name:    "power-cut",
			Fault:   "the power of RabbitMQ's disk is cut: what it wrote and did not flush is gone",
			Promise: "no task is; of the results stream, which nothing flushes, something is",
			run:     powerCut,
		},
		{
			Name:    "disk-full",
			Fault:   "less of RabbitMQ's disk is free than it wants to keep, and later there is room again",
			Promise: "503 once RabbitMQ has looked, which it does every 10 s at least, and 202 again by itself",
			run:     diskFull,
		},
		{
			Name:    "broker-hung",
			Fault:   "RabbitMQ stands still (SIGSTOP) for 4 s and for 20 s, under requests of 64 KiB",
			Promise: "every answer within the confirm timeout and a second; no goroutine is left behind",
			run:     brokerHung,
		},
		{
			Name:    "broker-absent",
			Fault:   "RabbitMQ starts after the services; a user exists later than the gateway; `tasks.v1` has other arguments",
			Promise: "alive and not ready meanwhile, 503; ready without a restart",
			run:     brokerAbsent,
		},
		{
			Name:    "broker-alarmed",
			Fault:   "RabbitMQ raises its memory alarm, then its disk alarm",
			Promise: "503 within 100 ms (99 %), but for at most 10 requests that are under way when it is raised; work in hand is done meanwhile",
			run:     brokerAlarmed,
		},
		{
			Name:    "queue-full",
			Fault:   "`tasks.v1` reaches its limit of 300 messages",
			Promise: "429, and no 202 beyond the limit and what the broker lets pass it",
			run:     queueFull,
		},
		{
			Name:    "queue-deleted",
			Fault:   "`tasks.v1` is deleted, and requests follow at once",
			Promise: "503 until it is declared again, and nothing accepted after the deletion is missing",
			run:     queueDeleted,
		},
	}
}

func brokerRestarted(l *Lab) {
	g, w := l.pair(nil, nil)
	l.start(traffic{Rate: 150, Work: 200 * time.Millisecond, To: []*service{g}})
	l.pause(2*time.Second + upTo(l.rand, time.Second))
	l.atFault(w)
	told := time.Now()
	l.ctl("stop_app")
	// The broker says to nobody when it lets go of its clients: it is lost from the last 202 on.
	refused, down := l.timeline().of(Refused).answered(told), told
	for _, a := range l.timeline().of(Accepted) {
		if a.ended().Before(refused) {
			down = later(down, a.ended())
		}
	}
	l.pause(time.Second)
	l.ctl("start_app")
	l.outage(down, time.Now(), refusedWithin)
	l.pause(2 * time.Second)
	l.finish()
}

func brokerKilled(l *Lab) {
	g, _ := l.pair(nil, nil)
	l.start(traffic{Rate: 150, Work: 200 * time.Millisecond, To: []*service{g}})
	for range l.times(2) {
		l.pause(2*time.Second + upTo(l.rand, time.Second))
		l.surge(g)
		down := time.Now()
		l.node.Kill()
		l.pause(time.Second)
		l.fact("broker boots in", l.startBroker())
		l.outage(down, time.Now(), refusedWithin)
	}
	l.pause(2 * time.Second)
	l.finish()
}

// confirmTimeout is how long a gateway waits for a confirm by default; an answer may take a second more.
const (
	confirmTimeout = 5 * time.Second
	answerMargin   = time.Second
)

func brokerHung(l *Lab) {
	g, w := l.pair(nil, nil)
	baseline, err := g.goroutines(l.ctx)
	l.must(err)
	load := l.start(traffic{Rate: 100, Work: 100 * time.Millisecond, Padding: 64 << 10, To: []*service{g}})
	l.pause(2 * time.Second)

	began := time.Now()
	l.hang(4*time.Second, w)
	l.pause(3 * time.Second)
	slow := l.timeline().between(began, time.Now()).percentile(100)
	l.check(slow > time.Second, "the fault had no effect: no answer took longer than %s", slow)

	began = time.Now()
	l.hang(20*time.Second, w)
	l.outage(began, time.Now(), confirmTimeout+answerMargin)
	l.pause(2 * time.Second)
	load.stop()
	slow = l.timeline().percentile(100)
	l.fact("slowest answer", slow)
	l.within(slow, confirmTimeout+answerMargin, "the slowest answer")
	l.await(10*time.Second, func() error {
		now, err := g.goroutines(l.ctx)
		if err == nil && now > baseline+5 {
			err = fmt.Errorf("the gateway has %d goroutines, %d before the fault", now, baseline)
		}
		return err
	})
	l.finish()
}

// hang stops the broker's process for a while.
func (l *Lab) hang(d time.Duration, workers ...*service) {
	l.atFault(workers...)
	l.must(l.node.Pause())
	l.pause(d)
	l.must(l.node.Resume())
}

func queueFull(l *Lab) {
	const limit, overshoot = 300, 100
	l.startBroker()
	g := l.gateway(nil)
	l.ready(g)
	l.must(l.node.SetPolicy(l.ctx, "limit", `^tasks\.v1$`, map[string]any{"max-length": limit}))
	began := time.Now()
	load := l.start(traffic{Rate: 200, Work: 20 * time.Millisecond, To: []*service{g}})
	l.pause(5 * time.Second)
	full := l.timeline().between(began, time.Now())
	refused, accepted := full.told(problemQueueFull), full.of(Accepted)
	l.check(len(refused) > 0, "the fault had no effect: nobody was told that the queue is full")
	for _, a := range refused {
		l.check(a.Status == http.StatusTooManyRequests, "%s was answered %d and not 429", a.Client, a.Status)
	}
	l.fact("accepted by a queue of 300", len(accepted))
	l.check(len(accepted) <= limit+overshoot, "%d tasks were accepted, into a queue of %d", len(accepted), limit)

	l.ready(l.worker(nil))
	l.fact("202 again after a worker came", l.accepted())
	l.pause(2 * time.Second)
	load.stop()
	l.finish()
}

func queueDeleted(l *Lab) {
	g, w := l.pair(nil, nil)
	load := traffic{Rate: 150, Work: 50 * time.Millisecond, To: []*service{g}}
	before := l.start(load)
	l.pause(3 * time.Second)
	// No request is under way at the deletion: whether a task was accepted before or after it has to be certain.
	before.stop()
	l.must(l.node.DeleteQueue(l.ctx, task.QueueTasks))
	deleted := time.Now()
	l.start(load)
	l.pause(6 * time.Second)
	losses := l.metric(w, "worker_subscription_losses_total", `queue="`+task.QueueTasks+`"`)
	l.check(losses > 0, "the worker did not notice that its queue was deleted")
	after := l.timeline().between(deleted, time.Now())
	l.fact("refused", len(after.of(Refused)))
	again := after.of(Accepted).answered(deleted)
	l.fact("202 again after", again.Sub(deleted))
	l.check(!again.IsZero(), "nothing was accepted within 6 s of the deletion")
	l.within(again.Sub(deleted), acceptedWithin, "the next 202 after the deletion")
	// What was in the queue is gone with it, as it was told to be. What was accepted later is not.
	l.bound.deleted = make(map[string]bool)
	for _, client := range l.timeline().where(func(a Attempt) bool { return a.Started.Before(deleted) }).ids() {
		l.bound.deleted[client] = true
	}
	l.finish()
}

func brokerAbsent(l *Lab) {
	own, err := url.Parse(l.node.URL())
	l.must(err)
	own.User = url.UserPassword("chaos", "secret")
	g, w := l.gateway(nil), l.worker(nil)
	stranger := l.gateway(settings{"AMQP_URL": own.String()})
	l.requireAway(g)
	l.startBroker()
	took := l.ready(g, w)
	l.fact("ready after the broker's start", took)

	l.requireAway(stranger)
	l.ctl("add_user", "chaos", "secret")
	l.ctl("set_permissions", "chaos", ".*", ".*", ".*")
	l.fact("ready after the user was added", l.ready(stranger))
	l.requireAccepted(timeline{l.once(g), l.once(stranger)})

	// A queue that exists with other arguments is used as it is.
	l.quiet(quietWithin)
	l.drift(g, w)
	l.requireAccepted(timeline{l.once(g)})
	l.finish()
}

// drift stops the services, puts a queue in place of tasks.v1 that is not what they declare, and starts them again.
func (l *Lab) drift(g, w *service) {
	ctx, cancel := context.WithTimeout(l.ctx, l.opts.patient(startTimeout))
	defer cancel()
	for _, s := range append(l.gateways, l.workers...) {
		l.must(s.terminate(ctx))
	}
	l.must(l.node.DeleteQueue(ctx, task.QueueTasks))
	l.must(l.node.DeclareQueue(ctx, task.QueueTasks, map[string]any{"x-queue-type": "quorum", "x-delivery-limit": 7}))
	l.restart(g)
	l.restart(w)
	l.ready(g, w)
	drift := l.metric(g, "gateway_amqp_topology_drift", `name="`+task.QueueTasks+`"`)
	l.check(drift > 0, "the gateway does not notice that tasks.v1 has other arguments")
}

// requireAway checks what a gateway without a broker says.
func (l *Lab) requireAway(g *service) {
	for path, want := range map[string]int{"/livez": http.StatusOK, "/readyz": http.StatusServiceUnavailable} {
		status, _, err := g.get(l.ctx, path)
		l.must(err)
		l.check(status == want, "%s answers %d to %s without a broker", g.name, status, path)
	}
	a := l.once(g)
	l.check(a.Outcome == Refused && a.Problem == problemUnavailable, "%s answers without a broker: %+v", g.name, a)
	l.within(a.Elapsed, refusedWithin, "an answer without a broker")
}

// ctl runs rabbitmqctl.
func (l *Lab) ctl(args ...string) {
	_, err := l.node.Ctl(l.ctx, args...)
	l.must(err)
}
