package consumer

import (
	"math/rand/v2"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const (
	// suspectFrom is the delivery count from which a message is under suspicion
	// of crashing workers.
	suspectFrom = 2
	// suspectStep is by how much each further delivery widens the wait.
	suspectStep = 2 * time.Second
)

// suspectWait is how long to hold a delivery back before its task starts.
//
// A task that ends the process takes all others down that were delivered with
// it, and all of them come back together: nothing tells the culprit from its
// neighbours, and started together again they would reach the broker's
// delivery limit together. Starts that are spread at random let about half of
// the neighbours finish before the culprit strikes, each time anew, until it
// reaches the limit alone.
func suspectWait(d amqp.Delivery) time.Duration {
	count := deliveryCount(d)
	if count < suspectFrom {
		return 0
	}
	return rand.N(time.Duration(count) * suspectStep) //nolint:gosec // Spread, not secrecy.
}

// maxDeliveryCount bounds what is believed of a header that anybody can write.
const maxDeliveryCount = 30

// deliveryCount is how often a quorum queue has had the message back.
func deliveryCount(d amqp.Delivery) int {
	if !d.Redelivered {
		return 0
	}
	switch n := d.Headers["x-delivery-count"].(type) {
	case int64:
		return int(min(max(n, 0), maxDeliveryCount))
	case int32:
		return int(min(max(n, 0), maxDeliveryCount))
	default:
		return 0
	}
}
