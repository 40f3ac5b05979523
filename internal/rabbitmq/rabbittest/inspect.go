package rabbittest

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Message is what a queue or a stream holds, and what can be put into one past everything that checks it.
type Message struct {
	ID, Type  string
	Timestamp time.Time
	Headers   map[string]any
	Body      []byte
}

// Version is the version of RabbitMQ that the node says it is.
func (n *Node) Version(ctx context.Context) (version string, err error) {
	err = n.withConnection(ctx, func(conn *amqp.Connection) error {
		version, _ = conn.Properties["version"].(string)
		return nil
	})
	return version, err
}

// Publish puts a message into a queue and returns when the broker has it.
func (n *Node) Publish(ctx context.Context, queue string, m Message) error {
	return n.withChannel(ctx, func(ch *amqp.Channel) error { return publish(ctx, ch, queue, m) })
}

func publish(ctx context.Context, ch *amqp.Channel, queue string, m Message) error {
	if err := ch.Confirm(false); err != nil {
		return fmt.Errorf("publish to %s: %w", queue, err)
	}
	returned := ch.NotifyReturn(make(chan amqp.Return, 1))
	confirm, err := ch.PublishWithDeferredConfirmWithContext(ctx, "", queue, true, false, amqp.Publishing{
		MessageId: m.ID, Type: m.Type, Timestamp: m.Timestamp, Headers: m.Headers, Body: m.Body,
		DeliveryMode: amqp.Persistent,
	})
	if err != nil {
		return fmt.Errorf("publish to %s: %w", queue, err)
	}
	acked, err := confirm.WaitContext(ctx)
	if err == nil && (!acked || len(returned) > 0) {
		err = errors.New("refused by the broker")
	}
	if err != nil {
		return fmt.Errorf("publish to %s: %w", queue, err)
	}
	return nil
}

// DeclareQueue declares a durable queue with arguments of its own, such as ones that nobody else expects.
func (n *Node) DeclareQueue(ctx context.Context, name string, args map[string]any) error {
	return n.withChannel(ctx, func(ch *amqp.Channel) error {
		_, err := ch.QueueDeclare(name, true, false, false, false, args)
		return err
	})
}

// Ready counts the messages of a queue that wait for a consumer.
func (n *Node) Ready(ctx context.Context, queue string) (count int, err error) {
	err = n.withChannel(ctx, func(ch *amqp.Channel) error {
		q, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil)
		count = q.Messages
		return err
	})
	return count, err
}

// Browse returns every ready message of a queue and leaves all of them where they are. Each look counts as a delivery.
func (n *Node) Browse(ctx context.Context, queue string) (messages []Message, err error) {
	err = n.withChannel(ctx, func(ch *amqp.Channel) error {
		for {
			d, ok, err := ch.Get(queue, false)
			if err != nil {
				return fmt.Errorf("browse %s: %w", queue, err)
			}
			if !ok {
				return ch.Close() // gives back what it has got
			}
			messages = append(messages, message(&d))
		}
	})
	return messages, err
}

func message(d *amqp.Delivery) Message {
	return Message{ID: d.MessageId, Type: d.Type, Timestamp: d.Timestamp, Headers: d.Headers, Body: d.Body}
}

// ReadStream returns everything that is in a stream, from its first message on. To know where the end is it publishes
// a last message of the given type, which nobody but it shall mind.
func (n *Node) ReadStream(ctx context.Context, stream, markerType string) (messages []Message, err error) {
	err = n.withChannel(ctx, func(ch *amqp.Channel) error {
		marker := fmt.Sprintf("rabbittest-%x", time.Now().UnixNano())
		if err := publish(ctx, ch, stream, Message{ID: marker, Type: markerType, Timestamp: time.Now()}); err != nil {
			return err
		}
		if err := ch.Qos(1000, 0, false); err != nil {
			return fmt.Errorf("read stream %s: %w", stream, err)
		}
		deliveries, err := ch.ConsumeWithContext(ctx, stream, "", false, false, false, false,
			amqp.Table{"x-stream-offset": "first"})
		if err != nil {
			return fmt.Errorf("read stream %s: %w", stream, err)
		}
		for d := range deliveries {
			if d.MessageId == marker {
				return nil
			}
			messages = append(messages, message(&d))
			if err := d.Ack(false); err != nil {
				return fmt.Errorf("read stream %s: %w", stream, err)
			}
		}
		return fmt.Errorf("read stream %s: its end did not come", stream)
	})
	return messages, err
}

// heldMessages asks each quorum queue itself for what it holds; what list_queues says is up to five seconds old.
const heldMessages = `[
	begin
		{ok, {_, Count}, _} = ra:leader_query(amqqueue:get_pid(Queue), {rabbit_fifo, query_messages_total, []}),
		{element(4, amqqueue:get_name(Queue)), Count}
	end || Queue <- rabbit_amqqueue:list(), amqqueue:get_type(Queue) =:= rabbit_quorum_queue].`

var heldPattern = regexp.MustCompile(`\{<<"([^"]+)">>,\s*(\d+)\}`)

// Held counts the messages of every quorum queue: those that wait, those that a consumer has and has not answered for,
// and those that are on their way to another queue.
func (n *Node) Held(ctx context.Context) (map[string]int, error) {
	text, err := n.Ctl(ctx, "eval", heldMessages)
	if err != nil {
		return nil, err
	}
	held := make(map[string]int)
	for _, match := range heldPattern.FindAllStringSubmatch(text, -1) {
		if held[match[1]], err = strconv.Atoi(match[2]); err != nil {
			return nil, fmt.Errorf("messages of %s: %w", match[1], err)
		}
	}
	return held, nil
}
