package executor

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// The times of a watchdog that is not configured otherwise.
const (
	DefaultBlockedLimit  = 2 * time.Second
	DefaultCheckInterval = time.Second
)

// WatchdogConfig says when a loop counts as blocked.
type WatchdogConfig struct {
	// Limit is how long a loop may take over one thing.
	Limit time.Duration
	// Interval is the time between two checks. A loop that is blocked is reported
	// at each of them.
	Interval time.Duration
}

// Watchdog reports loops that are blocked: loops that should hand things on and
// have been busy with one of them for longer than a limit. The first report of a
// block says which loop and for how long. When it lasts, the second, fourth,
// eighth and so on show the stack of the loop's goroutine as well: the process
// stops while its stacks are read.
type Watchdog struct {
	cfg     WatchdogConfig
	logger  *slog.Logger
	reports prometheus.Counter
	blocked prometheus.Gauge

	mu    sync.Mutex
	loops map[*Loop]struct{}
}

// NewWatchdog returns a watchdog that checks while Run runs. Zero times are
// those that are the default. A nil registerer registers nothing, and a nil
// logger discards.
func NewWatchdog(cfg WatchdogConfig, reg prometheus.Registerer, logger *slog.Logger) *Watchdog {
	if cfg.Limit == 0 {
		cfg.Limit = DefaultBlockedLimit
	}
	if cfg.Interval == 0 {
		cfg.Interval = DefaultCheckInterval
	}
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	f := promauto.With(reg)
	return &Watchdog{
		cfg:    cfg,
		logger: logger.With("component", "watchdog"),
		reports: f.NewCounter(prometheus.CounterOpts{
			Name: "watchdog_warnings_total",
			Help: "Reports of a blocked loop, one at each check while it is blocked.",
		}),
		blocked: f.NewGauge(prometheus.GaugeOpts{
			Name: "watchdog_blocked_loops",
			Help: "Loops that were blocked for longer than the limit at the last check.",
		}),
		loops: make(map[*Loop]struct{}),
	}
}

// Loop is a loop that a Watchdog watches. A nil Loop is one that nobody watches.
type Loop struct {
	name      string
	goroutine []byte // how the header of its stack begins
	watchdog  *Watchdog

	since atomic.Int64 // when it began what it is busy with, after start; zero while it is not
	start time.Time    // of the clock that since is read from

	// Of the watchdog alone: the value of since at the last report, and how many
	// there were with that value.
	reported int64
	reports  uint
}

// Loop registers the calling goroutine as a loop. The loop has to be closed.
func (w *Watchdog) Loop(name string) *Loop {
	start := time.Now().Add(-1) // so that since is zero at no time
	l := &Loop{name: name, goroutine: goroutineHeader(), watchdog: w, start: start}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.loops[l] = struct{}{}
	return l
}

// Begin says that the loop begins something that should not take long. It is
// called on the goroutine of the loop, as End is.
func (l *Loop) Begin() {
	if l != nil {
		l.since.Store(int64(time.Since(l.start)))
	}
}

// End says that the loop is done with that.
func (l *Loop) End() {
	if l != nil {
		l.since.Store(0)
	}
}

// Close ends the watch.
func (l *Loop) Close() {
	if l == nil {
		return
	}
	l.watchdog.mu.Lock()
	defer l.watchdog.mu.Unlock()
	delete(l.watchdog.loops, l)
}

// Run checks the loops until ctx ends.
func (w *Watchdog) Run(ctx context.Context) error {
	ticker := time.NewTicker(w.cfg.Interval)
	defer ticker.Stop()
	defer w.blocked.Set(0)
	for {
		select {
		case <-ticker.C:
			w.check()
		case <-ctx.Done():
			return nil
		}
	}
}

func (w *Watchdog) check() {
	w.mu.Lock()
	defer w.mu.Unlock()
	blocked := 0
	var stacks []byte // of all goroutines, made once where it is needed
	for l := range w.loops {
		since := l.since.Load()
		busy := time.Since(l.start) - time.Duration(since)
		if since == 0 || busy < w.cfg.Limit {
			continue
		}
		blocked++
		w.reports.Inc()
		attrs := []any{"loop", l.name, "blocked", busy.String(), "limit", w.cfg.Limit.String()}
		if l.lasts(since) {
			if stacks == nil {
				stacks = allStacks()
			}
			attrs = append(attrs, "stack", stackOf(stacks, l.goroutine))
		}
		w.logger.Warn("loop is blocked", attrs...)
	}
	w.blocked.Set(float64(blocked))
}

// lasts counts a report, and says whether it should show the stack.
func (l *Loop) lasts(since int64) bool {
	if l.reported != since {
		l.reported, l.reports = since, 0
	}
	l.reports++
	return l.reports > 1 && l.reports&(l.reports-1) == 0
}

// goroutineHeader is how the stack of the calling goroutine begins: with its
// number, up to the state in brackets.
func goroutineHeader() []byte {
	buf := make([]byte, 64)
	buf = buf[:runtime.Stack(buf, false)]
	number, _, _ := bytes.Cut(buf, []byte("["))
	return number
}

// maxStacks bounds the memory for the stacks of all goroutines.
const maxStacks = 64 << 20

func allStacks() []byte {
	for size := 1 << 20; ; size *= 2 {
		buf := make([]byte, size)
		if n := runtime.Stack(buf, true); n < size || size >= maxStacks {
			return buf[:n]
		}
	}
}

// stackOf finds the stack of a goroutine among all.
func stackOf(stacks, header []byte) string {
	for stack := range bytes.SplitSeq(stacks, []byte("\n\n")) {
		if bytes.HasPrefix(stack, header) {
			return string(bytes.TrimSpace(stack))
		}
	}
	return fmt.Sprintf("%sis not among the goroutines that fit", header)
}
