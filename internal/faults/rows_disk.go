package faults

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/twinlane/twinlane/internal/rabbitmq/rabbittest"
	"github.com/twinlane/twinlane/internal/task"
)

// powerCut cuts the power of the broker's disk while tasks are being accepted, and lets a worker in only when the power
// is back: whatever was accepted then has to come off that disk.
//
// Its own control is the results stream, which RabbitMQ does not fsync: where that is complete as well, the cut took
// nothing away and the row proves nothing.
func powerCut(l *Lab) {
	d := l.disk()
	defer l.closeDisk(d)
	l.replaceNode(rabbittest.Settings{Dir: filepath.Join(d.mount, "broker")})
	l.startBroker()
	g := l.gateway(nil)
	l.ready(g)
	l.must(l.node.SyncQueues(l.ctx))
	l.must(d.sync(l.ctx)) // the queues are older than the power cut

	load := l.start(traffic{Rate: 250, Work: 20 * time.Millisecond, Keyed: true, To: []*service{g}})
	l.pause(4*time.Second + upTo(l.rand, time.Second))
	l.must(l.node.Pause())
	receipts := len(l.timeline().of(Accepted))
	l.must(d.cut(l.ctx))
	settings := rabbittest.Settings{Dir: filepath.Join(d.mount, "broker"), Ports: l.node.Ports()}
	l.node.Close()
	load.stop()
	l.must(d.restore(l.ctx))
	l.replaceNode(settings)
	l.fact("broker boots in", l.startBroker())

	kept, err := l.receiptsKept()
	if err != nil { // as after some power cuts; docs/reliability.md says what an operator does then
		l.fact("results stream", "unreadable, deleted")
		l.must(l.node.DeleteQueue(l.ctx, task.QueueResults))
	}
	l.fact("receipts lost, which nothing protects", receipts-kept)
	l.check(kept < receipts, "the fault had no effect: all %d receipts are there, which nobody had flushed", receipts)
	l.ready(g, l.worker(nil))
	l.finish()
}

// disk makes a disk.
func (l *Lab) disk() *disk {
	d, err := newDisk(l.ctx, l.dir)
	l.must(err)
	return d
}

// closeDisk ends the broker, which is on the disk, and takes the disk away.
func (l *Lab) closeDisk(d *disk) {
	l.node.Close()
	if err := d.close(); err != nil {
		l.violate("%v", err)
	}
}

// replaceNode puts another broker into the lab in the place of its own.
func (l *Lab) replaceNode(s rabbittest.Settings) {
	l.node.Close()
	node, err := rabbittest.NewNode(s)
	l.must(err)
	l.node = node
}

// receiptsKept counts the acceptances in the results stream.
func (l *Lab) receiptsKept() (kept int, err error) {
	ctx, cancel := context.WithTimeout(l.ctx, 15*time.Second)
	defer cancel()
	var messages []rabbittest.Message
	err = poll(ctx, time.Second, func() (err error) { // it takes a moment to be there
		messages, err = l.node.ReadStream(ctx, task.QueueResults, task.MessageTypeMarker)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("read receipts: %w", errors.Join(err, ctx.Err()))
	}
	for _, m := range messages {
		if m.Type == task.MessageTypeAccepted {
			kept++
		}
	}
	return kept, nil
}

// diskFull leaves the broker less of its disk than it wants to have free, and gives the room back later.
//
// It stops short of the last byte: RabbitMQ 3.10 whose disk has none left ends its queues, and does not always get them
// back when it is started again.
func diskFull(l *Lab) {
	const left = 25 << 20 // half of the broker's limit
	d := l.disk()
	defer l.closeDisk(d)
	l.replaceNode(rabbittest.Settings{Dir: filepath.Join(d.mount, "broker")})
	g, w := l.pair(nil, nil)
	l.start(traffic{Rate: 100, Work: 50 * time.Millisecond, To: []*service{g}})
	l.pause(2*time.Second + upTo(l.rand, time.Second))
	l.atFault(w)
	full := time.Now()
	l.must(d.fill(l.ctx, left))
	l.fact("noticed after", l.answer(full, "that the disk is full", func(a Attempt) bool { return a.Problem == problemBlocked }))
	l.pause(3 * time.Second)
	free := time.Now()
	l.must(d.empty())
	l.fact("202 again after", l.answer(free, "202", func(a Attempt) bool { return a.Outcome == Accepted }))
	l.pause(2 * time.Second)
	l.finish()
}

// answer waits until a request that was sent after a moment is answered as it should be, and returns how long after the
// moment that was. The broker looks at its disk once in ten seconds at least.
func (l *Lab) answer(after time.Time, what string, is func(Attempt) bool) time.Duration {
	const looks = 10 * time.Second
	var at time.Time
	l.await(looks+acceptedWithin, func() error {
		if at = l.timeline().between(after, time.Now()).where(is).answered(after); at.IsZero() {
			return fmt.Errorf("nobody has been told %s for %s", what, time.Since(after))
		}
		return nil
	})
	return at.Sub(after)
}
