package tracing

import (
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// Operation is what is done with a message, by RabbitMQ's own name of it.
type Operation string

// The operations that have spans.
const (
	Publish Operation = "publish"
	Process Operation = "process"
	Ack     Operation = "ack"
)

// kind is what an operation is in every messaging system.
func (o Operation) kind() attribute.KeyValue {
	switch o {
	case Publish:
		return semconv.MessagingOperationTypeSend
	case Process:
		return semconv.MessagingOperationTypeProcess
	default:
		return semconv.MessagingOperationTypeSettle
	}
}

// Span is the name of the span of an operation on a destination.
func (o Operation) Span(destination string) string { return string(o) + " " + destination }

// Destination is what a message is sent to. The default exchange has no name,
// and the routing key alone says where a message goes.
func Destination(exchange, routingKey string) string {
	switch {
	case exchange == "":
		return routingKey
	case routingKey == "":
		return exchange
	default:
		return exchange + ":" + routingKey
	}
}

// Attributes describe an operation on one message.
func (o Operation) Attributes(destination, messageID string, bodyBytes int) []attribute.KeyValue {
	return []attribute.KeyValue{
		semconv.MessagingSystemRabbitMQ,
		semconv.MessagingOperationName(string(o)),
		o.kind(),
		semconv.MessagingDestinationName(destination),
		semconv.MessagingMessageID(messageID),
		semconv.MessagingMessageBodySize(bodyBytes),
	}
}
