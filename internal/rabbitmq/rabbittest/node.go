package rabbittest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

var (
	errDown = errors.New("node is down")
	errUp   = errors.New("node is up already")
)

// Node is a private RabbitMQ. Its methods may be called by several goroutines; those that start and stop it wait for
// each other.
type Node struct {
	settings Settings
	server   string       // upstream's rabbitmq-server script
	lock     *os.File     // keeps other nodes out of the directory
	guard    net.Listener // keeps other nodes off the ports

	mu   sync.Mutex
	beam *Process // the Erlang VM; nil before Start, and after Stop and Kill
	epmd *Process
}

// NewNode prepares a node: it takes the directory, chooses the ports and writes the configuration. It starts nothing.
// Close gives back what it took.
func NewNode(s Settings) (*Node, error) {
	server, err := findServer()
	if err != nil {
		return nil, err
	}
	if s.Name == "" {
		s.Name = "twinlane@localhost"
	}
	if s.Dir, err = filepath.Abs(s.Dir); err != nil {
		return nil, fmt.Errorf("node directory: %w", err)
	}
	lock, err := lockDir(s.Dir)
	if err != nil {
		return nil, err
	}
	guard, err := s.Ports.choose(s.Management)
	if err != nil {
		_ = lock.Close()
		return nil, err
	}
	n := &Node{settings: s, server: server, lock: lock, guard: guard}
	if err := s.write(); err != nil {
		n.Close()
		return nil, err
	}
	return n, nil
}

// lockDir makes dir and keeps other nodes out of it until the returned file is closed: two brokers on the same data
// destroy them, and nodes with an epmd of their own do not notice each other.
func lockDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("node directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("node directory: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("node directory %s is in use by another node: %w", dir, err)
	}
	return f, nil
}

// Close kills the node if it is up, and gives its directory and ports back. The data stay.
func (n *Node) Close() {
	n.Kill()
	_ = n.guard.Close()
	_ = n.lock.Close()
}

// URL is the node's AMQP address with credentials.
func (n *Node) URL() string {
	return fmt.Sprintf("amqp://%s:%s@%s/", User, Password, loopback(n.settings.Ports.AMQP))
}

// Ports are the ports of the node. They stay the same over restarts.
func (n *Node) Ports() Ports { return n.settings.Ports }

// PID is the process id of the Erlang VM, or 0 while the node is down.
func (n *Node) PID() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.up() {
		return 0
	}
	return n.beam.PID()
}

// up is called with n.mu held.
func (n *Node) up() bool { return n.beam != nil && !n.beam.exited() }

// Start starts the node, or starts it again on the same data and ports, and returns when clients can use it. When
// that takes longer than ctx allows, or when the node dies meanwhile, nothing is left running.
func (n *Node) Start(ctx context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.up() {
		return errUp
	}
	n.kill() // what is left of a node that died by itself
	err := awaitFree(ctx, n.settings.Ports.used(n.settings.Management))
	if err == nil {
		err = n.launch()
	}
	if err == nil {
		err = n.awaitReady(ctx)
	}
	if err != nil {
		n.kill()
		return fmt.Errorf("start node: %w", err)
	}
	return nil
}

// launch starts the processes of the node.
func (n *Node) launch() error {
	log, err := os.OpenFile(n.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the children have it
	run := func(name string, args ...string) (*Process, error) {
		cmd := exec.Command(name, args...) //nolint:noctx // It outlives the context of its start.
		cmd.Dir, cmd.Env = n.settings.Dir, n.settings.env()
		cmd.Stdout, cmd.Stderr = log, log
		return StartProcess(cmd)
	}
	if n.epmd, err = run("epmd", "-port", strconv.Itoa(n.settings.Ports.EPMD), "-address", "127.0.0.1"); err != nil {
		return fmt.Errorf("%w (epmd is a part of Erlang)", err)
	}
	n.beam, err = run(n.server, n.settings.erlArgs()...)
	return err
}

// awaitReady returns when a client can use the broker.
func (n *Node) awaitReady(ctx context.Context) error {
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for {
		last := n.probe(ctx)
		if last == nil {
			return nil
		}
		select {
		case <-n.beam.done:
			return n.died(n.beam)
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w (%w), its log ends with:\n%s", ctx.Err(), last, n.logTail())
		case <-tick.C:
		}
	}
}

// probe does what every client does first: it connects, opens a channel and declares a queue, which goes away with
// the connection.
func (n *Node) probe(ctx context.Context) error {
	return n.withChannel(ctx, func(ch *amqp.Channel) error {
		_, err := ch.QueueDeclare("", false, true, true, false, nil)
		return err
	})
}

// Wait returns when the node has died without being told to, with the end of its log, or when ctx ends.
func (n *Node) Wait(ctx context.Context) error {
	n.mu.Lock()
	beam := n.beam
	n.mu.Unlock()
	if beam == nil {
		return errDown
	}
	select {
	case <-beam.done:
		return n.died(beam)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (n *Node) died(beam *Process) error {
	return fmt.Errorf("rabbitmq-server ended (%s), its log ends with:\n%s", beam.cmd.ProcessState, n.logTail())
}

// Stop shuts the broker down in order and returns when it is gone. When ctx ends before, the node is killed.
func (n *Node) Stop(ctx context.Context) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.beam != nil {
		n.beam.Stop(ctx)
	}
	n.kill()
}

// Kill ends the node with SIGKILL, as a crash does, and returns when it is gone. See SyncQueues.
func (n *Node) Kill() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.kill()
}

func (n *Node) kill() {
	for _, p := range []*Process{n.beam, n.epmd} {
		if p != nil {
			p.Kill()
		}
	}
	n.beam, n.epmd = nil, nil
}

// Pause stops the node's process in its tracks: its connections stay open and nothing answers.
func (n *Node) Pause() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.up() {
		return errDown
	}
	if err := n.beam.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	return awaitStopped(n.beam.PID())
}

// Resume lets a paused node run on.
func (n *Node) Resume() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.up() {
		return errDown
	}
	return n.beam.Signal(syscall.SIGCONT)
}

func (n *Node) logFile() string { return n.settings.path("node.log") }

// logTail returns the last lines of the node's log.
func (n *Node) logTail() string {
	const lines = 60 // a failed start puts a crash report of about 50 after its reason
	text, err := os.ReadFile(n.logFile())
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
