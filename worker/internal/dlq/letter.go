package dlq

import (
	"time"
	"unicode/utf8"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/twinlane/twinlane/internal/task"
)

// reasonUnknown is for a message that neither a worker nor the broker has
// dead-lettered: somebody put it there.
const reasonUnknown task.Reason = "unknown"

// Reasons lists what a filter can ask for.
func Reasons() []task.Reason { return append(task.Reasons(), reasonUnknown) }

// Letter is a dead letter. Its JSON form is what the commands print.
type Letter struct {
	ID string `json:"id"`
	// Reason is a task.Reason, or whatever else the broker gives for one.
	Reason  string     `json:"reason"`
	Error   string     `json:"error,omitempty"`
	Attempt int        `json:"attempt"`
	Replays int        `json:"replays"`
	DiedAt  *time.Time `json:"died_at,omitempty"` // nil where unknown
	// Queue is where the broker dead-lettered it; empty where a worker did.
	Queue    string    `json:"queue,omitempty"`
	Action   string    `json:"action,omitempty"` // empty where the body is no task
	Run      string    `json:"run,omitempty"`
	Size     int       `json:"size"` // of the body, in bytes
	Contents *Contents `json:"contents,omitempty"`
}

// Contents are all there is to a message, so that it can be made anew from
// them.
type Contents struct {
	Type        string         `json:"type,omitempty"`
	ContentType string         `json:"content_type,omitempty"`
	Timestamp   *time.Time     `json:"timestamp,omitempty"`
	Headers     map[string]any `json:"headers,omitempty"`
	// Text is the body where it is valid UTF-8, for people. Body is every byte
	// of it, in base64.
	Text string `json:"text,omitempty"`
	Body []byte `json:"body"`
}

// newLetter reads the outside of a message.
func newLetter(d amqp.Delivery) Letter {
	l := Letter{ID: d.MessageId, Reason: string(reasonUnknown), Attempt: 1, Size: len(d.Body)}
	headers, err := task.ParseHeaders(d.Headers)
	if err == nil {
		l.Attempt, l.Replays = headers.Attempt, headers.ReplayCount
	}
	switch {
	case headers.Dead != nil:
		l.Reason, l.Error = string(headers.Dead.Reason), headers.Dead.Error
		if !headers.Dead.At.IsZero() {
			l.DiedAt = &headers.Dead.At
		}
	default:
		l.readBrokersDeath(d.Headers)
	}
	if m, err := task.DecodeMessage(d.Body); err == nil {
		l.Action, l.Run = string(m.Action), m.Run
	}
	return l
}

// readBrokersDeath reads why the broker itself dead-lettered a message: the
// newest entry of its x-death header.
func (l *Letter) readBrokersDeath(headers amqp.Table) {
	deaths, _ := headers["x-death"].([]any)
	if len(deaths) == 0 {
		return
	}
	death, _ := deaths[0].(amqp.Table)
	reason, _ := death["reason"].(string)
	if reason == "" {
		return
	}
	l.Reason = reason
	l.Queue, _ = death["queue"].(string)
	l.Error = "dead-lettered by the broker"
	if reason == string(task.ReasonDeliveryLimit) {
		l.Error = "delivered too often without an answer: workers crashed over it or gave it back"
	}
	if at, ok := death["time"].(time.Time); ok {
		at = at.UTC()
		l.DiedAt = &at
	}
}

// withContents adds everything else of the message.
func (l Letter) withContents(d amqp.Delivery) Letter {
	c := &Contents{Type: d.Type, ContentType: d.ContentType, Body: d.Body}
	if len(d.Headers) > 0 {
		c.Headers, _ = encodable(d.Headers).(map[string]any)
	}
	if at := d.Timestamp.UTC(); !at.IsZero() && inCalendar(at) {
		c.Timestamp = &at
	}
	if utf8.Valid(d.Body) {
		c.Text = string(d.Body)
	}
	l.Contents = c
	return l
}

// encodable returns a header value in a form that JSON has. Anybody can write a
// header, and a time of AMQP can be later than any of RFC 3339. Numbers are
// none of them infinite: RabbitMQ refuses those.
func encodable(value any) any {
	switch v := value.(type) {
	case amqp.Table:
		table := make(map[string]any, len(v))
		for name, inner := range v {
			table[name] = encodable(inner)
		}
		return table
	case []any:
		list := make([]any, len(v))
		for i, inner := range v {
			list[i] = encodable(inner)
		}
		return list
	case time.Time:
		if !inCalendar(v.UTC()) {
			return v.Unix()
		}
		return v.UTC()
	default:
		return v
	}
}

// inCalendar reports whether t is a time of RFC 3339.
func inCalendar(t time.Time) bool { return t.Year() >= 0 && t.Year() <= 9999 }
