package lab

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twinlane/twinlane/internal/rabbitmq"
)

// publishers is the story of A's publisher: from one connection that all share,
// over one for each request, to a pool.
func publishers() Experiment {
	return Experiment{
		Name:     "publishers",
		Part:     "A",
		Question: "How can many requests at once publish to RabbitMQ so that it is fast, and so that nothing that was accepted gets lost?",
		Method: "Callers publish a small persistent message to a durable queue as soon as their last one was accepted, each as an HTTP request would. " +
			"Accepted means confirmed: the broker has the message on disk. The ways differ in what the callers share: one channel used as if it were safe " +
			"for threads, one channel with a lock, a connection for each request, a channel lent to one request at a time (" + fmt.Sprint(exclusiveChannels) + " of them), or the pool, " +
			"a few channels with many confirms in flight on each. The last two cases cut the connection again and again, refuse what comes while there is none, and count what was accepted and never arrived. " +
			"Where a case names a rate, requests come at that rate, whether or not the last one was accepted.",
		Notes: []string{
			"The client of the original was not safe for threads at all. The Go client locks each publish, so one channel for all does work here; what it does not lock are calls that " +
				"wait for an answer, such as declaring the queue before each publish, as many examples do. The broker then gets a frame amid another's message and hangs up on everybody. How often two calls meet is chance: here it is less often than in the original, " +
				"though messages have 8 KiB in these cases, which seldom leave the client in one piece, and some 200 bytes in all others.",
			"Mean times follow Little's law by themselves, as callers wait for their answers: callers ÷ rate. That the two agree says that nothing was left out.",
			"A confirm that did not come does not mean that the message was lost: the pool publishes it again under its id, which may deliver it twice, and never loses it.",
		},
		Broker: true,
		Quantities: []Quantity{
			{Key: "confirmed_messages_per_second", Name: "accepted", Unit: PerSecond},
			{Key: "accept_time_mean_seconds", Name: "time to accept, mean", Unit: Seconds},
			{Key: "failed_share", Name: "failed", Unit: Share},
			{Key: "lost_messages", Name: "accepted and lost", Unit: Count},
			{Key: "accept_time_p50_seconds", Name: "accept p50", Unit: Seconds, Aside: true},
			{Key: "accept_time_p95_seconds", Name: "p95", Unit: Seconds, Aside: true},
			{Key: "accept_time_p99_seconds", Name: "p99", Unit: Seconds, Aside: true},
			{Key: "accepted_messages", Name: "accepted in all", Unit: Count, Aside: true},
			{Key: "duplicate_messages", Name: "delivered twice", Unit: Count, Aside: true},
		},
		Cases:   publisherCases,
		Finding: publishersFinding,
	}
}

const (
	exclusiveChannels = 16
	publisherPatience = time.Minute // nobody is refused for want of a turn: it would hide how long turns take
)

// way is a strategy of the publisher, and what was published of it.
type way struct {
	name         string
	strategy     rabbitmq.Strategy
	channels     int
	time, failed Value
}

func ways() []way {
	return []way{
		{name: "one channel with a lock", strategy: rabbitmq.StrategyShared},
		{name: "a connection per request", strategy: rabbitmq.StrategyPerRequest, time: Words("as slow as sync"), failed: Number(0)},
		{name: "a channel per request", strategy: rabbitmq.StrategyExclusive, channels: exclusiveChannels},
		{name: "the pool", strategy: rabbitmq.StrategyPooled, time: Range(.002, .004), failed: Number(0)},
	}
}

func (w way) caseName(callers int) string {
	if callers == 1 {
		return w.name + ", 1 caller"
	}
	return fmt.Sprintf("%s, %d callers", w.name, callers)
}

// publisherCallers are the numbers of callers, the busiest last. One is the
// measure of what a publish takes when nobody else does.
func publisherCallers(size Size) []int {
	return Pick(size, []int{1, 100, 400}, []int{1, 100}, []int{1, 8})
}

func publisherCases(size Size) []Case {
	window := Pick(size, 3500*time.Millisecond, time.Second, 200*time.Millisecond)
	cases := naiveCases(size)
	for _, w := range ways() {
		alone := 0.0 // seconds of a publish of one caller
		for _, callers := range publisherCallers(size) {
			cases = append(cases, Case{
				Name:  w.caseName(callers),
				Takes: window + window/10,
				Measure: func(ctx context.Context, e *Env) ([]Figure, error) {
					load, err := w.run(ctx, e, callers, window)
					if err != nil {
						return nil, err
					}
					if callers == 1 {
						alone = load.mean()
					}
					return w.figures(load, callers, alone), nil
				},
			})
		}
	}
	return append(cases, cutCases(size)...)
}

// run has callers publish one message after the other for as long as the window is.
func (w way) run(ctx context.Context, e *Env, callers int, window time.Duration) (load load, err error) {
	queue, err := e.Broker.Queue(ctx, string(w.strategy))
	if err != nil {
		return load, err
	}
	defer func() { err = errors.Join(err, e.Broker.Delete(ctx, queue)) }()
	p, stop, err := e.Broker.Publisher(ctx, "lab-"+string(w.strategy), rabbitmq.PublisherConfig{
		Strategy: w.strategy, Channels: w.channels, AcquireWait: publisherPatience, ConfirmTimeout: publisherPatience,
	}, e.Metrics)
	if err != nil {
		return load, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	load = closedLoop(ctx, callers, window, func(ctx context.Context) error { return p.Publish(ctx, labMessage(queue, "one")) })
	return load, context.Cause(ctx)
}

// figures lays out a load. Alone is how long a publish takes of one caller.
func (w way) figures(l load, callers int, alone float64) []Figure {
	rate := Figure{Quantity: "confirmed_messages_per_second", Measured: Number(l.rate())}
	if callers > 1 {
		atOnce, theory := callers, "callers ÷ time of a publish with one caller, as long as nothing else is the limit"
		if w.strategy == rabbitmq.StrategyExclusive && callers > exclusiveChannels {
			atOnce, theory = exclusiveChannels, "channels ÷ time of a publish with one caller"
		}
		rate.Predicted, rate.Theory = AtMost(float64(atOnce)/alone), theory
	}
	mean := Figure{Quantity: "accept_time_mean_seconds", Measured: Number(l.mean())}
	if callers > 1 {
		mean.Published = w.time
		mean.Predicted, mean.Theory = Number(float64(callers)/l.rate()), "callers ÷ measured rate (Little's law)"
	}
	failed := Figure{Quantity: "failed_share", Published: w.failed, Measured: Number(l.failedShare()), Predicted: Number(0)}
	return []Figure{
		rate, mean, failed,
		Measured("accept_time_p50_seconds", l.quantile(.5)),
		Measured("accept_time_p95_seconds", l.quantile(.95)),
		Measured("accept_time_p99_seconds", l.quantile(.99)),
		Measured("accepted_messages", float64(len(l.accepted))),
	}
}

func publishersFinding(t Table) string {
	const rate = "confirmed_messages_per_second"
	all := ways()
	busiest := make([]string, len(all)) // the case of each way with the most callers
	for i, w := range all {
		for _, row := range t {
			if strings.HasPrefix(row.Case, w.name+", ") {
				busiest[i] = row.Case
			}
		}
	}
	shared, perRequest, pool := t.Measured(busiest[0], rate), t.Measured(busiest[1], rate), t.Measured(busiest[3], rate)
	verdict := Times.format(pool/perRequest) + " as many messages as"
	if pool <= perRequest {
		verdict = "no more messages here, against what was published, than"
	}
	other := ""
	if shared > 1.1*pool {
		other = fmt.Sprintf(", if fewer than one channel with a lock (%s)", PerSecond.format(shared))
	}
	return fmt.Sprintf("The pool accepts %s a connection for each request (%s against %s, %s against %s to accept one)%s, and loses %s of them when the connection is cut; "+
		"a channel that is shared without care fails %s of the requests at %s, and to publish without waiting for confirms lost %s that had been accepted.",
		verdict, PerSecond.format(pool), PerSecond.format(perRequest),
		Seconds.format(t.Measured(busiest[3], "accept_time_mean_seconds")), Seconds.format(t.Measured(busiest[1], "accept_time_mean_seconds")), other,
		messages(t.Measured(confirmedName, "lost_messages")),
		Share.format(t.Measured(naiveName(naiveRate), "failed_share")), PerSecond.format(naiveRate),
		messages(t.Measured(unconfirmedName, "lost_messages")))
}

func messages(n float64) string {
	switch n {
	case 0:
		return "none"
	case 1:
		return "1 message"
	default:
		return Count.format(n) + " messages"
	}
}
