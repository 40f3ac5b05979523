package faults

import (
	"fmt"
	"strconv"
	"time"
)

// What a client may expect while the broker has raised an alarm.
const (
	blockedWithin = 100 * time.Millisecond // 99 % of the answers
	blockedShare  = 95                     // how many of them in percent say that the broker blocks
	// The broker says that it blocks a connection when it has read the next publish on it. What is under way until then
	// is answered when the confirm stays away, at most caughtMost requests.
	caughtMost = 10
)

// alarmedWork is how many tasks the worker does at once.
const alarmedWork = 20

func brokerAlarmed(l *Lab) {
	g, w := l.pair(nil, settings{"CONCURRENCY": strconv.Itoa(alarmedWork)})
	// Work that lasts longer than it takes to raise an alarm.
	l.start(traffic{Rate: 1000, Count: 120, Work: 3 * time.Second, To: []*service{g}}).wait()
	l.start(traffic{Rate: 60, Work: 100 * time.Millisecond, To: []*service{g}})
	l.pause(time.Second)
	alarms := []alarm{
		l.alarm("memory", func(on bool) { l.must(l.node.SetMemoryAlarm(l.ctx, on)) }),
		l.alarm("disk", func(on bool) {
			limit := "50MB"
			if on {
				limit = "900000GB"
			}
			l.ctl("set_disk_free_limit", limit)
		}),
	}
	l.pause(2 * time.Second)
	l.atFault(w)
	l.finish()
	for _, a := range alarms { // when the slowest answer is there as well
		l.checkAlarm(a, l.timeline().between(a.raised, a.cleared))
	}
}

// alarm is one that was up for a while.
type alarm struct {
	kind            string
	raised, cleared time.Time // the last moment before either
}

// alarm raises an alarm for a while and checks that work goes on.
func (l *Lab) alarm(kind string, set func(on bool)) alarm {
	a := alarm{kind: kind, raised: time.Now()}
	set(true)
	done := l.target.completions()
	l.pause(7 * time.Second)
	all := l.target.completions()
	a.cleared = time.Now()
	set(false)
	l.fact("tasks done meanwhile", all-done)
	l.check(all > done, "no task was done during the %s alarm", kind)
	l.fact("202 again after", l.accepted())
	l.fact("work again after", l.await(quietWithin, func() error { // and in hand at the next alarm
		if now := l.target.completions(); now < all+alarmedWork {
			return fmt.Errorf("%d tasks are done since the alarm was cleared", now-all)
		}
		return nil
	}))
	return a
}

// checkAlarm checks how everybody was answered whose request was sent between the raising and the clearing.
func (l *Lab) checkAlarm(a alarm, sent timeline) {
	said := sent.told(problemBlocked).answered(a.raised)
	if said.IsZero() {
		l.violate("the fault had no effect: nobody was told of the %s alarm", a.kind)
		return
	}
	caught := sent.where(func(a Attempt) bool {
		return a.Started.Before(said) && a.Problem != problemBlocked && (a.Outcome != Accepted || a.Elapsed > blockedWithin)
	})
	l.fact("under way at the alarm", len(caught))
	l.check(len(caught) <= caughtMost, "%d requests were under way when the %s alarm was raised", len(caught), a.kind)
	later := sent.where(func(a Attempt) bool { return !a.Started.Before(said) })
	blocked := later.told(problemBlocked)
	l.check(len(later) > 0 && 100*len(blocked) >= blockedShare*len(later),
		"%d of %d answers during the %s alarm say that the broker blocks", len(blocked), len(later), a.kind)
	p99 := later.percentile(99)
	l.fact("99 % answered within", p99)
	l.within(p99, blockedWithin, "99 % of the answers during the "+a.kind+" alarm")
}
