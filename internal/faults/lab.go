package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/twinlane/twinlane/internal/rabbitmq/rabbittest"
	"github.com/twinlane/twinlane/internal/task"
)

// Lab is where a row happens: a broker, the server that tasks call, and as many gateways and workers as the row starts.
// A row calls its methods on one goroutine, as a test does those of its testing.T: must and its like end the row.
type Lab struct {
	ctx    context.Context //nolint:containedctx // The time of the row.
	opts   Options
	dir    string
	run    string // the run that every task belongs to
	rand   *rand.Rand
	node   *rabbittest.Node
	target *target
	ledger *ledger
	client *http.Client

	gateways []*service
	workers  []*service
	proxies  []*rabbittest.Proxy
	loads    []*load
	bound    bounds
	version  string // of RabbitMQ

	mu         sync.Mutex
	finished   bool
	skipped    string // why the row cannot run on this machine
	counters   Counters
	violations []Violation
	facts      []Fact
	keepers    sync.WaitGroup // those that start a process again
}

// newLab prepares a broker, which the row starts. Everything in it ends with close.
func newLab(ctx context.Context, opts Options, dir, run string) (*Lab, error) {
	l := &Lab{
		ctx: ctx, opts: opts, dir: dir, run: run, client: newClient(),
		rand: rand.New(rand.NewPCG(opts.Seed, 0)), //nolint:gosec // It has to be repeatable.
	}
	err := os.RemoveAll(dir) // of an earlier run
	if err == nil {
		err = os.MkdirAll(dir, 0o750)
	}
	if err == nil {
		l.ledger, err = newLedger(filepath.Join(dir, "attempts.ndjson"))
	}
	if err == nil {
		l.target, err = startTarget()
	}
	if err == nil {
		l.node, err = rabbittest.NewNode(rabbittest.Settings{Dir: filepath.Join(dir, "broker")})
	}
	if err != nil {
		l.close()
		return nil, fmt.Errorf("lab: %w", err)
	}
	return l, nil
}

// close ends everything that the lab has started.
func (l *Lab) close() {
	for _, load := range l.loads {
		load.stop()
	}
	for _, s := range append(l.gateways, l.workers...) {
		s.kill()
	}
	l.keepers.Wait()
	for _, p := range l.proxies {
		p.Close()
	}
	if l.target != nil {
		l.target.close()
	}
	if l.node != nil {
		l.node.Close()
	}
	if l.ledger != nil {
		if err := l.ledger.close(); err != nil {
			l.violate("%v", err)
		}
	}
	l.client.CloseIdleConnections()
}

// startBroker starts the broker, and returns how long that took.
func (l *Lab) startBroker() time.Duration {
	began := time.Now()
	ctx, cancel := context.WithTimeout(l.ctx, l.opts.patient(time.Minute))
	defer cancel()
	l.must(l.node.Start(ctx))
	took := time.Since(began)
	if l.version == "" {
		var err error
		l.version, err = l.node.Version(ctx)
		l.must(err)
	}
	return took
}

// proxy puts a proxy in front of the broker.
func (l *Lab) proxy() *rabbittest.Proxy {
	p, err := rabbittest.NewProxy(l.node.URL())
	l.must(err)
	l.proxies = append(l.proxies, p)
	return p
}

// start begins a load.
func (l *Lab) start(t traffic) *load {
	load := l.newLoad(t)
	ctx, cancel := context.WithCancel(l.ctx)
	load.cancel = cancel
	l.loads = append(l.loads, load)
	go load.send(ctx)
	return load
}

func (l *Lab) newLoad(t traffic) *load {
	n := len(l.loads) + 1
	return &load{
		traffic: t, run: l.run, prefix: fmt.Sprintf("%s-%d", l.run, n), ledger: l.ledger, client: newClient(),
		rand: rand.New(rand.NewPCG(l.opts.Seed, uint64(n))), //nolint:gosec // It has to be repeatable.
		done: make(chan struct{}),
	}
}

// once hands one task in.
func (l *Lab) once(g *service) Attempt {
	load := l.start(traffic{Rate: 1000, Count: 1, To: []*service{g}})
	load.wait()
	all := l.ledger.all()
	return all[len(all)-1]
}

// plant puts a message into the task queue past the gateways, and books it as accepted.
func (l *Lab) plant(id string, body string) {
	l.ledger.begin(id)
	a := Attempt{Client: id, TaskID: id, Outcome: Accepted, Planted: true, Started: time.Now()}
	l.must(l.node.Publish(l.ctx, task.QueueTasks, rabbittest.Message{ID: id, Body: []byte(body)}))
	l.ledger.end(a)
}
