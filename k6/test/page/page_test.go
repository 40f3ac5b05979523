package page

import (
	_ "embed"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/browsertest"
)

//go:embed probe.js
var probe string

// ask evaluates a call of one of the functions of probe.js in a page.
func ask[T any](p *browsertest.Page, call string, arguments ...any) T {
	return browsertest.Eval[T](p, "("+probe+")."+fmt.Sprintf(call, arguments...))
}

type chart struct {
	Measure string
	Unit    string
	Scale   float64 // pixels a unit
	Bars    []struct {
		Step                              string
		Height, Good, Baseline, Predicted float64
	}
}

// phone is the narrowest screen that a report has to fit on.
func phone() browsertest.View { return browsertest.View{Width: 360, Height: 740, Phone: true} }

func TestReports(t *testing.T) {
	t.Parallel()
	browser := browsertest.Start(t)
	folder := invented(t)
	folders := map[string]string{"real": measured(t)}
	for _, run := range runs {
		folders[run] = filepath.Join(folder, run)
	}
	for run, folder := range folders {
		t.Run(run, func(t *testing.T) {
			t.Parallel()
			s := read(t, folder)
			p := browser.Open(t, url(folder), browsertest.View{})
			require.Equal(t, "Twinlane sweep "+run, browsertest.Eval[string](p, "document.title"))
			drawsWhatIsMeasured(t, p, s)
			listsEveryStep(t, p, s)
			require.Empty(t, ask[[]string](p, "nameless()"))
			for _, view := range []browsertest.View{{}, {Dark: true}, phone(), {Width: 760, Media: "print", Dark: true}, {Width: 820}} {
				p.Show(view)
				readable(t, p, view)
			}
			require.Empty(t, p.Problems())
			require.Equal(t, []string{url(folder)}, p.Requests())
		})
	}
	t.Run("pointed at", func(t *testing.T) {
		t.Parallel()
		answersPointers(t, browser, folders["sweep"])
	})
	t.Run("touched", func(t *testing.T) {
		t.Parallel()
		answersTouch(t, browser, folders["sweep"])
	})
	t.Run("by keyboard", func(t *testing.T) {
		t.Parallel()
		answersKeys(t, browser, folders["real"])
	})
	t.Run("printed", func(t *testing.T) {
		t.Parallel()
		prints(t, browser, folders["sweep"])
	})
	t.Run("alone", func(t *testing.T) {
		t.Parallel()
		runsNothingElse(t, browser, folders["silent"])
	})
	t.Run("stopped", func(t *testing.T) { // of which there is nothing to see
		t.Parallel()
		p := browser.Open(t, url(filepath.Join(folder, "stopped")), browsertest.View{})
		require.Equal(t, 4, browsertest.Eval[int](p, "document.querySelectorAll('.plot').length"))
		require.Zero(t, browsertest.Eval[int](p, "document.querySelectorAll('[role=slider]').length"))
		require.Empty(t, p.Problems())
	})
	t.Run("links", func(t *testing.T) {
		t.Parallel()
		p := browser.Open(t, url(folders["real"]), browsertest.View{})
		for _, link := range browsertest.Eval[[]string](p, "[...document.querySelectorAll('.files a')].map((a) => a.href)") {
			_, err := os.Stat(strings.TrimPrefix(link, "file://"))
			require.NoError(t, err)
		}
	})
}

// figures are what each chart shows of a step, in the units of summary.json; nil
// where it shows nothing.
func figures(s step) map[string]*float64 {
	found := map[string]*float64{
		"avg": s.LatencyMS.Avg, "p95": s.LatencyMS.P95, "throughput": &s.Throughput, "drop": &s.Drop, "error": &s.Errors,
	}
	if s.Books != nil {
		found["done_p50"], found["done_p95"], found["drain"] = s.Books.EndToEndMS.P50, s.Books.EndToEndMS.P95, s.Books.DrainMS
	}
	return found
}

// expected is what theory has a chart show beside the bar of a step.
func expected(s step) map[string]*float64 {
	found := map[string]*float64{"drop": &s.PredictedDrop}
	if s.Prediction != nil {
		found["done_p50"], found["done_p95"], found["drain"] = s.Prediction.EndToEndMS.P50, s.Prediction.EndToEndMS.P95, &s.Prediction.DrainMS
	}
	return found
}

// drawsWhatIsMeasured holds that each bar is as high as its value on the axis
// beside it.
func drawsWhatIsMeasured(t *testing.T, p *browsertest.Page, s summary) {
	t.Helper()
	charts := ask[[]chart](p, "charts()")
	require.GreaterOrEqual(t, len(charts), 4)
	steps := map[string]step{}
	for _, step := range s.Steps {
		steps[step.Name] = step
	}
	for _, chart := range charts {
		factor, known := map[string]float64{"ms": 1, "s": 0.001, "answers a second": 1, "%": 100}[chart.Unit]
		require.True(t, known, chart.Unit)
		pixels := func(value *float64) float64 {
			if value == nil || *value == 0 {
				return 0
			}
			return math.Max(2, *value*factor*chart.Scale) // the least that is seen
		}
		require.NotEmpty(t, chart.Bars, chart.Measure)
		drawn := map[string]bool{}
		for _, bar := range chart.Bars {
			step, known := steps[bar.Step]
			require.True(t, known, bar.Step)
			drawn[bar.Step] = true
			where := []any{"%s of %s", chart.Measure, bar.Step}
			require.InDelta(t, pixels(figures(step)[chart.Measure]), bar.Height, 0.05, where...)
			if chart.Measure == "throughput" {
				require.InDelta(t, pixels(&step.Goodput), bar.Good, 0.05, where...)
			}
			if value := expected(step)[chart.Measure]; value != nil && *value > 0 {
				require.InDelta(t, *value*factor*chart.Scale, bar.Predicted, 0.05, where...)
			} else {
				require.Zero(t, bar.Predicted, where...)
			}
		}
		for name, step := range steps {
			if _, shows := figures(step)[chart.Measure]; shows {
				require.True(t, drawn[name], "%s lacks %s", chart.Measure, name)
			}
		}
	}
}

// listsEveryStep holds the tables against the summary, figure by figure.
func listsEveryStep(t *testing.T, p *browsertest.Page, s summary) {
	t.Helper()
	rows := ask[[][]string](p, "table('Every step')")
	require.Len(t, rows, len(s.Steps)+1)
	column := func(heads []string, name string) int {
		for i, head := range heads {
			if head == name {
				return i
			}
		}
		require.FailNow(t, "there is no column "+name)
		return 0
	}
	for i, step := range s.Steps {
		row := rows[i+1]
		require.Equal(t, step.Lane, row[column(rows[0], "lane")])
		same(t, &step.RPS, row[column(rows[0], "rps")])
		same(t, &step.Sent, row[column(rows[0], "sent")])
		same(t, &step.Throughput, row[column(rows[0], "answers")])
		same(t, step.LatencyMS.Avg, row[column(rows[0], "avg")])
		same(t, step.LatencyMS.P95, row[column(rows[0], "p95")])
		same(t, &step.Drop, row[column(rows[0], "dropped")])
		same(t, &step.PredictedDrop, row[column(rows[0], "predicted")])
	}
	rows = ask[[][]string](p, "table('The books of every step')")
	for _, step := range s.Steps {
		if step.Books == nil {
			continue
		}
		rows = rows[1:] // the heads at first, and then the row of the step before
		heads := ask[[][]string](p, "table('The books of every step')")[0]
		same(t, &step.Books.Accepted, rows[0][column(heads, "accepted")])
		same(t, step.Books.Completed, rows[0][column(heads, "completed")])
		same(t, step.Books.Missing, rows[0][column(heads, "missing")])
		same(t, step.Books.EndToEndMS.P95, rows[0][column(heads, "p95")])
		same(t, step.Books.DrainMS, rows[0][column(heads, "drain")])
		if step.Prediction != nil {
			same(t, step.Prediction.EndToEndMS.P50, rows[0][column(heads, "predicted")])
		}
	}
}

var number = regexp.MustCompile(`^(< )?([\d,.]+)(?: ?(ms|s|%|/s))?$`)

// same holds that a text is a figure, as exact as it is written: in milliseconds,
// as a share, a rate or a count.
func same(t *testing.T, want *float64, text string) {
	t.Helper()
	if want == nil {
		require.Equal(t, "–", text)
		return
	}
	parts := number.FindStringSubmatch(text)
	require.NotNil(t, parts, text)
	digits := strings.ReplaceAll(parts[2], ",", "")
	value, err := strconv.ParseFloat(digits, 64)
	require.NoError(t, err)
	unit := map[string]float64{"": 1, "ms": 1, "s": 1000, "%": 0.01, "/s": 1}[parts[3]]
	if parts[1] != "" {
		require.Less(t, *want, value*unit, text)
		return
	}
	_, decimals, _ := strings.Cut(digits, ".")
	require.InDelta(t, *want, value*unit, unit*math.Pow10(-len(decimals))*0.51, text)
}

// readable holds that all text can be read, and that nothing sticks out.
func readable(t *testing.T, p *browsertest.Page, view browsertest.View) {
	t.Helper()
	contrast := ask[struct {
		Seen int
		Poor []string
	}](p, "contrast()")
	require.Greater(t, contrast.Seen, 50, view)
	require.Empty(t, contrast.Poor, view)
	overflow := ask[struct {
		By  float64
		Out []string
	}](p, "overflow()")
	require.Empty(t, overflow.Out, view)
	require.Zero(t, overflow.By, view)
}

type place struct {
	Rate string
	X, Y float64
}

// answersPointers moves a mouse over a chart.
func answersPointers(t *testing.T, browser *browsertest.Browser, folder string) {
	t.Helper()
	s := read(t, folder)
	p := browser.Open(t, url(folder), browsertest.View{Height: 1200})
	require.Empty(t, ask[string](p, "tip('avg')"))
	groups := ask[[]place](p, "groups('avg')")
	require.Len(t, groups, 8)
	for i, group := range groups {
		p.Run(chromedp.MouseEvent(chromedp.MouseMoved, group.X, group.Y))
		saysStep(t, ask[string](p, "tip('avg')"), group.Rate, s.Steps[2*i], s.Steps[2*i+1])
	}
	readable(t, p, browsertest.View{})
	p.Run(chromedp.MouseEvent(chromedp.MouseMoved, 1, 1))
	require.Empty(t, ask[string](p, "tip('avg')"))
}

// saysStep holds that a reading of average times is that of two steps.
func saysStep(t *testing.T, tip, rate string, steps ...step) {
	t.Helper()
	lines := strings.Split(tip, "\n")
	require.Equal(t, rate, lines[0])
	for _, step := range steps {
		line, found := "", false
		for _, candidate := range lines {
			if text, ok := strings.CutPrefix(candidate, step.Lane+" "); ok {
				line, found = text, true
			}
		}
		require.True(t, found, tip)
		same(t, step.LatencyMS.Avg, line)
	}
}

// answersTouch taps a chart on a phone, and then beside it.
func answersTouch(t *testing.T, browser *browsertest.Browser, folder string) {
	t.Helper()
	s := read(t, folder)
	p := browser.Open(t, url(folder), phone())
	group := ask[[]place](p, "groups('avg')")[3]
	p.Run(chromedp.TapXY(group.X, group.Y))
	saysStep(t, ask[string](p, "tip('avg')"), group.Rate, s.Steps[6], s.Steps[7])
	readable(t, p, phone())
	other := ask[[]place](p, "groups('p95')")[0]
	p.Run(chromedp.TapXY(other.X, other.Y))
	require.Empty(t, ask[string](p, "tip('avg')"))
	require.NotEmpty(t, ask[string](p, "tip('p95')"))
}

// answersKeys reaches a chart with the Tab key and reads it with the arrows.
func answersKeys(t *testing.T, browser *browsertest.Browser, folder string) {
	t.Helper()
	s := read(t, folder)
	p := browser.Open(t, url(folder), browsertest.View{})
	const focused = "document.activeElement.dataset.measure || ''"
	for range 30 {
		if browsertest.Eval[string](p, focused) != "" {
			break
		}
		p.Run(chromedp.KeyEvent(kb.Tab))
	}
	require.Equal(t, "avg", browsertest.Eval[string](p, focused))
	const spoken = "document.activeElement.getAttribute('aria-valuetext')"
	for _, press := range []struct {
		key   string
		steps []step
	}{{"", s.Steps[2:4]}, {kb.ArrowLeft, s.Steps[0:2]}, {kb.ArrowLeft, s.Steps[0:2]}, {kb.End, s.Steps[2:4]}, {kb.Home, s.Steps[0:2]}, {kb.ArrowRight, s.Steps[2:4]}} {
		if press.key != "" {
			p.Run(chromedp.KeyEvent(press.key))
		}
		rate := fmt.Sprintf("%.0f requests a second", press.steps[0].RPS)
		saysStep(t, ask[string](p, "tip('avg')"), rate, press.steps...)
		require.Contains(t, browsertest.Eval[string](p, spoken), rate+": sync ")
		require.True(t, browsertest.Eval[bool](p, "getComputedStyle(document.activeElement).outlineStyle === 'solid'"), "the focus is not seen")
	}
	p.Run(chromedp.KeyEvent(kb.Escape))
	require.Empty(t, ask[string](p, "tip('avg')"))
	p.Run(chromedp.KeyEvent(kb.Tab))
	require.Equal(t, "p95", browsertest.Eval[string](p, focused))
}

// prints makes a PDF, which is light whatever the reader's screen is.
func prints(t *testing.T, browser *browsertest.Browser, folder string) {
	t.Helper()
	p := browser.Open(t, url(folder), browsertest.View{Dark: true})
	require.NotEqual(t, "rgb(255, 255, 255)", browsertest.Eval[string](p, "getComputedStyle(document.querySelector('.card')).backgroundColor"))
	pdf := browsertest.Get(p, chromedp.PrintToPDF(chromedp.PDFPrintBackground(), chromedp.PDFPaper(chromedp.PaperA4)))
	pages := regexp.MustCompile(`/Type\s*/Page\b`).FindAll(pdf, -1)
	require.Greater(t, len(pages), 2)
	require.Less(t, len(pages), 10)
	p.Show(browsertest.View{Dark: true, Media: "print"})
	require.Equal(t, "rgb(255, 255, 255)", browsertest.Eval[string](p, "getComputedStyle(document.querySelector('.card')).backgroundColor"))
	require.False(t, browsertest.Eval[bool](p, "document.querySelector('nav').checkVisibility()"))
	require.True(t, browsertest.Eval[bool](p, "[...document.querySelectorAll('.plot svg')].every((svg) => svg.getBoundingClientRect().width > 100)"))
}

// runsNothingElse tries to have the page load and run what is not its own.
func runsNothingElse(t *testing.T, browser *browsertest.Browser, folder string) {
	t.Helper()
	p := browser.Open(t, url(folder), browsertest.View{})
	require.Equal(t, 1, browsertest.Eval[int](p, "document.scripts.length"))
	require.Zero(t, browsertest.Eval[int](p, "document.images.length"))
	require.Empty(t, p.Problems())
	browsertest.Eval[bool](p, `(async () => {
		const script = document.createElement("script");
		script.textContent = "window.intruder = true";
		document.body.append(script);
		document.body.append(Object.assign(new Image(), {src: "http://127.0.0.1:1/x.png"}));
		return fetch("http://127.0.0.1:1/").then(() => true, () => false);
	})()`)
	require.False(t, browsertest.Eval[bool](p, "'intruder' in window"))
	problems := p.Problems()
	require.GreaterOrEqual(t, len(problems), 3, problems)
	for _, problem := range problems {
		require.Contains(t, problem, "Content Security Policy")
	}
}
