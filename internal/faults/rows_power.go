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
	d, err := newDisk(l.ctx, l.dir)
	l.must(err)
	defer func() {
		l.node.Close()
		if err := d.close(); err != nil {
			l.violate("%v", err)
		}
	}()
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
