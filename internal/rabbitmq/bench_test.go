package rabbitmq_test

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/rabbitmq/rabbittest"
)

const (
	benchCallers  = 256
	benchMessages = 4_000 // in each burst
	benchBody     = 512   // bytes
)

// contender is one way to publish with confirms, and what was measured of it.
type contender struct {
	name     string
	messages int
	publish  func(m rabbitmq.Message) error

	rates  []float64 // confirmed messages a second, of each burst
	allocs uint64
	times  []time.Duration
}

// BenchmarkPublisher compares the strategies with the client library used by
// hand: the same message, the same number of callers, every publish waits for
// its own confirm. Each iteration gives every contender one burst in turn, so
// that they share whatever else happens on the machine; read the ratios.
func BenchmarkPublisher(b *testing.B) {
	node := rabbittest.Start(b, rabbittest.WithFullSize)
	url, queue := node.URL(), "bench"
	patient := rabbitmq.PublisherConfig{AcquireWait: time.Minute, ConfirmTimeout: time.Minute}
	contenders := []*contender{{name: "library", messages: benchMessages, publish: libraryPublisher(b, url, queue)}}
	for _, s := range []struct {
		strategy           rabbitmq.Strategy
		channels, messages int
	}{
		{rabbitmq.StrategyPooled, 4, benchMessages},
		{rabbitmq.StrategyExclusive, 16, benchMessages},
		{rabbitmq.StrategyShared, 1, benchMessages},
		{rabbitmq.StrategyPerRequest, 0, benchMessages / 20},
	} {
		cfg := patient
		cfg.Strategy, cfg.Channels = s.strategy, s.channels
		contenders = append(contenders, &contender{name: string(s.strategy), messages: s.messages, publish: strategyPublisher(b, cfg, url, queue)})
	}
	purge := open(b, url)
	for n := 0; b.Loop(); n++ {
		for i := range contenders {
			c := contenders[(n+i)%len(contenders)] // each takes every place in the order
			c.burst(b, queue)
			_, err := purge.QueuePurge(queue, false)
			require.NoError(b, err)
		}
	}
	report(b, contenders)
}

func (c *contender) burst(b *testing.B, queue string) {
	b.Helper()
	body := []byte(strings.Repeat("x", benchBody))
	times := make([]time.Duration, c.messages)
	next := make(chan int, c.messages)
	for i := range c.messages {
		next <- i
	}
	close(next)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := time.Now()
	var wg sync.WaitGroup
	for range benchCallers {
		wg.Go(func() {
			for i := range next {
				sent := time.Now()
				err := c.publish(rabbitmq.Message{RoutingKey: queue, ID: "0192e4a0-0000-7000-8000-000000000000", Type: "bench", ContentType: "text/plain", Timestamp: sent, Body: body})
				if err != nil {
					b.Errorf("%s: %v", c.name, err)
				}
				times[i] = time.Since(sent)
			}
		})
	}
	wg.Wait()
	c.rates = append(c.rates, float64(c.messages)/time.Since(began).Seconds())
	runtime.ReadMemStats(&after)
	c.allocs += after.Mallocs - before.Mallocs
	c.times = append(c.times, times...)
}

// ratio is the median over the rounds of c's rate to other's in the same round.
func (c *contender) ratio(other *contender) float64 {
	ratios := make([]float64, len(c.rates))
	for i := range ratios {
		ratios[i] = c.rates[i] / other.rates[i]
	}
	return median(ratios)
}

func median[T cmp.Ordered](values []T) T { return quantile(values, .5) }

func quantile[T cmp.Ordered](values []T, q float64) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[int(q*float64(len(sorted)-1))]
}

func report(b *testing.B, contenders []*contender) {
	b.Helper()
	table := tabwriter.NewWriter(b.Output(), 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(table, "\npublisher\tconfirmed/s\tp50\tp99\tallocs\tof library\t")
	for _, c := range contenders {
		_, _ = fmt.Fprintf(table, "%s\t%.0f\t%s\t%s\t%d\t%.2f\t\n", c.name, median(c.rates),
			median(c.times).Round(100*time.Microsecond), quantile(c.times, .99).Round(100*time.Microsecond),
			c.allocs/uint64(len(c.times)), c.ratio(contenders[0]))
		if c.name != contenders[0].name {
			b.ReportMetric(c.ratio(contenders[0]), c.name+"/library")
		}
	}
	_ = table.Flush()
}

// libraryPublisher publishes with nothing but the library: four channels in
// confirm mode, taken in turn.
func libraryPublisher(b *testing.B, url, queue string) func(rabbitmq.Message) error {
	b.Helper()
	var channels []*amqp.Channel
	conn, err := amqp.Dial(url)
	require.NoError(b, err)
	b.Cleanup(func() { _ = conn.Close() })
	for range 4 {
		ch, err := conn.Channel()
		require.NoError(b, err)
		require.NoError(b, ch.Confirm(false))
		channels = append(channels, ch)
	}
	_, err = channels[0].QueueDeclare(queue, true, false, false, false, amqp.Table{"x-queue-type": "quorum"})
	require.NoError(b, err)
	var mu sync.Mutex
	turn := 0
	return func(m rabbitmq.Message) error {
		mu.Lock()
		turn++
		ch := channels[turn%len(channels)]
		mu.Unlock()
		dc, err := ch.PublishWithDeferredConfirm("", m.RoutingKey, true, false, amqp.Publishing{
			MessageId: m.ID, Type: m.Type, ContentType: m.ContentType, Timestamp: m.Timestamp,
			DeliveryMode: amqp.Persistent, Body: m.Body,
		})
		if err != nil {
			return err
		}
		if !dc.Wait() {
			return rabbitmq.ErrNacked
		}
		return nil
	}
}

func strategyPublisher(b *testing.B, cfg rabbitmq.PublisherConfig, url, queue string) func(rabbitmq.Message) error {
	b.Helper()
	conn := rabbitmq.ConnectionConfig{URLs: []string{url}, Name: string(cfg.Strategy), DialTimeout: time.Minute}
	p, err := rabbitmq.NewPublisher(cfg, conn, rabbitmq.Topology{}, nil, nil)
	require.NoError(b, err)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	b.Cleanup(func() {
		stop()
		require.NoError(b, <-done)
	})
	require.Eventually(b, func() bool {
		return p.Publish(ctx, rabbitmq.Message{RoutingKey: queue, ID: "warm-up"}) == nil
	}, patience, 10*time.Millisecond)
	return func(m rabbitmq.Message) error { return p.Publish(context.Background(), m) }
}
