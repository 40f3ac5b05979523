package lab

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/twinlane/twinlane/worker/internal/executor"
)

// The quantities of eventloop.
const (
	sentPerMinute     = "sent_messages_per_minute"
	receivedPerMinute = "received_messages_per_minute"
	atWorkAtOnce      = "receivers_at_work_at_once_count"
	loopThreads       = "threads_count"
	watchdogWarnings  = "watchdog_warnings_count"
	watchdogStacks    = "watchdog_warnings_with_stack_count"
	watchdogFirst     = "watchdog_first_warning"
	watchdogLongest   = "watchdog_longest_block_seconds"
	unreceived        = "unreceived_messages_count"
)

// What the write-up measures: the times of the sender and of the receivers.
const (
	sendInterval  = 100 * time.Millisecond
	fastInterval  = 10 * time.Millisecond
	receiveBlocks = 300 * time.Millisecond
	receivers     = 10
	// tooMany is more receivers than there are threads for.
	tooMany = 15
)

// eventloop is experiment B: what a blocking receiver does to an event loop.
func eventloop() Experiment {
	return Experiment{
		Name:     "eventloop",
		Part:     "B",
		Question: "What does a receiver that blocks do to the event loop that it runs on, and where should it run instead?",
		Method: "A sender posts a message every 100 ms (10 ms in one case, from a worker: executeBlocking), and a receiver blocks for 300 ms over each message. " +
			"An event loop does one thing after the other on one thread: here, one executor of the model serial. A worker pool has 10 threads: an executor of the model pool. " +
			"Ordered calls are a receiver's blocking steps on those workers with ordered=true: an executor of the model keyed. " +
			"Every loop and every worker has an OS thread to itself, as on the JVM. A watchdog warns of a loop that is busy with one thing for longer than 200 ms, and looks every 50 ms; " +
			"with its usual limit of 2 s it would see nothing of blocks of 300 ms. With --quick all of these times are a third.",
		Notes: []string{
			"A receiver alone does 60 s ÷ 0.3 s = 200 messages a minute, and 10 at once do 2,000, whatever the rate at which they are sent. What is sent and not received stays in a mailbox, which grows.",
			"On the JVM there are 2 event loops for each core, whether they have work or not; here only those are counted that take part.",
			"Without executeBlocking the write-up's sender waits on its loop; here a clock ticks beside the loop, and a tick that is due while the loop is blocked happens late, once. That is why one loop for both comes to the upper end of what is predicted.",
			"In Go a goroutine that blocks gives its thread to others, so nobody needs an event loop for that. One goroutine that takes deliveries from a channel is one all the same: EXECUTOR=serial.",
		},
		Quantities: []Quantity{
			{Key: sentPerMinute, Name: "sent", Unit: PerMinute},
			{Key: receivedPerMinute, Name: "received", Unit: PerMinute},
			{Key: atWorkAtOnce, Name: "at work at once", Unit: Count},
			{Key: loopThreads, Name: "threads", Unit: Count},
			{Key: unreceived, Name: "left in the mailbox", Unit: Count, Aside: true},
			{Key: watchdogWarnings, Name: "warnings", Unit: Count, Aside: true},
			{Key: watchdogStacks, Name: "with a stack", Unit: Count, Aside: true},
			{Key: watchdogLongest, Name: "longest block", Unit: Seconds, Aside: true},
			{Key: watchdogFirst, Name: "first warning", Unit: Count, Aside: true},
		},
		Cases:   eventloopCases,
		Finding: eventloopFinding,
	}
}

// The cases of eventloop that its finding speaks of.
const (
	oneLoop      = "one loop for both"
	ownLoops     = "a loop each"
	workerPool   = "10 receivers, 10 workers"
	fastWorkers  = "10 receivers, 10 workers, 10 ms"
	orderedCalls = "ordered calls"
	tooFew       = "15 receivers, 10 workers"
)

func eventloopCases(size Size) []Case {
	// All times are a part of those in the write-up, so that a shorter run has as
	// many messages.
	part := Pick[time.Duration](size, 1, 3, 10)
	length := Pick(size, 12*time.Second, 2500*time.Millisecond, 500*time.Millisecond)
	var cases []Case
	for _, a := range []arrangement{
		{
			name: oneLoop, threads: "1 loop", sent: Number(200), received: Number(200), connect: (*postOffice).oneLoop,
			predictedSent: Range(150, 200), predictedReceived: Range(150, 200), theory: "60 s ÷ (0.1 s + 0.3 s) to 60 s ÷ 0.3 s",
		},
		{
			name: ownLoops, threads: "2 × cores", sent: Number(600), received: Number(200), connect: (*postOffice).ownLoops,
			predictedSent: Number(600), predictedReceived: Number(200), theory: "60 s ÷ 0.3 s, one receiver",
		},
		{
			name: workerPool, threads: "2 × cores + 10", sent: Number(600), received: Number(600), connect: (*postOffice).workerPool,
			predictedSent: Number(600), predictedReceived: Number(600), theory: "all that is sent, which is less than 10 × 60 s ÷ 0.3 s",
		},
		{
			name: fastWorkers, threads: "2 × cores + 10", sent: Number(6000), received: Number(2000), connect: (*postOffice).blockingSender,
			fast: true, predictedSent: Number(6000), predictedReceived: Number(2000), theory: "10 × 60 s ÷ 0.3 s, ten receivers",
		},
		{
			name: orderedCalls, connect: (*postOffice).orderedReceiver,
			predictedSent: Number(600), predictedReceived: Number(200), theory: "60 s ÷ 0.3 s: one after the other, however many threads there are",
		},
	} {
		cases = append(cases, Case{Name: a.name, Takes: length, Measure: func(ctx context.Context, e *Env) ([]Figure, error) {
			return a.measure(ctx, e, part, length)
		}})
	}
	return append(cases, Case{Name: tooFew, Takes: receiveBlocks / part, Measure: func(ctx context.Context, e *Env) ([]Figure, error) {
		return moreThanThreads(ctx, e, receiveBlocks/part)
	}})
}

// arrangement is who runs where.
type arrangement struct {
	name                             string
	connect                          func(p *postOffice) error
	fast                             bool   // messages are sent at the faster rate
	threads                          string // this and the next two: as published
	sent, received                   Value
	predictedSent, predictedReceived Value
	theory                           string
}

// measure runs an arrangement for length, with all times a part of the real ones.
func (a arrangement) measure(ctx context.Context, e *Env, part, length time.Duration) ([]Figure, error) {
	w := &warnings{}
	dog := executor.NewWatchdog(executor.WatchdogConfig{
		Limit: executor.DefaultBlockedLimit / 10 / part, Interval: executor.DefaultCheckInterval / 20 / part,
	}, e.Metrics, slog.New(w))
	interval := sendInterval / part
	if a.fast {
		interval = fastInterval / part
	}
	p := &postOffice{
		env: e, interval: interval, blocks: receiveBlocks / part,
		mailbox: int(length/interval) + 2, // all that can be sent
	}
	if err := a.connect(p); err != nil {
		return nil, err
	}
	elapsed, err := p.run(ctx, dog, length)
	if err != nil {
		return nil, err
	}
	perMinute := func(n int64) float64 { return float64(n) / elapsed.Minutes() / float64(part) }
	sent, received := p.sent.Load(), p.received.Load()
	figures := []Figure{
		{Quantity: sentPerMinute, Published: a.sent, Predicted: a.predictedSent, Measured: Number(perMinute(sent)), Extrapolated: true},
		{Quantity: receivedPerMinute, Published: a.received, Predicted: a.predictedReceived, Theory: a.theory, Measured: Number(perMinute(received)), Extrapolated: true},
		{Quantity: loopThreads, Published: Words(a.threads), Measured: Number(float64(p.threads()))},
		Measured(unreceived, float64(sent-received)),
		Measured(watchdogWarnings, float64(w.count)),
		Measured(watchdogStacks, float64(w.stacks)),
	}
	if w.count > 0 {
		figures = append(figures,
			Measured(watchdogLongest, w.longest.Seconds()),
			Figure{Quantity: watchdogFirst, Measured: Words(w.first)})
	}
	return figures, nil
}

// moreThanThreads gives each of too many receivers a message at the same time.
func moreThanThreads(ctx context.Context, e *Env, blocks time.Duration) ([]Figure, error) {
	pool, err := e.newExecutor("", executor.Config{Model: executor.ModelPool, Pool: executor.Fixed(receivers), OSThreads: true})
	if err != nil {
		return nil, err
	}
	for range tooMany {
		if err = pool.Submit(ctx, executor.Task{Run: func() { _ = pause(ctx, blocks) }}); err != nil {
			break
		}
	}
	stats := pool.Stats()
	pool.Drain(context.WithoutCancel(ctx))
	if err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return nil, err
	}
	return []Figure{
		{
			Quantity: atWorkAtOnce, Published: Words("some have no thread"),
			Predicted: Number(receivers), Theory: fmt.Sprintf("the smaller one of %d receivers and %d threads", tooMany, receivers),
			Measured: Number(float64(stats.Running)),
		},
		{Quantity: loopThreads, Measured: Number(float64(stats.LargestWorkers))},
		Measured(unreceived, float64(stats.Queued)),
	}, nil
}

func eventloopFinding(t Table) string {
	sent := func(name string) float64 { return t.Measured(name, sentPerMinute) }
	received := func(name string) float64 { return t.Measured(name, receivedPerMinute) }
	show := PerMinute.format
	held := fmt.Sprintf("held its own event loop back to %s sent messages instead of %s, and a loop for each sent more", show(sent(oneLoop)), show(sent(ownLoops)))
	if sent(oneLoop) > .9*sent(ownLoops) {
		held = fmt.Sprintf("did not hold its own event loop back here, against what was published (%s sent messages, and %s with a loop for each), and a loop for each sent them",
			show(sent(oneLoop)), show(sent(ownLoops)))
	}
	more := "without receiving more"
	if received(ownLoops) > 1.1*received(oneLoop) {
		more = fmt.Sprintf("and received %.1f times as much", received(ownLoops)/received(oneLoop))
	}
	took := fmt.Sprintf("took what came (%s)", show(received(workerPool)))
	if received(workerPool) < .9*sent(workerPool) {
		took = fmt.Sprintf("took %s of the %s that came", show(received(workerPool)), show(sent(workerPool)))
	}
	return fmt.Sprintf("A receiver that blocks %s %s (%s after %s); "+
		"10 receivers on workers %s, and at most %.1f times as much as one does (%s): blocking work belongs on workers, as many as it takes, and not on a loop.",
		held, more, show(received(ownLoops)), show(received(oneLoop)), took, received(fastWorkers)/received(ownLoops), show(received(fastWorkers)))
}
