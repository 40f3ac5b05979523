package faults

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/twinlane/twinlane/internal/task"
)

func workerRows() []Row {
	return []Row{
		{
			Name:    "worker-killed",
			Fault:   "one of two workers is killed at a random moment, 20 times",
			Promise: "no more tasks run twice than the workers had in hand",
			run:     workerKilled,
		},
		{
			Name:    "backlog",
			Fault:   "a backlog is worked off by two workers that are killed at random moments",
			Promise: "as above",
			run:     backlog,
		},
		{
			Name:    "poison",
			Fault:   "messages that are no tasks; tasks that fail for good, panic, hang and end the worker's process",
			Promise: "one dead letter each, with its reason (of a task that ends workers, one or more); their neighbours are completed",
			run:     poisonTasks,
		},
		{
			Name:    "transient",
			Fault:   "30 % of the tasks fail once or twice, some always",
			Promise: "never more attempts than allowed, none sooner than its step",
			run:     transientFailures,
		},
		{
			Name:    "overload",
			Fault:   "ten times as many requests as the worker can do, into a queue of 100",
			Promise: "90 % of the capacity is used, 99 % of the refusals within 100 ms, memory stays flat",
			run:     overload,
		},
		{
			Name:    "replay-killed",
			Fault:   "`worker dlq replay` is killed midway, four times",
			Promise: "every letter is in the dead-letter queue or its task is completed",
			run:     replayKilled,
		},
	}
}

func workerKilled(l *Lab) {
	g, w := l.pair(nil, nil)
	workers := []*service{w, l.worker(nil)}
	l.ready(workers...)
	l.start(traffic{Rate: 100, Work: 300 * time.Millisecond, To: []*service{g}})
	l.pause(time.Second)
	kills, working := l.times(20), 0
	for range kills {
		l.pause(200*time.Millisecond + upTo(l.rand, time.Second))
		victim := workers[l.rand.IntN(len(workers))]
		working += l.inHand(victim)
		victim.kill()
		l.restart(victim)
	}
	l.bound.duplicates += working
	l.fact("in hand at the kills", working)
	l.check(working >= kills, "the fault had no effect: workers had %d tasks in hand at %d kills", working, kills)
	l.finish()
}

func backlog(l *Lab) {
	l.startBroker()
	g := l.gateway(nil)
	l.ready(g)
	l.start(traffic{Rate: 600, Count: l.opts.Backlog, Work: 200 * time.Millisecond, To: []*service{g}}).wait()
	waiting, err := l.node.Ready(l.ctx, task.QueueTasks)
	l.must(err)
	l.fact("tasks waiting", waiting)
	began := time.Now()
	few := settings{"CONCURRENCY": "50"}
	workers := []*service{l.worker(few), l.worker(few)}
	l.ready(workers...)
	kills := 0
	for l.target.completions() < l.opts.Backlog*9/10 {
		l.pause(200*time.Millisecond + upTo(l.rand, time.Second))
		victim := workers[l.rand.IntN(len(workers))]
		l.bound.duplicates += l.inHand(victim)
		victim.kill()
		l.restart(victim)
		kills++
	}
	l.fact("kills", kills)
	l.check(kills > 0 && waiting > l.opts.Backlog/2, "the fault had no effect: %d kills, %d of %d tasks waiting", kills, waiting, l.opts.Backlog)
	l.quiet(quietWithin + time.Duration(l.opts.Backlog)*5*time.Millisecond)
	l.fact("done in", time.Since(began))
	l.finish()
}

// poison is tasks that harm whoever runs them, and what becomes of them.
type poison struct {
	fail   task.FailKind
	reason task.Reason
}

func poisonTasks(l *Lab) {
	const concurrency = 20
	g, w := l.pair(nil, settings{"CONCURRENCY": strconv.Itoa(concurrency), "TASK_TIMEOUT": "2s", "MAX_ATTEMPTS": "2"})
	restarts := l.keep(l.ctx, w)
	l.start(traffic{Rate: 40, Work: 300 * time.Millisecond, To: []*service{g}})
	want := make(map[string]task.Reason)
	for i, body := range []string{"", "{", "no json", `{"id":"x"}`, "\xff\xfe", `[1]`} {
		id := fmt.Sprintf("planted-%d", i)
		want[id] = task.ReasonUndecodable
		l.plant(id, body)
	}
	l.poison(g, 4, want, poison{task.FailPanic, task.ReasonPanic}, poison{task.FailPermanent, task.ReasonPermanent},
		poison{task.FailHang, task.ReasonExhausted})
	// Their letters are all there before workers crash, which can make two of one.
	l.letters(len(want))
	l.poison(g, 2, want, poison{task.FailExit, task.ReasonDeliveryLimit})
	l.letters(len(want))
	l.fact("workers that exited", restarts())
	l.check(restarts() > 0, "the fault had no effect: no worker exited")
	l.bound.duplicates += restarts() * (concurrency + 2)
	e := l.finish()
	letters := make(map[string][]task.Reason)
	for _, letter := range e.Letters {
		client := letter.Client
		if client == "" {
			client = letter.TaskID
		}
		letters[client] = append(letters[client], letter.Reason)
	}
	for client, reason := range want {
		got := letters[client]
		if reason == task.ReasonDeliveryLimit { // it can end the worker between its own publication to another queue and the ack
			got = slices.Compact(got)
		}
		l.check(slices.Equal(got, []task.Reason{reason}), "%s has the dead letters %v and should have one, %s", client, got, reason)
	}
	l.check(len(letters) == len(want), "%d tasks are dead, %d were poison", len(letters), len(want))
}

// letters waits until there are as many dead letters.
func (l *Lab) letters(n int) {
	l.await(time.Minute, func() error {
		ready, err := l.node.Ready(l.ctx, task.QueueDeadLetter)
		if err == nil && ready < n {
			err = fmt.Errorf("%d of %d dead letters are there", ready, n)
		}
		return err
	})
}

// poison hands in n tasks of each kind, and books how they have to die.
func (l *Lab) poison(g *service, n int, want map[string]task.Reason, kinds ...poison) {
	l.start(traffic{Rate: 20, Count: n * len(kinds), To: []*service{g}, Shape: func(i int, p *payload, r *task.Request) {
		kind := kinds[i%len(kinds)]
		r.Fail = &task.Fail{Kind: kind.fail}
		want[p.Client] = kind.reason
	}}).wait()
}

func transientFailures(l *Lab) {
	const attempts = 3
	g, _ := l.pair(nil, settings{"MAX_ATTEMPTS": strconv.Itoa(attempts)})
	failing, hopeless := 0, make(map[string]bool)
	l.start(traffic{Rate: 80, Count: 600, Work: 50 * time.Millisecond, To: []*service{g}, Shape: func(n int, p *payload, _ *task.Request) {
		if n%10 >= 3 {
			return
		}
		failing++
		p.Fail, p.FailStatus = 1+n%2, 503
		if n%50 == 0 {
			p.Fail = attempts
			hopeless[p.Client] = true
		}
	}}).wait()
	e := l.finish()
	l.fact("tasks that failed", failing)
	steps := []time.Duration{time.Second, 5 * time.Second, 30 * time.Second}
	soonest := time.Hour
	for client, x := range e.Executions {
		l.check(len(x.Begun) <= attempts, "%s was attempted %d times", client, len(x.Begun))
		for i := 1; i < len(x.Begun); i++ {
			wait := x.Begun[i].Sub(x.Begun[i-1])
			soonest = min(soonest, wait)
			l.check(wait >= steps[min(i, len(steps))-1], "attempt %d of %s came after %s", i+1, client, wait)
		}
	}
	l.fact("soonest repetition after", soonest)
	for _, letter := range e.Letters {
		l.check(hopeless[letter.Client] && letter.Reason == task.ReasonExhausted, "%s is dead: %s", letter.Client, letter.Reason)
	}
	l.check(len(e.Letters) == len(hopeless), "%d tasks are dead, %d never succeed", len(e.Letters), len(hopeless))
}

func overload(l *Lab) {
	const capacity = 53 // 8 tasks at once, 150 ms each on average
	g, w := l.pair(nil, settings{"CONCURRENCY": "8"})
	l.must(l.node.SetPolicy(l.ctx, "limit", `^tasks\.v1$`, map[string]any{"max-length": 100}))
	measure := func(rate float64, span time.Duration) (goodput float64, t timeline) {
		load := l.start(traffic{Rate: rate, Work: 200 * time.Millisecond, To: []*service{g}})
		l.pause(4 * time.Second)
		began, done := time.Now(), l.target.completions()
		l.pause(span)
		goodput = float64(l.target.completions()-done) / time.Since(began).Seconds()
		t = l.timeline().between(began, time.Now())
		load.stop()
		return goodput, t
	}
	able, _ := measure(1.5*capacity, 6*time.Second)
	gatewayBefore, workerBefore := l.memory(g), l.memory(w)
	goodput, overloaded := measure(10*capacity, 10*time.Second)
	refused := overloaded.of(Refused)
	l.check(len(refused) > len(overloaded)/2, "the fault had no effect: %d of %d were refused", len(refused), len(overloaded))
	l.fact("capacity in tasks/s", able)
	l.fact("goodput at ten times that", goodput)
	l.fact("99 % refused within", refused.percentile(99))
	l.fact("gateway grew by MiB", l.memory(g)-gatewayBefore)
	l.fact("worker grew by MiB", l.memory(w)-workerBefore)
	l.check(goodput >= 0.9*able, "%.1f tasks/s were done under overload, %.1f before", goodput, able)
	l.within(refused.percentile(99), 100*time.Millisecond, "99 % of the refusals")
	l.check(l.memory(g)-gatewayBefore < flatMiB && l.memory(w)-workerBefore < flatMiB, "memory grows under overload")
	l.finish()
}

// flatMiB is how much a process may grow under overload: no more than its heap breathes.
const flatMiB = 24

// memory is the resident memory of a process in MiB.
func (l *Lab) memory(s *service) float64 {
	return l.metric(s, "process_resident_memory_bytes") / (1 << 20)
}

func replayKilled(l *Lab) {
	g, w := l.pair(nil, nil)
	const letters = 300
	l.start(traffic{Rate: 150, Count: letters, Work: 10 * time.Millisecond, To: []*service{g}, Shape: func(_ int, p *payload, _ *task.Request) {
		p.Fail, p.FailStatus = 1, 400 // dies at once, and succeeds when it is replayed
	}}).wait()
	l.letters(len(l.timeline().of(Accepted)))
	midway := 0
	for range 4 {
		if l.replay(w, "100", 200*time.Millisecond+upTo(l.rand, 500*time.Millisecond)) {
			midway++
			l.bound.duplicates++ // a letter that was published and not taken out of the queue yet
		}
	}
	left, err := l.node.Ready(l.ctx, task.QueueDeadLetter)
	l.must(err)
	l.fact("kills", midway)
	l.fact("letters left then", left)
	l.check(midway > 0 && left > 0 && left < letters, "the fault had no effect: %d kills, %d of %d letters left", midway, left, letters)
	l.check(!l.replay(w, "1000", time.Minute), "the last replay did not end by itself")
	l.finish()
	l.check(l.counters.Completed == l.counters.Accepted, "%d of %d tasks are completed after the replay", l.counters.Completed, l.counters.Accepted)
}

// replay runs `worker dlq replay` and kills it after a while, unless it has ended. It returns whether it was killed.
func (l *Lab) replay(w *service, rate string, after time.Duration) (killed bool) {
	tool := &service{binary: w.binary, args: []string{"dlq", "replay", "--all", "--rate", rate}, set: settings{"AMQP_URL": l.node.URL()}}
	p, err := startTool(tool, io.Discard)
	l.must(err)
	defer p.Kill()
	deadline := time.NewTimer(after)
	defer deadline.Stop()
	select {
	case <-p.Done():
		l.check(p.State().Success(), "worker dlq replay: %s", p.State())
		return false
	case <-deadline.C:
		l.must(p.Signal(syscall.SIGKILL))
		return true
	}
}
