package rabbitmq

import (
	"context"
	"time"
)

// renewAfter is how long a consumer is idle until it subscribes anew.
const renewAfter = time.Minute

// renew ends an idle consumer, which makes the Subscription subscribe again,
// unless ctx ends before. RabbitMQ 3.10 can forget a consumer: of a queue that is
// deleted and declared again within a few milliseconds it tells nobody, and what
// it sends from the second reaches no one who consumed from the first. Nothing
// but the silence tells that from a queue without messages.
//
// Idle is who has been handed nothing for a while and has settled everything, so
// that there is nothing that a renewal could have delivered twice.
func (s *subscribed) renew(ctx context.Context, after time.Duration) {
	tick := time.NewTicker(after)
	defer tick.Stop()
	for before := s.delivered.Load(); ; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		now := s.delivered.Load()
		if now == before && s.unsettled.Load() == 0 {
			s.end(ctx)
			return
		}
		before = now
	}
}

// end ends the consumer, as the broker does when its queue is deleted: what was
// handed over can still be settled. A stop meanwhile does not cost the
// connection, on which others have deliveries to settle.
func (s *subscribed) end(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.timeout)
	defer cancel()
	s.ended.Store(true)
	_ = s.session.call(ctx, func() error { return s.ch.Cancel(s.tag, false) }) // an error only says that it is closed
}
