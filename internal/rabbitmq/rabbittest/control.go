package rabbittest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Ctl runs rabbitmqctl against the node and returns what it prints. One run takes about a third of a second.
func (n *Node) Ctl(ctx context.Context, args ...string) (string, error) {
	if n.PID() == 0 {
		return "", fmt.Errorf("rabbitmqctl %s: %w", strings.Join(args, " "), errDown)
	}
	tool := filepath.Join(filepath.Dir(n.server), "rabbitmqctl")
	cmd := exec.Command(tool, append([]string{"--quiet"}, args...)...) //nolint:noctx // See below.
	var stdout, stderr bytes.Buffer
	cmd.Dir, cmd.Env = n.settings.Dir, n.settings.env()
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = time.Second // for an Erlang VM below the tool, which holds the output open
	p, err := StartProcess(cmd)
	if err != nil {
		return "", err
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		p.Kill()
		err = ctx.Err()
	}
	if err == nil && !cmd.ProcessState.Success() {
		err = fmt.Errorf("%s: %s", cmd.ProcessState, bytes.TrimSpace(stderr.Bytes()))
	}
	if err != nil {
		return "", fmt.Errorf("rabbitmqctl %s: %w", strings.Join(args, " "), err)
	}
	return stdout.String(), nil
}

// SetMemoryAlarm raises or clears the memory alarm. While it is up, the broker blocks every connection that
// publishes.
func (n *Node) SetMemoryAlarm(ctx context.Context, on bool) error {
	watermark := "0.4"
	if on {
		watermark = "0"
	}
	_, err := n.Ctl(ctx, "set_vm_memory_high_watermark", watermark)
	return err
}

// CloseAllConnections makes the broker close every connection with an error, as an operator does.
func (n *Node) CloseAllConnections(ctx context.Context) error {
	_, err := n.Ctl(ctx, "close_all_connections", "closed by the test")
	return err
}

// SetPolicy puts definition, such as {"max-length": 10}, on the queues whose names match pattern.
func (n *Node) SetPolicy(ctx context.Context, name, pattern string, definition map[string]any) error {
	text, err := json.Marshal(definition)
	if err != nil {
		return fmt.Errorf("policy %s: %w", name, err)
	}
	_, err = n.Ctl(ctx, "set_policy", "--apply-to", "queues", name, pattern, string(text))
	return err
}

// ClearPolicy removes a policy.
func (n *Node) ClearPolicy(ctx context.Context, name string) error {
	_, err := n.Ctl(ctx, "clear_policy", name)
	return err
}

// SyncQueues makes the broker write to disk which quorum queues it has. It does so by itself about half a second after
// a queue was declared; a queue younger than that has no leader after a crash, and everything that uses it hangs.
// Messages do not need this: a confirmed one is on disk.
func (n *Node) SyncQueues(ctx context.Context) error {
	_, err := n.Ctl(ctx, "eval", "[ok = dets:sync(Table) || Table <- dets:all()].")
	return err
}

// DeleteQueue deletes a queue, whatever it holds and whoever consumes it.
func (n *Node) DeleteQueue(ctx context.Context, name string) error {
	return n.withChannel(ctx, func(ch *amqp.Channel) error {
		_, err := ch.QueueDelete(name, false, false, false)
		return err
	})
}

// withChannel calls f with a channel on a connection of its own. The end of ctx cuts the connection, and with it
// everything that waits for an answer.
func (n *Node) withChannel(ctx context.Context, f func(*amqp.Channel) error) error {
	return n.withConnection(ctx, func(conn *amqp.Connection) error {
		ch, err := conn.Channel()
		if err != nil {
			return fmt.Errorf("open channel: %w", err)
		}
		return f(ch)
	})
}

func (n *Node) withConnection(ctx context.Context, f func(*amqp.Connection) error) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	dial := func(network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err == nil {
			context.AfterFunc(ctx, func() { _ = conn.Close() })
		}
		return conn, err
	}
	conn, err := amqp.DialConfig(n.URL(), amqp.Config{Dial: dial})
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer func() { _ = conn.Close() }()
	return f(conn)
}
