package rabbittest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// startTimeout bounds the start of a node on a machine that is busy with other tests.
const startTimeout = 2 * time.Minute

// shared is the node that the tests of this process share.
var shared sharedNode //nolint:gochecknoglobals // One per process is what it is for.

type sharedNode struct {
	mu   sync.Mutex
	main bool // Main runs, and will stop the node
	dir  string
	node *Node
	err  error // why there is no node
}

// URL is the address of a broker that tests share: AMQP_URL when it is set, else a private node that is started on
// first use and stopped by Main. A test that pauses, blocks or stops its broker uses Start instead.
func URL(tb testing.TB) string {
	tb.Helper()
	if url := brokerFromEnv(); url != "" {
		return url
	}
	node, err := shared.get()
	if err != nil {
		tb.Fatal(err)
	}
	return node.URL()
}

// Main runs the tests of a package, stops the shared node, and then fails when goroutines are left behind. It is the
// whole body of TestMain.
func Main(m *testing.M, opts ...goleak.Option) {
	goleak.VerifyTestMain(withSharedNode{m}, opts...)
}

type withSharedNode struct{ m *testing.M }

// Run runs the tests, and stops the shared node before goleak looks.
func (w withSharedNode) Run() int {
	shared.allow()
	code := w.m.Run()
	if err := shared.stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return max(code, 1)
	}
	return code
}

func (s *sharedNode) allow() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.main = true
}

// get returns the node. The first call starts it; when that fails, all later calls fail as well.
func (s *sharedNode) get() (*Node, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.node == nil && s.err == nil {
		s.err = s.start()
	}
	return s.node, s.err
}

func (s *sharedNode) start() (err error) {
	if !s.main {
		return errors.New("nothing would stop the shared broker: call rabbittest.Main in TestMain")
	}
	if s.dir, err = os.MkdirTemp("", "twinlane-rabbitmq-"); err != nil {
		return fmt.Errorf("directory of the shared broker: %w", err)
	}
	if s.node, err = NewNode(Settings{Dir: s.dir}); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	return s.node.Start(ctx)
}

func (s *sharedNode) stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.node != nil {
		s.node.Close()
	}
	if err := os.RemoveAll(s.dir); err != nil {
		return fmt.Errorf("directory of the shared broker: %w", err)
	}
	return nil
}

// Start starts a node of the test's own, for a test that breaks it. The end of the test kills it.
func Start(tb testing.TB, opts ...Option) *Node {
	tb.Helper()
	s := Settings{Dir: tb.TempDir()}
	for _, opt := range opts {
		opt(&s)
	}
	n, err := NewNode(s)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(n.Close)
	ctx, cancel := context.WithTimeout(tb.Context(), startTimeout)
	defer cancel()
	if err := n.Start(ctx); err != nil {
		tb.Fatal(err)
	}
	return n
}

// Prefix is a start for the names of queues and exchanges that no other test, and no other run of this one, uses.
func Prefix(tb testing.TB) string {
	tb.Helper()
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, tb.Name())
	return fmt.Sprintf("%.60s-%x", name, time.Now().UnixNano())
}
