package consumer

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/service"
)

// errResultsLost is why a result is not even published.
var errResultsLost = errors.New("results are being lost")

// Results is where the lanes of a worker tell how their tasks ended. They share
// what they know of it: once one of them has given a result up, all do, until a
// result is confirmed again. Meanwhile one result at a time is published, to see
// whether that is so: a stream that confirms nothing takes each as long as a
// confirm may take. Either change raises the recovery of their publisher, and so
// does a result that is confirmed after one was not: all of them go to the same
// stream, so whoever waits with one learns that the wait is over.
type Results struct {
	publisher publisher
	logger    *slog.Logger

	failing atomic.Bool // one was not confirmed, and none has been since
	lost    atomic.Bool // one was given up, and none has been confirmed since
	trying  atomic.Bool // a result is being published while they are lost
}

// NewResults returns what tells results through pub, which should publish
// nothing else: what holds a result up holds up whatever shares its connection.
// A nil logger discards.
func NewResults(pub publisher, logger *slog.Logger) *Results {
	return &Results{publisher: pub, logger: service.OrDiscard(logger).With("component", "results")}
}

// Publish returns nil when the broker has confirmed the result, and
// errResultsLost, at once, where it was not published.
func (r *Results) Publish(ctx context.Context, m rabbitmq.Message) error {
	if r.lost.Load() {
		if !r.trying.CompareAndSwap(false, true) {
			return errResultsLost
		}
		defer r.trying.Store(false)
	}
	if err := r.publisher.Publish(ctx, m); err != nil {
		r.failing.Store(true)
		return err //nolint:wrapcheck // It is the publisher's word.
	}
	if r.lost.Load() && r.lost.CompareAndSwap(true, false) {
		r.logger.Info("results are told again")
	}
	if r.failing.Load() && r.failing.CompareAndSwap(true, false) {
		r.Recovery().Raise()
	}
	return nil
}

// Recovery is that of their publisher.
func (r *Results) Recovery() *service.Signal { return r.publisher.Recovery() }

// areLost reports whether it is not worth insisting on a result.
func (r *Results) areLost() bool { return r.lost.Load() }

// giveUp notes that a result was insisted on for as long as it is worth.
func (r *Results) giveUp(why error) {
	if r.lost.CompareAndSwap(false, true) {
		r.logger.Error("results are being lost, their tasks are settled without them", "err", why)
		r.Recovery().Raise()
	}
}
