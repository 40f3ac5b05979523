package lab

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/twinlane/twinlane/worker/internal/executor"
)

// loop is an event loop: one goroutine that does one thing after the other, with
// a mailbox in front of it and a clock beside it. Whatever it does it does by an
// executor of the model serial, under the eyes of a watchdog.
type loop struct {
	name    string
	exec    executor.Executor
	mailbox chan func()
	// tick, if it is not zero, is how often onTick happens. A tick that is due
	// while the loop is busy happens afterwards; of several, one does.
	tick   time.Duration
	onTick func()
}

// newLoop returns a loop whose mailbox takes so many messages.
func (e *Env) newLoop(name string, mailbox int) (*loop, error) {
	exec, err := e.newExecutor(name, executor.Config{Model: executor.ModelSerial, Concurrency: 1, OSThreads: true})
	if err != nil {
		return nil, err
	}
	return &loop{name: name, exec: exec, mailbox: make(chan func(), mailbox)}, nil
}

// post puts a message into the mailbox, which has room for all that are sent.
func (l *loop) post(message func()) { l.mailbox <- message }

// run loops until ctx ends.
func (l *loop) run(ctx context.Context, dog *executor.Watchdog) error {
	watch := dog.Loop(l.name)
	defer watch.Close()
	var ticks <-chan time.Time
	if l.tick > 0 {
		ticker := time.NewTicker(l.tick)
		defer ticker.Stop()
		ticks = ticker.C
	}
	for {
		var event func()
		select {
		case event = <-l.mailbox:
		case <-ticks:
			event = l.onTick
		case <-ctx.Done():
			return nil
		}
		watch.Begin()
		err := l.exec.Submit(ctx, executor.Task{Run: event})
		watch.End()
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("loop %s: %w", l.name, err)
		}
	}
}

// warnings keeps what a watchdog reports: a slog.Handler that counts.
type warnings struct {
	mu      sync.Mutex
	count   int
	stacks  int    // of those that have one
	first   string // the first one, in words
	longest time.Duration
}

// Enabled implements slog.Handler.
func (w *warnings) Enabled(context.Context, slog.Level) bool { return true }

// WithAttrs implements slog.Handler.
func (w *warnings) WithAttrs([]slog.Attr) slog.Handler { return w }

// WithGroup implements slog.Handler.
func (w *warnings) WithGroup(string) slog.Handler { return w }

// Handle implements slog.Handler.
func (w *warnings) Handle(_ context.Context, r slog.Record) error {
	said := map[string]string{}
	r.Attrs(func(a slog.Attr) bool {
		said[a.Key] = a.Value.String()
		return true
	})
	blocked, err := time.ParseDuration(said["blocked"])
	if err != nil {
		return fmt.Errorf("a warning says %q of the time: %w", said["blocked"], err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.count++
	w.longest = max(w.longest, blocked)
	if w.count == 1 {
		w.first = fmt.Sprintf("%s blocked for %s", said["loop"], duration(blocked.Seconds()))
	}
	if said["stack"] != "" {
		w.stacks++
	}
	return nil
}
