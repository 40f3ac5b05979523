// Package rabbitmq is the one way to RabbitMQ: a supervised connection, a
// publisher that returns nil only for a message the broker has confirmed, a
// subscription that finds its way back after any loss, and the topology.
//
// It adds what the client library leaves to its users: an endless reconnect
// loop, a deadline on every write and every wait, and a way to free goroutines
// that a hung broker would hold for ever. It deliberately does not use the
// library's own recovery, under which a late ack can settle another message,
// and it never sends an RPC on a channel that others publish on.
//
// Nothing here knows what a task does.
package rabbitmq
