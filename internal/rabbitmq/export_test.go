package rabbitmq

import "time"

// RenewAfter makes an idle consumer subscribe anew after d.
func (s *Subscription) RenewAfter(d time.Duration) { s.renewAfter = d }

// AckWithin makes a reader tell the broker what it has read after d at most.
func (r *StreamReader) AckWithin(d time.Duration) { r.ackWithin = d }
