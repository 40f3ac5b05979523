package rabbitmq

import (
	"errors"
	"fmt"

	"github.com/twinlane/twinlane/internal/service"
)

// Ready returns nil when a publish has a channel to go out on, or why it has
// none: ErrBlocked or ErrUnavailable.
func (p *Publisher) Ready() error {
	if err := p.connected(); err != nil {
		return err
	}
	if p.pool != nil && p.open.Load() == 0 {
		return fmt.Errorf("%w: no channel is open", ErrUnavailable)
	}
	return nil
}

// connected returns nil when one of the connections takes publishes.
func (p *Publisher) connected() error {
	if p.stopping.Load() {
		return fmt.Errorf("%w: %w", ErrUnavailable, service.ErrStopping)
	}
	why := ErrUnavailable
	for _, c := range p.conns {
		err := c.Ready()
		if err == nil {
			return nil
		}
		if errors.Is(err, ErrBlocked) {
			why = err
		}
	}
	return why
}

// Recovery is raised when it is worth while to publish again what has failed:
// when there is a channel again, and when the broker's alarm is over. It is
// raised for every channel, and may be once too often. Whoever knows of another
// reason raises it as well.
func (p *Publisher) Recovery() *service.Signal { return &p.recovery }

// recovered is called where what made a publish fail may be over.
func (p *Publisher) recovered() {
	if p.Ready() == nil {
		p.recovery.Raise()
	}
}
