package browsertest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// patience is how long a page may take to do what it is told.
const patience = 60 * time.Second

// View is how a page is shown.
type View struct {
	Width, Height int    // of the window in CSS pixels; 1280 by 800 where they are 0
	Dark          bool   // the reader prefers dark pages
	Phone         bool   // a small touch screen, on which the viewport of the page counts
	Media         string // "print" shows the page as it is printed; empty is the screen
}

// Page is a page in a tab of its own. What cannot be done on it fails the test
// that opened it.
type Page struct {
	t   testing.TB
	ctx context.Context //nolint:containedctx // It is how chromedp hands on a tab.

	mu       sync.Mutex
	problems []string
	requests []string
}

// Open loads a page and returns when it has loaded. The tab is closed at the
// end of the test.
func (b *Browser) Open(t testing.TB, url string, view View) *Page {
	t.Helper()
	ctx, cancel := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	p := &Page{t: t, ctx: ctx}
	require.NoError(t, chromedp.Listen(ctx, p.listen), "open a tab")
	p.Show(view)
	p.Run(
		command(runtime.Enable, cdp.Empty{}), command(log.Enable, cdp.Empty{}), command(network.Enable, network.EnableParams{}),
		chromedp.Navigate(url),
	)
	return p
}

// Show changes how the page is shown.
func (p *Page) Show(view View) {
	p.t.Helper()
	metrics := emulation.SetDeviceMetricsOverrideParams{
		Width: int64(view.Width), Height: int64(view.Height), DeviceScaleFactor: 1, Mobile: view.Phone,
	}
	if view.Width == 0 {
		metrics.Width = 1280
	}
	if view.Height == 0 {
		metrics.Height = 800
	}
	scheme := "light"
	if view.Dark {
		scheme = "dark"
	}
	p.Run(
		command(emulation.SetDeviceMetricsOverride, metrics),
		command(emulation.SetTouchEmulationEnabled, emulation.SetTouchEmulationEnabledParams{Enabled: view.Phone}),
		command(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Media: view.Media,
			Features: []*emulation.MediaFeature{
				{Name: "prefers-color-scheme", Value: scheme},
				{Name: "prefers-reduced-motion", Value: "reduce"}, // nothing moves while it is looked at
			},
		}),
	)
}

// command is the action of one command of the protocol.
func command[P, R any](name cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, name, params)
		return err
	})
}

// Run does actions on the page, one after the other.
func (p *Page) Run(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	require.NoError(p.t, chromedp.Do(ctx, actions...))
}

// Get does an action on the page and returns what comes of it.
func Get[T any](p *Page, action chromedp.Action[T]) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, action)
	require.NoError(p.t, err)
	return value
}

// Eval evaluates a JavaScript expression in the page, waits for it where it is
// a promise, and decodes its value as JSON.
func Eval[T any](p *Page, expression string) T {
	p.t.Helper()
	return Get(p, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
}

// Problems are what the page complained of until now: errors and warnings on
// the console, exceptions that nobody caught, and what could not be loaded or
// was blocked.
func (p *Page) Problems() []string {
	p.t.Helper()
	return p.collect(&p.problems)
}

// Requests are the addresses that the page asked for until now, its own first.
func (p *Page) Requests() []string {
	p.t.Helper()
	return p.collect(&p.requests)
}

// collect copies a list of what the page has said so far: that comes before
// the answer to anything that is asked now.
func (p *Page) collect(list *[]string) []string {
	p.t.Helper()
	Eval[int](p, "0")
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(*list)
}

// listen takes in an event of the page. chromedp calls it, one event after the
// other, on a goroutine that it must not hold up.
func (p *Page) listen(event any) {
	switch event := event.(type) {
	case *runtime.EventConsoleAPICalled:
		switch event.Type { //nolint:exhaustive // All others are no complaints.
		case runtime.ConsoleAPICalledTypeError, runtime.ConsoleAPICalledTypeWarning, runtime.ConsoleAPICalledTypeAssert:
			p.note(&p.problems, fmt.Sprintf("console %s: %s", event.Type, consoleText(event.Args)))
		}
	case *runtime.EventExceptionThrown:
		text := event.ExceptionDetails.Text
		if exception := event.ExceptionDetails.Exception; exception != nil {
			text += " " + exception.Description
		}
		p.note(&p.problems, "exception: "+text)
	case *log.EventEntryAdded:
		if event.Entry.Level == log.EntryLevelError || event.Entry.Level == log.EntryLevelWarning {
			p.note(&p.problems, fmt.Sprintf("%s: %s %s", event.Entry.Source, event.Entry.Text, event.Entry.URL))
		}
	case *network.EventRequestWillBeSent:
		p.note(&p.requests, event.Request.URL)
	}
}

func (p *Page) note(list *[]string, text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	*list = append(*list, text)
}

// consoleText is what a call of the console printed.
func consoleText(arguments []*runtime.RemoteObject) string {
	parts := make([]string, 0, len(arguments))
	for _, argument := range arguments {
		var text string
		switch {
		case argument.Description != "":
			text = argument.Description
		case json.Unmarshal(argument.Value, &text) != nil:
			text = string(argument.Value)
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, " ")
}
