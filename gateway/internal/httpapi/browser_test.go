package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/gateway/internal/workerclient"
	"github.com/twinlane/twinlane/internal/browsertest"
	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/task"
)

// lab does tasks in both lanes, in about the time that they ask for, and fails
// those that ask for that.
type lab struct {
	outcomes *fakeOutcomes
	running  sync.WaitGroup

	mu     sync.Mutex
	refuse error // of a publish, where it is not nil
	traces []string
}

const queueWait = 200 * time.Millisecond

// Publish has the task done, as if a worker had consumed it.
func (l *lab) Publish(_ context.Context, m rabbitmq.Message) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refuse != nil {
		return l.refuse
	}
	message, err := task.DecodeMessage(m.Body)
	if err != nil {
		return err
	}
	trace, _ := m.Headers[task.HeaderTraceparent].(string)
	l.traces = append(l.traces, trace)
	l.running.Go(func() {
		<-time.After(queueWait)
		result := l.do(message)
		l.outcomes.mu.Lock()
		defer l.outcomes.mu.Unlock()
		l.outcomes.results[message.ID] = result
		for _, waiting := range l.outcomes.watched[message.ID] {
			waiting <- result
		}
		delete(l.outcomes.watched, message.ID)
	})
	return nil
}

// Execute does a task while its caller waits.
func (l *lab) Execute(_ context.Context, m task.Message, _ task.Headers) (task.Result, error) {
	result := l.do(m)
	if result.Status == task.StatusDead {
		return task.Result{}, &workerclient.TaskError{Reason: result.Reason, Detail: result.Error}
	}
	return result, nil
}

func (l *lab) do(m task.Message) task.Result {
	began := time.Now().UTC()
	<-time.After(m.Duration(time.Second))
	result := task.Result{ID: m.ID, Status: task.StatusCompleted, Attempt: 1, AcceptedAt: m.AcceptedAt, StartedAt: began, FinishedAt: time.Now().UTC()}
	if m.Fail != nil {
		result.Status, result.Reason, result.Error = task.StatusDead, task.ReasonPermanent, "injected failure"
	}
	return result
}

func (l *lab) refuseWith(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refuse = err
}

// row is the newest line of the page's list, as a reader sees it.
type row struct {
	Lane, State, Answer, Queue, Work, All, Bar, Look string
	Links                                            []string
}

const readRow = `(() => {
	const row = document.querySelector('#tasks tbody tr');
	const of = (name) => row.querySelector('[data-of="' + name + '"]').innerText;
	return { Lane: row.querySelector('th').innerText, State: of('State'), Answer: of('Answer'), Queue: of('Queue'),
		Work: of('Service'), All: of('End to end'), Look: of('Look'), Bar: row.querySelector('[role=img]')?.ariaLabel ?? '',
		Links: [...row.querySelectorAll('a')].map((a) => a.href) };
})()`

func awaitRow(t *testing.T, p *browsertest.Page, lane, state string) row {
	t.Helper()
	var newest row
	require.Eventually(t, func() bool {
		if !browsertest.Eval[bool](p, `document.querySelector('#tasks tbody tr') !== null`) {
			return false
		}
		newest = browsertest.Eval[row](p, readRow)
		return newest.Lane == lane && strings.HasPrefix(newest.State, state)
	}, 30*time.Second, 20*time.Millisecond, "%s %s", lane, state)
	return newest
}

func news(p *browsertest.Page) string {
	return browsertest.Eval[string](p, `document.querySelector('[aria-live=polite]').textContent`)
}

func press(lane string) chromedp.Action[chromedp.Void] {
	return chromedp.Click(chromedp.CSS("button[data-lane=" + lane + "]"))
}

// TestPageInABrowser uses the page as a person does.
func TestPageInABrowser(t *testing.T) {
	t.Parallel()
	browser := browsertest.Start(t)
	reports := t.TempDir()
	write(t, reports, "20260102T030405Z/report.html", "<!doctype html><title>Report</title><script>document.title += ' ran'; fetch('/v1/runs/r')</script>")
	l := &lab{outcomes: newOutcomes()}
	t.Cleanup(l.running.Wait)
	api := start(t, Config{
		Publisher: l, Worker: l, Outcomes: l.outcomes, FaultInjection: true, ReportsDir: reports,
		Links: []Link{link(t, "Grafana", "http://:3000"), link(t, "Traces", "http://:16686/trace/TRACE_ID")},
	})
	p := browser.Open(t, api.URL+"/", browsertest.View{})
	p.Run(chromedp.SetValue(chromedp.CSS("#duration"), "400"))

	t.Run("sync", func(t *testing.T) {
		p.Run(press("sync"))
		r := awaitRow(t, p, "Sync", "completed")
		require.Regexp(t, `^[4-9]\d\d ms$`, r.Answer, "the answer comes after the work")
		require.Regexp(t, `^[4-9]\d\d ms$`, r.Work)
		require.Regexp(t, `^queue .* ms, work [4-9]\d\d ms, answer after`, r.Bar)
		require.Contains(t, news(p), "Sync lane: completed")
	})
	t.Run("async, by keyboard", func(t *testing.T) {
		p.Run(chromedp.Focus(chromedp.CSS("button[data-lane=async]")), chromedp.KeyEvent("\r"))
		require.Eventually(t, func() bool { return strings.HasPrefix(news(p), "Async lane: accepted after") }, 5*time.Second, time.Millisecond)
		r := awaitRow(t, p, "Async", "completed")
		require.Regexp(t, `^(< 1|\d{1,2}|1\d\d) ms$`, r.Answer, "the answer does not wait for the work")
		require.Regexp(t, `^[2-3]\d\d ms$`, r.Queue)
		require.Regexp(t, `^[6-9]\d\d ms$`, r.All)
		require.Regexp(t, `^Async lane: completed \d+ ms after it was accepted; the answer came after`, news(p))
		require.Equal(t, "async", browsertest.Eval[string](p, `document.activeElement.dataset.lane`), "the focus stays")
		require.Regexp(t, `^`+api.URL+`/v1/tasks/`, r.Links[0])
		require.Equal(t, "http://127.0.0.1:16686/trace/"+l.traces[0][3:35], r.Links[1], "the page has begun the trace")
	})
	t.Run("wait", func(t *testing.T) {
		p.Run(press("wait"))
		require.Equal(t, "true", browsertest.Eval[string](p, `document.querySelector('button[data-lane=wait]').ariaDisabled`))
		p.Run(press("wait")) // does nothing: one at a time
		r := awaitRow(t, p, "Wait", "completed")
		require.Regexp(t, `^[6-9]\d\d ms$`, r.Answer)
		require.Equal(t, 3, browsertest.Eval[int](p, `document.querySelectorAll('#tasks tbody tr').length`))
	})
	t.Run("failures", func(t *testing.T) {
		p.Run(chromedp.SetValue(chromedp.CSS("#fail"), "permanent"), press("async"))
		require.Contains(t, awaitRow(t, p, "Async", "dead").State, "permanent: injected failure")
		p.Run(press("sync"))
		require.Contains(t, awaitRow(t, p, "Sync", "failed").State, "The task failed: injected failure")
		browsertest.Eval[string](p, `document.querySelector('#fail').value = ''`)
		l.refuseWith(rabbitmq.ErrNacked)
		p.Run(press("async"))
		require.Contains(t, awaitRow(t, p, "Async", "refused").State, "The queue is full")
		require.Contains(t, news(p), "The queue is full")
		l.refuseWith(nil)
	})
	t.Run("looks", func(t *testing.T) { looks(t, p) })
	t.Run("only the last ten", func(t *testing.T) {
		p.Run(chromedp.SetValue(chromedp.CSS("#duration"), "0"))
		for range 10 {
			p.Run(press("sync"))
			require.Eventually(t, func() bool {
				return browsertest.Eval[bool](p, `document.querySelector('button[data-lane=sync]').ariaDisabled === null`)
			}, 5*time.Second, time.Millisecond)
		}
		require.Equal(t, 10, browsertest.Eval[int](p, `document.querySelectorAll('#tasks tbody tr').length`))
		p.Run(chromedp.SetValue(chromedp.CSS("#duration"), "70000"), press("sync"))
		require.Equal(t, 10, browsertest.Eval[int](p, `document.querySelectorAll('#tasks tbody tr').length`))
		require.False(t, browsertest.Eval[bool](p, `document.querySelector('#duration').checkValidity()`), "no task that is refused anyway")
	})

	// Answers of the 4xx and 5xx are told of on the console, as they were asked for.
	for _, problem := range p.Problems() {
		require.Contains(t, problem, "Failed to load resource")
	}
	for _, address := range p.Requests() {
		require.True(t, strings.HasPrefix(address, api.URL+"/") || strings.HasPrefix(address, "data:"), address)
	}

	t.Run("a report is kept from the API", func(t *testing.T) {
		report := browser.Open(t, api.URL+"/reports/20260102T030405Z/report.html", browsertest.View{})
		require.Equal(t, "Report ran", browsertest.Eval[string](report, "document.title"))
		require.Equal(t, "null", browsertest.Eval[string](report, "self.origin"))
		require.Contains(t, strings.Join(report.Problems(), "\n"), "violates the following Content Security Policy directive")
	})
	t.Run("the gateway is gone", func(t *testing.T) {
		p.Run(chromedp.SetValue(chromedp.CSS("#duration"), "0"))
		api.CloseClientConnections()
		api.Close()
		p.Run(press("sync"))
		require.Contains(t, awaitRow(t, p, "Sync", "failed").State, "The gateway gave no answer")
	})
}

// looks holds that the page can be read: on a phone, and by the contrast of its
// text, which is that of its colour against what is behind it.
func looks(t *testing.T, p *browsertest.Page) {
	t.Helper()
	for name, view := range map[string]browsertest.View{
		"light": {}, "dark": {Dark: true}, "phone": {Width: 360, Height: 740, Phone: true}, "phone-dark": {Width: 360, Height: 740, Phone: true, Dark: true},
	} {
		p.Show(view)
		picture := browsertest.Get(p, chromedp.FullScreenshot(100))
		require.NoError(t, os.WriteFile(filepath.Join(t.ArtifactDir(), name+".png"), picture, 0o600))
		require.Empty(t, browsertest.Eval[[]string](p, faint), name)
		require.Zero(t, browsertest.Eval[int](p, `document.scrollingElement.scrollWidth - innerWidth`), "%s: nothing to scroll to the side for", name)
		require.Empty(t, browsertest.Eval[[]string](p, small), name)
	}
	p.Show(browsertest.View{})
	require.Empty(t, browsertest.Eval[[]string](p, `[...document.querySelectorAll('button, input, select, a')].filter((e) =>
		!e.textContent.trim() && !e.labels?.length).map((e) => e.outerHTML)`), "everything that can be used has a name")
	require.Equal(t, "en", browsertest.Eval[string](p, `document.documentElement.lang`))
	require.Equal(t, http.StatusOK, browsertest.Eval[int](p, `fetch('/').then((r) => r.status)`))
}

// small lists what can be pressed and is too small for a finger.
const small = `[...document.querySelectorAll('button, input, select')].filter((e) => e.getBoundingClientRect().height < 40).map((e) => e.outerHTML)`

// faint lists the texts whose contrast is below 4.5 to 1.
var faint = fmt.Sprintf(`(() => { %s; return all; })()`, contrast) //nolint:gochecknoglobals // It is a constant in two parts.

const contrast = `
	const all = [];
	const parse = (c) => c.match(/[\d.]+/g).map(Number);
	const luminance = (c) => c.slice(0, 3).map((v) => v / 255).map((v) => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
		.reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
	const ground = (e) => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c.length < 4 || c[3] > 0) { return c; } } return [255, 255, 255]; };
	const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	for (let node; (node = walker.nextNode());) {
		const e = node.parentElement;
		if (!node.data.trim() || e.closest('script, noscript, .hidden, option') || !e.checkVisibility()) { continue; }
		const [a, b] = [luminance(parse(getComputedStyle(e).color)), luminance(ground(e))].sort((x, y) => y - x);
		const ratio = (a + .05) / (b + .05);
		if (ratio < 4.5) { all.push(ratio.toFixed(2) + ' ' + node.data.trim()); }
	}`
