package lab

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/twinlane/twinlane/worker/internal/executor"
)

// The quantities of ordering.
const (
	outOfOrder       = "out_of_order_results_count"
	outOfOrderInKey  = "out_of_order_results_within_key_count"
	orderingSeconds  = "took_seconds"
	orderingMessages = "messages_count"
)

// The sizes of ordering.
const (
	orderingAtOnce = 10
	orderingKeys   = 20
	orderingSeed   = 4
	// Most messages take little, and one in ten is slow.
	orderingQuick = time.Millisecond
	orderingSlow  = 11 * time.Millisecond
	orderingMean  = (9*orderingQuick + orderingSlow) / 10
)

// ordering is experiment D4: later messages that are done before earlier ones.
func ordering() Experiment {
	return Experiment{
		Name:     "ordering",
		Part:     "D4",
		Question: "Which results come out of order when a consumer does not wait for one message before it takes the next?",
		Method: "Messages are handed over in their order, one after the other, and belong to 20 keys in turn, as if each were about one of 20 accounts. Most take 1 ms and one in ten, at random and the same ones under each model, takes 11 ms. " +
			"A result is out of order if that of a later message came before it: over all messages, and among those of its own key.",
		Notes: []string{
			"Whoever needs order seldom needs it over everything: what belongs together has a key, and what has a key is done in turn, while the rest goes on.",
		},
		Quantities: []Quantity{
			{Key: outOfOrder, Name: "out of order", Unit: Count},
			{Key: outOfOrderInKey, Name: "within a key", Unit: Count},
			{Key: orderingSeconds, Name: "took", Unit: Seconds},
			{Key: orderingMessages, Name: "messages", Unit: Count, Aside: true},
		},
		Cases:   orderingCases,
		Finding: orderingFinding,
	}
}

// The cases of ordering.
const (
	serially     = "serial"
	singleWorker = "pool of 1"
	tenWorkers   = "pool of 10"
	tenAtOnce    = "goroutine, 10 at once"
	keyedTen     = "keyed, 10 at once"
)

func orderingCases(size Size) []Case {
	count := Pick(size, 5000, 1000, 200)
	alone := orderingMean * time.Duration(count)
	waiting := count // all of them, so that no key keeps others from being taken in
	var cases []Case
	for _, c := range []struct {
		name    string
		config  executor.Config
		atOnce  int
		ordered bool
		keys    bool
	}{
		{serially, executor.Config{Model: executor.ModelSerial, Concurrency: 1}, 1, true, true},
		{singleWorker, executor.Config{Model: executor.ModelPool, Pool: executor.Single()}, 1, true, true},
		{tenWorkers, executor.Config{Model: executor.ModelPool, Pool: executor.Fixed(orderingAtOnce)}, orderingAtOnce, false, false},
		{tenAtOnce, executor.Config{Model: executor.ModelGoroutine, Concurrency: orderingAtOnce}, orderingAtOnce, false, false},
		{keyedTen, executor.Config{Model: executor.ModelKeyed, Concurrency: orderingAtOnce, KeyQueue: waiting}, orderingAtOnce, false, true},
	} {
		takes := alone / time.Duration(c.atOnce)
		cases = append(cases, Case{Name: c.name, Takes: takes, Measure: func(ctx context.Context, e *Env) ([]Figure, error) {
			exec, err := e.newExecutor("", c.config)
			if err != nil {
				return nil, err
			}
			results, took, err := inOrder(ctx, exec, count)
			if err != nil {
				return nil, err
			}
			all, within := disorder(results)
			lost := Value{}
			if !c.keys {
				lost = Words("order is lost")
			}
			return []Figure{
				{Quantity: outOfOrder, Published: lost, Predicted: someUnless(c.ordered), Measured: Number(float64(all))},
				{Quantity: outOfOrderInKey, Predicted: someUnless(c.keys), Measured: Number(float64(within))},
				{Quantity: orderingSeconds, Predicted: Number(takes.Seconds()), Theory: "messages × 2 ms ÷ messages at once", Measured: Number(took.Seconds())},
				Measured(orderingMessages, float64(count)),
			}, nil
		}})
	}
	return cases
}

func someUnless(ordered bool) Value {
	if ordered {
		return Number(0)
	}
	return AtLeast(1)
}

// inOrder submits messages in their order and returns their numbers in the order
// of their results.
func inOrder(ctx context.Context, exec observed, count int) ([]int, time.Duration, error) {
	random := rand.New(rand.NewPCG(orderingSeed, orderingSeed)) //nolint:gosec // The same for each model.
	var mu sync.Mutex
	results := make([]int, 0, count)
	start := time.Now()
	var err error
	for i := 0; i < count && err == nil; i++ {
		work := orderingQuick
		if random.IntN(10) == 0 {
			work = orderingSlow
		}
		err = exec.Submit(ctx, executor.Task{Key: strconv.Itoa(keyOf(i)), Run: func() {
			_ = pause(ctx, work)
			mu.Lock()
			defer mu.Unlock()
			results = append(results, i)
		}})
	}
	exec.Drain(context.WithoutCancel(ctx))
	if err == nil {
		err = context.Cause(ctx)
	}
	return results, time.Since(start), err
}

func keyOf(message int) int { return message % orderingKeys }

// disorder counts the results that came after that of a later message, over all
// messages and among those of the same key.
func disorder(results []int) (all, within int) {
	latest := -1
	var latestOf [orderingKeys]int // plus one, of each key
	for _, i := range results {
		if i < latest {
			all++
		}
		latest = max(latest, i)
		if i+1 < latestOf[keyOf(i)] {
			within++
		}
		latestOf[keyOf(i)] = max(latestOf[keyOf(i)], i+1)
	}
	return all, within
}

func orderingFinding(t Table) string {
	count := func(name, quantity string) string { return Count.format(t.Measured(name, quantity)) }
	seconds := func(name string) string { return Seconds.format(t.Measured(name, orderingSeconds)) }
	return fmt.Sprintf("Of %s results, %s came out of order with 10 goroutines at once and %s from a pool of 10, %s and %s of them among those of one key; "+
		"under serial it was %s, in %s instead of %s; under keyed it was %s within a key, in %s.",
		count(serially, orderingMessages), count(tenAtOnce, outOfOrder), count(tenWorkers, outOfOrder), count(tenAtOnce, outOfOrderInKey), count(tenWorkers, outOfOrderInKey),
		none(count(serially, outOfOrder)), seconds(serially), seconds(tenAtOnce), none(count(keyedTen, outOfOrderInKey)), seconds(keyedTen))
}

func none(count string) string {
	if count == "0" {
		return "none"
	}
	return count
}
