package faults

import (
	"net/http"
	"slices"
	"time"

	"github.com/twinlane/twinlane/internal/rabbitmq/rabbittest"
	"github.com/twinlane/twinlane/internal/task"
)

func networkRows() []Row {
	return []Row{
		{
			Name:    "connections-reset",
			Fault:   "all connections are closed by the broker once, and reset three times amid surges of requests, six seconds apart",
			Promise: "202 again at most 5 s after each, within a second after the quickest",
			run:     connectionsReset,
		},
		{
			Name:    "network-dead",
			Fault:   "nothing reaches the broker for 20 s, then nothing comes back from it for 20 s",
			Promise: "every answer within the confirm timeout and a second, and at once when the loss is known",
			run:     networkDead,
		},
		{
			Name:    "confirms-lost",
			Fault:   "messages reach the broker and their confirms do not come back, four times",
			Promise: "published again under the same id, or 503 with the id",
			run:     confirmsLost,
		},
		{
			Name:    "keyed-retries",
			Fault:   "the same with clients that repeat a request under its `Idempotency-Key`, at either of two gateways",
			Promise: "every request is accepted in the end, under one id",
			run:     keyedRetries,
		},
		{
			Name:    "waits-broken",
			Fault:   "clients wait for results (`Prefer: wait=5`) while gateways lose their connections and a worker is killed",
			Promise: "200 with the true result, or 202; never a second longer than asked for",
			run:     waitsBroken,
		},
		{
			Name:    "network-slow",
			Fault:   "50 to 150 ms of latency each way, changing, and 40 stalls of up to 200 ms",
			Promise: "only 202, 99 % within 2 s",
			run:     networkSlow,
		},
	}
}

// behindProxies starts a gateway and a worker, each of them behind a proxy of its own.
func (l *Lab) behindProxies() (g, w *service, gp, wp *rabbittest.Proxy) {
	l.startBroker()
	gp, wp = l.proxy(), l.proxy()
	g, w = l.gateway(settings{"AMQP_URL": gp.URL()}), l.worker(settings{"AMQP_URL": wp.URL()})
	l.ready(g, w)
	return g, w, gp, wp
}

func connectionsReset(l *Lab) {
	g, w, gp, wp := l.behindProxies()
	load := l.start(traffic{Rate: 200, Work: 100 * time.Millisecond, To: []*service{g}})
	before := l.metric(g, "gateway_amqp_connects_total")
	reset := func() {
		l.surge(g)
		gp.Drop()
		wp.Drop()
	}
	breaks := []func(){func() { l.must(l.node.CloseAllConnections(l.ctx)) }, reset, reset, reset}
	var all []time.Duration
	for _, fault := range breaks[:l.times(len(breaks))] {
		// A connection that lasts for less than five seconds is dialed again with more patience.
		l.pause(5*time.Second + upTo(l.rand, time.Second))
		l.atFault(w)
		fault()
		took := l.accepted()
		l.fact("202 again after", took)
		all = append(all, took)
	}
	l.within(slices.Min(all), time.Second, "the soonest 202 after a reset")
	l.pause(2 * time.Second)
	load.stop()
	reconnects := l.metric(g, "gateway_amqp_connects_total") - before
	l.check(reconnects >= float64(l.times(len(breaks))), "the fault had no effect: the gateway has connected %v times", reconnects)
	e := l.finish()
	failed := len(e.Attempts) - len(timeline(e.Attempts).of(Accepted))
	l.fact("not accepted, in percent", 100*float64(failed)/float64(len(e.Attempts)))
}

// holeFor is how long nothing passes: longer than it takes to notice, which is 1.5 heartbeats.
const holeFor = 20 * time.Second

func networkDead(l *Lab) {
	g, w, gp, wp := l.behindProxies()
	l.start(traffic{Rate: 100, Work: 100 * time.Millisecond, To: []*service{g}})
	for direction, name := range []string{rabbittest.ToServer: "to the broker", rabbittest.ToClient: "from the broker"} {
		direction := rabbittest.Direction(direction)
		l.pause(2 * time.Second)
		l.atFault(w)
		down := time.Now()
		gp.Pause(direction)
		wp.Pause(direction)
		l.pause(holeFor)
		gp.Resume(direction)
		wp.Resume(direction)
		l.outage(down, time.Now(), confirmTimeout+answerMargin)
		// Those that were sent when the loss was known already.
		known := l.timeline().between(down.Add(confirmTimeout+answerMargin), down.Add(holeFor)).of(Refused)
		l.fact(name+": 99 % refused within", known.percentile(99))
		l.check(len(known) > 0, "%s: nothing was refused once the loss was known", name)
		l.within(known.percentile(99), refusedWithin, name+": 99 % of the refusals")
	}
	l.within(l.timeline().percentile(100), confirmTimeout+answerMargin, "the slowest answer")
	l.pause(2 * time.Second)
	l.finish()
}

func confirmsLost(l *Lab) {
	g, _, gp, _ := l.behindProxies()
	l.start(traffic{Rate: 150, Work: 50 * time.Millisecond, To: []*service{g}})
	l.loseConfirms(gp, l.times(4))
	l.finish()
	republished := l.republished(g)
	l.fact("published again", republished)
	l.check(republished+l.counters.Unknown > 0, "the fault had no effect: no confirm was lost")
}

// loseConfirms lets messages reach the broker whose confirms never come back.
func (l *Lab) loseConfirms(p *rabbittest.Proxy, times int) {
	for range times {
		l.pause(time.Second + upTo(l.rand, time.Second))
		p.Pause(rabbittest.ToClient)
		l.pause(300 * time.Millisecond)
		p.Drop()
		p.Resume(rabbittest.ToClient)
	}
	l.pause(2 * time.Second)
}

func keyedRetries(l *Lab) {
	l.startBroker()
	p := l.proxy()
	through := settings{"AMQP_URL": p.URL()}
	a, b := l.gateway(through), l.gateway(through)
	l.ready(a, b, l.worker(nil))
	l.start(traffic{Rate: 100, Work: 50 * time.Millisecond, To: []*service{a, b}, Keyed: true})
	l.loseConfirms(p, 3)
	// Long enough for a publish to be given up.
	p.Pause(rabbittest.ToClient)
	l.pause(confirmTimeout + 2*time.Second)
	p.Drop()
	p.Resume(rabbittest.ToClient)
	l.pause(3 * time.Second)
	e := l.finish()
	repeated := timeline(e.Attempts).where(func(a Attempt) bool { return a.Repeated > 0 && a.Outcome == Accepted })
	l.fact("accepted after a repetition", len(repeated))
	l.check(len(repeated) > 0, "the fault had no effect: no request was repeated")
	l.requireAccepted(e.Attempts)
}

func waitsBroken(l *Lab) {
	const wait = 5 * time.Second
	g, w, gp, _ := l.behindProxies()
	prefer := map[string]string{"Prefer": "wait=5"}
	load := l.start(traffic{Rate: 60, Work: 300 * time.Millisecond, To: []*service{g}, Headers: prefer, Shape: func(n int, p *payload, _ *task.Request) {
		if n%20 == 0 { // lasts longer than its client waits
			p.WorkMS = int((wait + time.Second).Milliseconds())
		}
	}})
	for range 3 {
		l.pause(3*time.Second + upTo(l.rand, time.Second))
		l.atFault(w)
		gp.Drop()
		l.pause(time.Second)
		l.atFault(w)
		w.kill()
		l.restart(w)
	}
	l.pause(2 * time.Second)
	load.stop()
	e := l.finish()
	results := timeline(e.Attempts).where(func(a Attempt) bool { return a.Final != "" })
	l.fact("answered with a result", len(results))
	l.fact("half of these within", results.percentile(50))
	l.check(len(results) > len(e.Attempts)/2, "only %d of %d requests were answered with a result", len(results), len(e.Attempts))
	l.check(l.counters.Accepted < l.counters.Attempted, "the fault had no effect: everything was accepted")
	expired := timeline(e.Attempts).where(func(a Attempt) bool { return a.Status == http.StatusAccepted && a.Elapsed >= wait })
	l.fact("202 when the wait was over", len(expired))
	l.check(len(expired) > 0, "no client has waited in vain for as long as it asked for")
	l.within(timeline(e.Attempts).percentile(100), wait+answerMargin, "the slowest answer")
}

func networkSlow(l *Lab) {
	g, _, gp, wp := l.behindProxies()
	l.start(traffic{Rate: 100, Work: 50 * time.Millisecond, To: []*service{g}})
	l.pause(time.Second)
	began := time.Now()
	for range 40 {
		for _, p := range []*rabbittest.Proxy{gp, wp} {
			p.SetLatency(50*time.Millisecond + upTo(l.rand, 100*time.Millisecond))
			p.Pause()
		}
		l.pause(upTo(l.rand, 200*time.Millisecond))
		gp.Resume()
		wp.Resume()
		l.pause(200*time.Millisecond + upTo(l.rand, 200*time.Millisecond))
	}
	ended := time.Now()
	gp.SetLatency(0)
	wp.SetLatency(0)
	l.finish()
	slow := l.timeline().between(began, ended)
	l.requireAccepted(l.timeline())
	l.fact("p50", slow.percentile(50))
	l.fact("p99", slow.percentile(99))
	l.check(slow.percentile(50) > 100*time.Millisecond, "the fault had no effect: half of the answers came within %s", slow.percentile(50))
	l.within(slow.percentile(99), 2*time.Second, "99 % of the answers")
}
