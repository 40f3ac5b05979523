package outcomes

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/service"
	"github.com/twinlane/twinlane/internal/task"
)

// reader is a *rabbitmq.StreamReader, or a fake.
type reader interface {
	// Run reads until ctx ends, all on one goroutine.
	Run(ctx context.Context, h rabbitmq.StreamHandler) error
	// StartOver asks Run to read again what it has read. It does not block.
	StartOver()
}

// publisher is a *rabbitmq.Publisher, or a fake. It returns nil for a message
// that the broker has confirmed.
type publisher interface {
	Publish(ctx context.Context, m rabbitmq.Message) error
}

const (
	// markEvery is how often a marker is written. A gateway that starts later
	// knows by the first message it gets how far back the stream reaches, and an
	// idle stream would not tell.
	markEvery = time.Minute
	// markPause is the pause after a marker that was not confirmed: a stream is
	// away for a moment after its broker has started.
	markPause = 250 * time.Millisecond
	// silence is how long nothing comes, although a marker is in the stream,
	// until reading starts over.
	silence = 10 * time.Second
	// laterMarker ends the ids of the markers that come after the first.
	laterMarker = ".later"
)

// Follower keeps an index up with the results stream. Whenever reading begins
// it writes a marker into the stream; once that is read, everything that was in
// the stream before is known.
type Follower struct {
	index     *Index
	reader    reader
	publisher publisher
	logger    *slog.Logger

	known   atomic.Bool   // caught up once
	ready   atomic.Bool   // likewise, or it goes without
	read    atomic.Int64  // messages
	marks   atomic.Int64  // own markers among them
	reached atomic.Uint32 // the place in the stream, as position has it
}

// NewFollower returns a follower that keeps index up while Run runs. Nothing
// else may feed index then.
func NewFollower(index *Index, r reader, p publisher, logger *slog.Logger) *Follower {
	return &Follower{
		index: index, reader: r, publisher: p,
		logger: service.OrDiscard(logger).With("component", "outcomes"),
	}
}

// Run reads until ctx ends.
func (f *Follower) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		f.watch(ctx)
		return nil
	})
	g.Go(func() error {
		h := &handler{Follower: f, stop: func() {}}
		h.start = func(marker string) context.CancelFunc {
			own, stop := context.WithCancel(ctx)
			g.Go(func() error {
				f.mark(own, marker)
				return nil
			})
			return stop
		}
		return f.reader.Run(ctx, h)
	})
	return g.Wait()
}

// Ready returns nil once everything in the stream has been read for the first
// time, and ever after: an index that fell behind still answers for all that it
// holds, and says so where it does not. It also does so once nothing has been
// read for a while, as a stream that cannot be read keeps no task from being
// accepted. Before that it says how far it is.
func (f *Follower) Ready() error {
	if f.ready.Load() {
		return nil
	}
	return f.Known()
}

// Known returns nil once everything in the stream has been read for the first
// time. Before that it says how far it is.
func (f *Follower) Known() error {
	if f.known.Load() {
		return nil
	}
	read := f.read.Load()
	if read == 0 {
		return fmt.Errorf("results not known yet: nothing read in %s", f.index.behindFor().Round(time.Second))
	}
	return fmt.Errorf("results not known yet: %d messages read in %s, up to %s",
		read, f.index.behindFor().Round(time.Second), seconds(f.reached.Load()).UTC().Format(time.RFC3339))
}

// CaughtUp reports whether everything that was in the stream when reading began
// last has been read, and what is written since comes back.
func (f *Follower) CaughtUp() bool { return f.index.caughtUp.Load() }

// mark writes the marker into the stream until it is confirmed, and later ones
// again and again. When nothing comes back it has reading start over.
func (f *Follower) mark(ctx context.Context, marker string) {
	for id := marker; ctx.Err() == nil; {
		before := f.read.Load()
		err := f.publisher.Publish(ctx, rabbitmq.MarkerMessage(id, time.Now()))
		if err != nil {
			f.index.metrics.markers.Inc()
			f.logger.DebugContext(ctx, "marker not confirmed, trying again", "err", err)
			wait(ctx, markPause)
			continue
		}
		wait(ctx, silence)
		if ctx.Err() == nil && f.read.Load() == before {
			f.startOver("nothing comes")
		}
		wait(ctx, markEvery-silence)
		id = marker + laterMarker
	}
}

// startOver has reading start over where it is found that not everything comes:
// the stream was replaced by another, and reading went on at the old offset.
func (f *Follower) startOver(why string) {
	f.index.metrics.restarts.Inc()
	f.logger.Warn("reading of the results stream starts over", "reason", why)
	f.reader.StartOver()
}

// wait returns after d, or when ctx ends.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// handler is told by the reader, on its goroutine.
type handler struct {
	*Follower
	start  func(marker string) (stop context.CancelFunc) // begins to mark, and does not block
	stop   context.CancelFunc
	marker string // of this subscription
	whole  bool   // it was read: no message of this subscription was left out
}

// Subscribed implements rabbitmq.StreamHandler.
func (h *handler) Subscribed() {
	h.stop()
	h.marker, h.whole = uuid.NewString(), false
	h.stop = h.start(h.marker)
}

// Lost implements rabbitmq.StreamHandler.
func (h *handler) Lost() {
	h.stop()
	h.marker = ""
	h.index.setCaughtUp(false)
}

// Read implements rabbitmq.StreamHandler.
func (h *handler) Read(m rabbitmq.StreamMessage) {
	h.index.Read(m)
	h.reached.Store(h.index.position.written)
	h.read.Add(1)
	if m.Type != task.MessageTypeMarker {
		return
	}
	switch m.ID {
	case h.marker:
		h.whole = true
		h.catchUp()
	case h.marker + laterMarker:
		if !h.whole {
			h.startOver("a marker did not come")
			return
		}
		h.catchUp()
	}
}

// catchUp notes an own marker: everything before it has been read.
func (h *handler) catchUp() {
	h.marks.Add(1)
	if h.CaughtUp() {
		return
	}
	h.logger.Info("results known", "messages", h.read.Load(), "behind", h.index.behindFor().Round(time.Millisecond).String())
	h.index.position.fresh()
	h.index.setCaughtUp(true)
	h.known.Store(true)
	h.ready.Store(true)
}
