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

// awaitRow waits until the newest task is in that lane and state.
func (v *visit) awaitRow(lane, state string) row {
	v.t.Helper()
	var newest row
	require.Eventually(v.t, func() bool {
		if v.rows() == 0 {
			return false
		}
		newest = browsertest.Eval[row](v.Page, readRow)
		return newest.Lane == lane && strings.HasPrefix(newest.State, state)
	}, 30*time.Second, 20*time.Millisecond, "%s %s", lane, state)
	return newest
}

// news is what a screen reader says.
func (v *visit) news() string {
	return browsertest.Eval[string](v.Page, `document.querySelector('[aria-live=polite]').textContent`)
}

func press(lane string) chromedp.Action[chromedp.Void] {
	return chromedp.Click(chromedp.CSS("button[data-lane=" + lane + "]"))
}

// visit is a person's visit to the page.
type visit struct {
	*browsertest.Page
	t       *testing.T
	browser *browsertest.Browser
	api     *testAPI
	lab     *lab
}

// TestPageInABrowser uses the page as a person does.
func TestPageInABrowser(t *testing.T) {
	t.Parallel()
	reports := t.TempDir()
	write(t, reports, "20260102T030405Z/report.html", "<!doctype html><title>Report</title><script>document.title += ' ran'; fetch('/v1/runs/r')</script>")
	l := &lab{outcomes: newOutcomes()}
	t.Cleanup(l.running.Wait)
	api := start(t, Config{
		Publisher: l, Worker: l, Outcomes: l.outcomes, FaultInjection: true, ReportsDir: reports,
		Links: []Link{link(t, "Grafana", "http://:3000"), link(t, "Traces", "http://:16686/trace/TRACE_ID")},
	})
	browser := browsertest.Start(t)
	v := &visit{Page: browser.Open(t, api.URL+"/", browsertest.View{}), t: t, browser: browser, api: api, lab: l}
	v.task(400, "")
	v.sync()
	v.asyncByKeyboard()
	v.wait()
	v.failures()
	v.looks()
	v.theNewestIsAskedFor()
	v.onlyTheLastTen()

	// Answers of the 4xx and 5xx are told of on the console, as they were asked for.
	for _, problem := range v.Problems() {
		require.Contains(t, problem, "Failed to load resource")
	}
	for _, address := range v.Requests() {
		require.True(t, strings.HasPrefix(address, api.URL+"/") || strings.HasPrefix(address, "data:"), address)
	}
	v.reportIsKeptFromTheAPI()
	v.gatewayIsGone()
}

// task says what the next task is.
func (v *visit) task(ms int, fail string) {
	v.t.Helper()
	browsertest.Eval[string](v.Page, fmt.Sprintf(`document.querySelector('#duration').value = '%d', document.querySelector('#fail').value = '%s'`, ms, fail))
}

// rows is how many tasks are listed.
func (v *visit) rows() int {
	return browsertest.Eval[int](v.Page, `document.querySelectorAll('#tasks tbody tr').length`)
}

func (v *visit) sync() {
	v.Run(press("sync"))
	r := v.awaitRow("Sync", "completed")
	require.Regexp(v.t, `^([4-9]\d\d|\d{4}) ms$`, r.Answer, "the answer comes after the work")
	require.Regexp(v.t, `^([4-9]\d\d|\d{4}) ms$`, r.Work)
	require.Regexp(v.t, `^queue .* ms, work \d+ ms, answer after`, r.Bar)
	require.Contains(v.t, v.news(), "Sync lane: completed")
}

func (v *visit) asyncByKeyboard() {
	v.Run(chromedp.Focus(chromedp.CSS("button[data-lane=async]")), chromedp.KeyEvent("\r"))
	require.Eventually(v.t, func() bool { return strings.HasPrefix(v.news(), "Async lane: accepted after") }, 5*time.Second, time.Millisecond)
	r := v.awaitRow("Async", "completed")
	require.Regexp(v.t, `^(< 1|\d{1,3}) ms$`, r.Answer, "the answer does not wait for the work")
	require.Regexp(v.t, `^([2-9]\d\d|\d{4}) ms$`, r.Queue)
	require.Regexp(v.t, `^([6-9]\d\d|\d{4}) ms$`, r.All)
	require.Regexp(v.t, `^Async lane: completed \d+ ms after it was accepted; the answer came after`, v.news())
	require.Equal(v.t, "async", browsertest.Eval[string](v.Page, `document.activeElement.dataset.lane`), "the focus stays")
	require.Regexp(v.t, `^`+v.api.URL+`/v1/tasks/`, r.Links[0])
	require.Equal(v.t, "http://127.0.0.1:16686/trace/"+v.lab.traces[0][3:35], r.Links[1], "the page has begun the trace")
}

func (v *visit) wait() {
	v.Run(press("wait"))
	require.Equal(v.t, "true", browsertest.Eval[string](v.Page, `document.querySelector('button[data-lane=wait]').ariaDisabled`))
	v.Run(press("wait")) // does nothing: one at a time
	r := v.awaitRow("Wait", "completed")
	require.Regexp(v.t, `^([6-9]\d\d|\d{4}) ms$`, r.Answer)
	require.Equal(v.t, 3, v.rows())
}

func (v *visit) failures() {
	v.task(400, "permanent")
	v.Run(press("async"))
	require.Contains(v.t, v.awaitRow("Async", "dead").State, "permanent: injected failure")
	v.Run(press("sync"))
	require.Contains(v.t, v.awaitRow("Sync", "failed").State, "The task failed: injected failure")
	v.task(400, "")
	v.lab.refuseWith(rabbitmq.ErrNacked)
	v.Run(press("async"))
	require.Contains(v.t, v.awaitRow("Async", "refused").State, "The queue is full")
	require.Contains(v.t, v.news(), "The queue is full")
	v.lab.refuseWith(nil)
}

// theNewestIsAskedFor has the page wait for what became of one task while ten
// others push that one out of those that it asks for.
func (v *visit) theNewestIsAskedFor() {
	browsertest.Eval[bool](v.Page, `(() => {
		const real = fetch;
		const hold = new Promise((resolve) => { window.letGo = resolve; });
		window.fetch = async (...of) => { if (String(of[0]).startsWith('/v1/tasks/')) { await hold; } return real(...of); };
		return true;
	})()`)
	v.task(0, "")
	v.press("async", 11)
	browsertest.Eval[bool](v.Page, `(letGo(), true)`)
	v.awaitRow("Async", "completed")
}

// press presses a button, again as soon as it can be.
func (v *visit) press(lane string, times int) {
	for range times {
		v.Run(press(lane))
		require.Eventually(v.t, func() bool {
			return browsertest.Eval[bool](v.Page, `document.querySelector('button[data-lane=`+lane+`]').ariaDisabled === null`)
		}, 5*time.Second, time.Millisecond)
	}
}

func (v *visit) onlyTheLastTen() {
	v.task(0, "")
	v.press("sync", 10)
	require.Equal(v.t, 10, v.rows())
	v.task(70_000, "")
	v.Run(press("sync"))
	require.False(v.t, browsertest.Eval[bool](v.Page, `document.querySelector('#duration').checkValidity()`), "no task that is refused anyway")
	require.NotContains(v.t, v.news(), "sending")
}

func (v *visit) reportIsKeptFromTheAPI() {
	report := v.browser.Open(v.t, v.api.URL+"/reports/20260102T030405Z/report.html", browsertest.View{})
	require.Equal(v.t, "Report ran", browsertest.Eval[string](report, "document.title"))
	require.Equal(v.t, "null", browsertest.Eval[string](report, "self.origin"))
	require.Contains(v.t, strings.Join(report.Problems(), "\n"), "violates the following Content Security Policy directive")
}

func (v *visit) gatewayIsGone() {
	v.task(0, "")
	v.api.CloseClientConnections()
	v.api.Close()
	v.Run(press("sync"))
	require.Contains(v.t, v.awaitRow("Sync", "failed").State, "The gateway gave no answer")
}

// looks holds that the page can be read: on a phone, and by the contrast of its
// text, which is that of its colour against what is behind it.
func (v *visit) looks() {
	t, p := v.t, v.Page
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
