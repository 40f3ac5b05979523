package rabbitmq

import (
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/twinlane/twinlane/internal/task"
)

// Message is what a Publisher publishes: always persistent, always mandatory.
type Message struct {
	Exchange   string // empty for the default exchange, which routes by queue name
	RoutingKey string
	ID         string
	Type       string
	// ContentType is a media type.
	ContentType string
	// Timestamp has a resolution of one second on the wire. RabbitMQ derives the
	// age of a queue's oldest message from it.
	Timestamp time.Time
	Headers   map[string]any
	Body      []byte
}

// TaskMessage returns the message that carries an encoded task.
func TaskMessage(exchange, routingKey, id string, headers task.Headers, body []byte, at time.Time) Message {
	return Message{
		Exchange:    exchange,
		RoutingKey:  routingKey,
		ID:          id,
		Type:        task.MessageType,
		ContentType: task.ContentType,
		Timestamp:   at,
		Headers:     headers.Table(),
		Body:        body,
	}
}

// ResultMessage returns the message that tells what became of a task. The body
// is an encoded task.Result.
func ResultMessage(id string, body []byte, at time.Time) Message {
	return streamMessage(task.MessageTypeResult, id, body, at)
}

// AcceptanceMessage returns the message that tells that a task with an
// idempotency key was accepted. The body is an encoded task.Acceptance.
func AcceptanceMessage(id string, body []byte, at time.Time) Message {
	return streamMessage(task.MessageTypeAccepted, id, body, at)
}

// MarkerMessage returns a message that says nothing but its id: who reads their
// own has read everything that was in the results stream before it.
func MarkerMessage(id string, at time.Time) Message {
	return streamMessage(task.MessageTypeMarker, id, nil, at)
}

func streamMessage(kind, id string, body []byte, at time.Time) Message {
	return Message{
		RoutingKey:  task.QueueResults,
		ID:          id,
		Type:        kind,
		ContentType: task.ContentType,
		Timestamp:   at,
		Body:        body,
	}
}

// validate refuses what must not reach the wire. A short string of more than
// 255 bytes or headers larger than a frame would close the connection, and
// with it every other publish in flight.
func (m *Message) validate() error {
	fields := [...]struct{ name, value string }{
		{"exchange", m.Exchange},
		{"routing key", m.RoutingKey},
		{"message id", m.ID},
		{"type", m.Type},
		{"content type", m.ContentType},
	}
	for _, f := range fields {
		if err := task.CheckShortString(f.name, f.value); err != nil {
			return err
		}
	}
	return task.CheckHeaders(m.Headers)
}

// publishing is the message in the library's terms. The correlation id belongs
// to the publisher: the broker repeats it in a return, which tells the
// publishes on a channel apart even where two of them have the same id.
func (m *Message) publishing(correlationID string) amqp.Publishing {
	return amqp.Publishing{
		MessageId:     m.ID,
		Type:          m.Type,
		ContentType:   m.ContentType,
		Timestamp:     m.Timestamp,
		DeliveryMode:  amqp.Persistent,
		CorrelationId: correlationID,
		Headers:       amqp.Table(m.Headers),
		Body:          m.Body,
	}
}
