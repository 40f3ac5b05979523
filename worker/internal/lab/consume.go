package lab

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/twinlane/twinlane/worker/internal/executor"
)

// consume is D1: a consumer that stores each message and waits until it is
// stored, against one that goes on to the next.
func consume() Experiment {
	return Experiment{
		Name:     "consume",
		Part:     "D1",
		Question: "How much more does a consumer get done that does not wait for each write before it takes the next message?",
		Method: "One consumer takes messages from a RabbitMQ queue, stores each, and acks it when it is stored. To store is a publish to a second, durable queue, " +
			"done when the broker has confirmed it: the message is on disk then, as a row in a database would be. " +
			"The consumer either waits for that, one message at a time, or goes on and has up to " + strconv.Itoa(consumeInFlight) + " writes in flight. " +
			"Messages arrive at 2,500/s, or lie there already, as a backlog. The slow store takes " + Seconds.format(consumeDelay.Seconds()) + " more for each write, as one across a network does.",
		Notes: []string{
			"Published for waiting are both 1,700/s and 80 % of 2,500/s, which do not agree; the ratio of 1.47 is that of 2,500 to 1,700.",
			"The published consumer gave up a thread to wait; here a goroutine waits, which costs no thread. What is lost is the same: one write at a time.",
			"Arrivals, consumer and broker share the processors of this machine, so the figures without waiting are bounds of the machine and not of the consumer.",
		},
		Broker: true,
		Quantities: []Quantity{
			{Key: "stored_messages_per_second", Name: "stored", Unit: PerSecond},
			{Key: "stored_share_of_arrivals", Name: "share of arrivals", Unit: Share},
			{Key: "ratio_to_waiting", Name: "compared to waiting", Unit: Times},
			{Key: "arrived_messages_per_second", Name: "arrived", Unit: PerSecond, Aside: true},
			{Key: "left_messages", Name: "left in the queue", Unit: Count, Aside: true},
			{Key: "write_mean_seconds", Name: "a write took (mean)", Unit: Seconds, Aside: true},
		},
		Cases:   consumeCases,
		Finding: consumeFinding,
	}
}

const (
	consumeRate     = 2500 // arrivals a second, as published
	consumeInFlight = 256  // writes at once, of the consumer that does not wait
	consumeDelay    = 5 * time.Millisecond
	// consumeWarmUp is how long messages arrive before anything is counted.
	consumeWarmUp = 300 * time.Millisecond
)

// consumeLoad is what a pair of cases has in common.
type consumeLoad struct {
	name    string
	delay   time.Duration // added to each write
	backlog bool          // nothing arrives, everything is there
	// What was published of the consumer that waits, and of the one that does not.
	waiting, inFlight consumePublished
}

type consumePublished struct{ rate, share, ratio Value }

func consumeLoads() []consumeLoad {
	return []consumeLoad{
		{
			name:     "2,500/s arrive",
			waiting:  consumePublished{rate: Number(1700), share: Number(.8)},
			inFlight: consumePublished{rate: Number(2500), share: Number(1), ratio: Number(1.47)},
		},
		{name: "backlog", backlog: true, inFlight: consumePublished{rate: Number(15_000)}},
		{name: "slow store, 2,500/s arrive", delay: consumeDelay},
		{name: "slow store, backlog", delay: consumeDelay, backlog: true},
	}
}

func (l consumeLoad) waitingName() string  { return "one at a time, " + l.name }
func (l consumeLoad) inFlightName() string { return "many in flight, " + l.name }

func consumeCases(size Size) []Case {
	window := Pick(size, 8*time.Second, 1500*time.Millisecond, 500*time.Millisecond)
	backlog := Pick(size, 20_000, 6_000, 1_000) * int(window/time.Second+1) / 2
	var cases []Case
	for _, load := range consumeLoads() {
		waited := 0.0 // the rate of the first of the pair
		run := consumeRun{consumeLoad: load, window: window, messages: backlog}
		takes := window + consumeWarmUp + time.Second
		cases = append(cases,
			Case{Name: load.waitingName(), Takes: takes, Measure: func(ctx context.Context, e *Env) ([]Figure, error) {
				write, err := run.writeAlone(ctx, e)
				if err != nil {
					return nil, err
				}
				m, err := run.measure(ctx, e, executor.Config{Model: executor.ModelSerial, Concurrency: 1})
				waited = m.rate
				most := 1 / write.Seconds()
				theory := "1 ÷ time of one write, measured alone"
				if !load.backlog {
					most = min(most, consumeRate)
					theory += ", or all that arrive"
				}
				return run.figures(m, load.waiting, most, theory, 0), err
			}},
			Case{Name: load.inFlightName(), Takes: takes, Measure: func(ctx context.Context, e *Env) ([]Figure, error) {
				m, err := run.measure(ctx, e, executor.Config{Model: executor.ModelGoroutine, Concurrency: consumeInFlight})
				return run.figures(m, load.inFlight, consumeRate, "all that arrive", m.rate/waited), err
			}})
	}
	return cases
}

// figures lays out what was measured. Predicted is the rate that theory says; a
// ratio of zero is none.
func (r consumeRun) figures(m consumed, published consumePublished, predicted float64, theory string, ratio float64) []Figure {
	stored := Figure{Quantity: "stored_messages_per_second", Published: published.rate, Measured: Number(m.rate)}
	if !r.backlog || ratio == 0 {
		stored.Predicted, stored.Theory = Number(predicted), theory
	}
	figures := []Figure{stored}
	if !r.backlog {
		share := Figure{Quantity: "stored_share_of_arrivals", Published: published.share, Measured: Number(min(1, m.rate/m.arrived))}
		share.Predicted, share.Theory = Number(predicted/consumeRate), "predicted rate ÷ 2,500/s"
		figures = append(figures, share)
	}
	if ratio > 0 {
		figures = append(figures, Figure{Quantity: "ratio_to_waiting", Published: published.ratio, Measured: Number(ratio)})
	}
	if !r.backlog {
		figures = append(figures, Measured("arrived_messages_per_second", m.arrived))
	}
	return append(figures, Measured("left_messages", float64(m.left)), Measured("write_mean_seconds", m.write.Seconds()))
}

func consumeFinding(t Table) string {
	loads := consumeLoads()
	rate := func(name string) float64 { return t.Measured(name, "stored_messages_per_second") }
	ratio := func(l consumeLoad) string { return Times.format(t.Measured(l.inFlightName(), "ratio_to_waiting")) }
	arrive, backlog := loads[0], loads[1]
	share := func(name string) float64 { return t.Measured(name, "stored_share_of_arrivals") }
	arrived := func(name string) string { return PerSecond.format(t.Measured(name, "arrived_messages_per_second")) }
	waiting, inFlight := arrive.waitingName(), arrive.inFlightName()
	waits := fmt.Sprintf("A consumer that waits for each write stores %s of the %s that arrive and falls behind", Share.format(share(waiting)), arrived(waiting))
	if share(waiting) > .97 {
		waits = fmt.Sprintf("Here a write is so fast that even a consumer that waits for each keeps up with the %s that arrive, against what was published", arrived(waiting))
	}
	return fmt.Sprintf("%s, one with up to %d writes in flight stores %s of %s and, from a backlog, %s as many as when it waits (%s); with a store that takes %s longer for each write it is %s.",
		waits, consumeInFlight, Share.format(share(inFlight)), arrived(inFlight),
		ratio(backlog), PerSecond.format(rate(backlog.inFlightName())), Seconds.format(consumeDelay.Seconds()), ratio(loads[3]))
}
