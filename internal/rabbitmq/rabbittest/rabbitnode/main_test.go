package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/twinlane/twinlane/internal/rabbitmq/rabbittest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The broker serves, keeps its data over an orderly restart, and its death ends the command.
func TestRun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()

	first := launch(t, "--dir", dir)
	require.Contains(t, first.fetch(t, first.addresses["management"]+"api/overview"), `"node":"twinlane@localhost"`)
	require.Contains(t, first.fetch(t, first.addresses["prometheus"]), "rabbitmq_identity_info")
	ch := first.channel(t)
	_, err := ch.QueueDeclare("q", true, false, false, false, amqp.Table{amqp.QueueTypeArg: amqp.QueueTypeQuorum})
	require.NoError(t, err)
	require.NoError(t, ch.Confirm(false))
	confirm, err := ch.PublishWithDeferredConfirm("", "q", true, false, amqp.Publishing{Body: []byte("kept")})
	require.NoError(t, err)
	require.True(t, confirm.Wait())
	first.cancel()
	require.Equal(t, exitOK, first.wait(t))
	require.Contains(t, first.log(t), `"msg":"stopped"`)

	second := launch(t, "--dir", dir)
	m, ok, err := second.channel(t).Get("q", true)
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, "kept", string(m.Body))
	require.NoError(t, syscall.Kill(second.pid(t), syscall.SIGKILL))
	require.Equal(t, exitFailed, second.wait(t))
	require.Contains(t, second.log(t), "rabbitnode: rabbitmq-server ended (signal: killed)")
}

// The definitions of the containers' broker make the same policy here, and let clients in.
func TestRunLoadsDefinitions(t *testing.T) {
	t.Parallel()
	node := launch(t, "--dir", t.TempDir(), "--definitions", "../../../../deploy/rabbitmq/definitions.json")
	policy := node.fetch(t, node.addresses["management"]+"api/policies/%2F/tasks-max-length")
	require.Contains(t, policy, `"max-length":1000000`)
	require.Contains(t, policy, `"overflow":"reject-publish"`)
	_, err := node.channel(t).QueueDeclare("tasks.v1", true, false, false, false, nil)
	require.NoError(t, err)
	node.cancel()
	require.Equal(t, exitOK, node.wait(t))
}

func TestRunStopsWhileStarting(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	var stdout, stderr bytes.Buffer
	require.Equal(t, exitOK, run(ctx, []string{"--dir", t.TempDir()}, &stdout, &stderr))
	require.Empty(t, stdout.String())
	require.Empty(t, stderr.String())
}

func TestRunFailsWhereTheDirectoryIsTaken(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n, err := rabbittest.NewNode(rabbittest.Settings{Dir: dir})
	require.NoError(t, err)
	t.Cleanup(n.Close)
	var stderr bytes.Buffer
	require.Equal(t, exitFailed, run(t.Context(), []string{"--dir", dir}, io.Discard, &stderr))
	require.Contains(t, stderr.String(), "rabbitnode: node directory "+dir+" is in use by another node")
}

func TestUsage(t *testing.T) {
	t.Parallel()
	var stdout, stderr bytes.Buffer
	require.Equal(t, exitUsage, run(t.Context(), nil, &stdout, &stderr))
	require.Contains(t, stderr.String(), "missing flags: --dir")
	require.Equal(t, exitUsage, run(t.Context(), []string{"--dir", t.TempDir(), "--definitions", "none.json"}, &stdout, &stderr))
	require.Contains(t, stderr.String(), "none.json: no such file or directory")
	require.Equal(t, exitOK, run(t.Context(), []string{"--help"}, &stdout, &stderr))
	require.Contains(t, stdout.String(), "--management-port")
}

// command is a run of this program.
type command struct {
	cancel    context.CancelFunc
	addresses map[string]string // by the first word of their line
	stderr    *os.File
	exit      chan int
}

// launch runs the program and returns when it says that it is ready.
func launch(t *testing.T, args ...string) *command {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	stderr, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = stderr.Close() })
	c := &command{cancel: cancel, addresses: make(map[string]string), stderr: stderr, exit: make(chan int, 1)}
	stdout, w := io.Pipe()
	go func() {
		code := run(ctx, args, w, stderr)
		_ = w.Close()
		c.exit <- code
	}()
	for lines := bufio.NewScanner(stdout); c.addresses["ready"] == ""; {
		require.True(t, lines.Scan(), "it ended before it was ready")
		name, address, _ := strings.Cut(lines.Text(), " ")
		c.addresses[name] = address
	}
	return c
}

func (c *command) wait(t *testing.T) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	select {
	case code := <-c.exit:
		return code
	case <-ctx.Done():
		require.FailNow(t, "it runs on")
		return 0
	}
}

func (c *command) channel(t *testing.T) *amqp.Channel {
	t.Helper()
	conn, err := amqp.Dial(c.addresses["ready"])
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.CloseDeadline(time.Now().Add(time.Second)) })
	ch, err := conn.Channel()
	require.NoError(t, err)
	return ch
}

// pid is that of the broker.
func (c *command) pid(t *testing.T) int {
	t.Helper()
	var line struct {
		PID int `json:"pid"`
	}
	require.NoError(t, json.Unmarshal([]byte(c.log(t)), &line), "the only line so far")
	return line.PID
}

func (c *command) log(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(c.stderr.Name())
	require.NoError(t, err)
	return string(text)
}

// fetch reads a page. RabbitMQ 4.3 answers 500 for a moment after it has begun to listen.
func (c *command) fetch(t *testing.T, address string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, http.NoBody)
	require.NoError(t, err)
	req.SetBasicAuth(rabbittest.User, rabbittest.Password)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	var page []byte
	var status int
	require.Eventually(t, func() bool {
		res, err := client.Do(req)
		if err != nil {
			return false
		}
		defer func() { _ = res.Body.Close() }()
		page, err = io.ReadAll(res.Body)
		status = res.StatusCode
		return err == nil && status < http.StatusInternalServerError
	}, 30*time.Second, 100*time.Millisecond)
	require.Equal(t, http.StatusOK, status)
	return string(page)
}
