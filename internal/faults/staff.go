package faults

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"sync"
	"time"
)

// signingKey is the same for all gateways: each knows the task ids of the others.
const signingKey = "chaos-0123456789abcdef"

// gateway starts a gateway with settings of its own over those of the suite. It may not be ready yet.
func (l *Lab) gateway(own settings) *service {
	s := l.service("gateway", len(l.gateways)+1, settings{
		"SIGNING_KEYS": signingKey, "FAULT_INJECTION": "true",
	}, own)
	l.gateways = append(l.gateways, s)
	l.must(s.start(l.ctx))
	return s
}

// worker does the same for a worker.
func (l *Lab) worker(own settings) *service {
	s := l.service("worker", len(l.workers)+1, settings{
		"HTTP_ACTION_URL": l.target.url, "FAULT_INJECTION": "true", "CONCURRENCY": "100",
	}, own)
	s.args = []string{"serve"}
	l.workers = append(l.workers, s)
	l.must(s.start(l.ctx))
	return s
}

func (l *Lab) service(kind string, n int, common, own settings) *service {
	set := settings{"AMQP_URL": l.node.URL(), "HTTP_ADDR": "127.0.0.1:0", "ADMIN_ADDR": "127.0.0.1:0"}
	maps.Copy(set, common)
	maps.Copy(set, own)
	name := fmt.Sprintf("%s-%d", kind, n)
	return &service{
		kind: kind, name: name, binary: filepath.Join(l.opts.Binaries, kind), set: set,
		log: filepath.Join(l.dir, name+".log"), client: l.client, within: l.opts.patient(startTimeout),
	}
}

// restart starts a process again that has ended.
func (l *Lab) restart(s *service) { l.must(s.start(l.ctx)) }

// ready waits until all of the services are ready, and returns how long that took.
func (l *Lab) ready(services ...*service) time.Duration {
	return l.await(startTimeout, func() error {
		var errs []error
		for _, s := range services {
			errs = append(errs, s.ready(l.ctx))
		}
		return errors.Join(errs...)
	})
}

// keep starts a process again whenever it ends, as whoever supervises one does. It returns how often it did.
func (l *Lab) keep(ctx context.Context, s *service) (restarts func() int) {
	var mu sync.Mutex
	n := 0
	l.keepers.Go(func() {
		for {
			p, _ := s.current()
			select {
			case <-p.Done():
			case <-ctx.Done():
				return
			}
			if ctx.Err() != nil {
				return
			}
			if err := s.start(ctx); err != nil {
				if ctx.Err() == nil {
					l.violate("%v", err)
				}
				return
			}
			mu.Lock()
			n++
			mu.Unlock()
		}
	})
	return func() int {
		mu.Lock()
		defer mu.Unlock()
		return n
	}
}

// metric reads a metric of a service.
func (l *Lab) metric(s *service, name string, labels ...string) float64 {
	v, err := s.metric(l.ctx, name, labels...)
	l.must(err)
	return v
}

// republished counts the tasks that a gateway or a worker has published once more because the outcome of the first time
// was unknown. Results that are published twice are not tasks that run twice.
func (l *Lab) republished(s *service) int {
	return int(l.metric(s, s.kind+"_publisher_republished_total", `publisher="`+s.kind+`-publish"`))
}

// watch asks the services whether they are ready, over and over until the row ends, as a load balancer does.
func (l *Lab) watch(services ...*service) {
	l.keepers.Go(func() {
		for work(l.ctx, watchInterval) {
			for _, s := range services {
				s.out.Store(s.ready(l.ctx) != nil)
			}
		}
	})
}

// watchInterval is how often a load balancer asks.
const watchInterval = 100 * time.Millisecond

// atFault books what may run twice because of the fault that happens now: what workers have in hand, and half as much
// again and ten, because that changes by the moment.
func (l *Lab) atFault(workers ...*service) {
	n := l.inHand(workers...)
	l.bound.duplicates += n + n/2 + 10
}

// mostInHand is what a worker of the suite has in hand at most: its prefetch in all lanes.
const mostInHand = 110 + 32 + 1

// surge begins far more requests at once than the broker confirms at once, and returns amid them. A fault that happens
// now catches many tasks between their publish and their confirm, and the worker with its hands full.
func (l *Lab) surge(g *service) {
	l.start(traffic{Rate: 4000, Count: 300, Work: 50 * time.Millisecond, To: []*service{g}})
	l.pause(25*time.Millisecond + upTo(l.rand, 25*time.Millisecond))
	l.bound.duplicates += mostInHand
}

// inHand counts what workers have been given and have not answered for.
func (l *Lab) inHand(workers ...*service) int {
	n := 0
	for _, w := range workers {
		n += int(l.metric(w, "worker_subscription_unsettled_deliveries"))
	}
	return n
}
