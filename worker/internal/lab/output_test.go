package lab

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the golden files") //nolint:gochecknoglobals // Flags are.

// exampleReport is a report as it was on some machine.
func exampleReport(t *testing.T) Report {
	t.Helper()
	result, err := Run(t.Context(), example(), Options{Size: Quick})
	require.NoError(t, err)
	result.Started = time.Date(2026, 1, 31, 10, 0, 0, 0, time.UTC)
	result.Seconds, result.RabbitMQ = 12.5, "3.10.8"
	return Report{
		Environment: Environment{Commit: "0123456789ab", Go: "go1.26.0", Platform: "linux/amd64", Cores: 2},
		Results:     []Result{result},
	}
}

// requireGolden compares with a file, or writes it.
func requireGolden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.WriteFile(path, got, 0o600))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), string(got))
}

func TestJSONIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	report := exampleReport(t)
	var text bytes.Buffer
	require.NoError(t, report.WriteJSON(&text))
	requireGolden(t, "example.json", text.Bytes())

	var in reportJSON
	require.NoError(t, json.Unmarshal(text.Bytes(), &in))
	again := Report{Environment: in.Environment, Results: []Result{in.Experiments[0].of(example())}}
	var second bytes.Buffer
	require.NoError(t, again.WriteJSON(&second))
	require.Equal(t, text.String(), second.String())
	require.Equal(t, report.Results[0].Rows, again.Results[0].Rows)
}

func TestValuesSurviveJSON(t *testing.T) {
	t.Parallel()
	for _, v := range []Value{{}, Number(0), Number(-2.5), Range(1, 2), AtLeast(3), AtMost(4), Words("as slow as sync")} {
		text, err := json.Marshal(v.toJSON())
		require.NoError(t, err)
		var in *valueJSON
		require.NoError(t, json.Unmarshal(text, &in))
		require.Equal(t, v, in.value(), "%s", text)
	}
}

func TestCSVHasALineForEachFigure(t *testing.T) {
	t.Parallel()
	var text bytes.Buffer
	require.NoError(t, exampleReport(t).WriteCSV(&text))
	requireGolden(t, "example.csv", text.Bytes())
	lines, err := csv.NewReader(&text).ReadAll() // which holds every line to the width of the first
	require.NoError(t, err)
	require.Len(t, lines, 1+3)
}

func TestThePageIsWellFormedAndNeedsNothingElse(t *testing.T) {
	t.Parallel()
	report := exampleReport(t)
	report.Results[0].Finding = `<script>alert("x")</script> & more`
	other := report.Results[0]
	other.Experiment.Name = "another"
	report.Results = append(report.Results, other)
	var page bytes.Buffer
	require.NoError(t, report.WriteHTML(&page))
	requireGolden(t, "example.html", page.Bytes())
	requireSelfContained(t, page.String())
	for _, want := range []string{"prefers-color-scheme:dark", "@media print", "How many eggs does a hen lay a minute?", "&lt;script&gt;", "~20,000/min", "0123456789ab"} {
		require.Contains(t, page.String(), want)
	}
}

// requireSelfContained reads a page as XML, which a browser does not insist on,
// and looks for what would be fetched.
func requireSelfContained(t *testing.T, page string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(page))
	depth := 0
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		switch e := token.(type) {
		case xml.StartElement:
			depth++
			require.NotContains(t, []string{"script", "link", "img", "iframe", "object"}, e.Name.Local)
			for _, a := range e.Attr {
				require.NotContains(t, []string{"src", "style", "onload"}, a.Name.Local)
				require.True(t, a.Name.Local != "href" || strings.HasPrefix(a.Value, "#"), a.Value)
			}
		case xml.EndElement:
			depth--
		}
	}
	require.Zero(t, depth)
	require.NotRegexp(t, `https?:|url\(|@import`, page)
}

func TestBarsStayWithinTheChart(t *testing.T) {
	t.Parallel()
	result := exampleReport(t).Results[0]
	result.Rows[0].Figures[0].Predicted = AtMost(1e9)
	result.Rows[1].Figures[0].Predicted = AtLeast(30_000)
	c := result.chart(result.Experiment.Quantities[0])
	require.Len(t, c.Groups, 2)
	kinds := map[string]int{}
	for _, g := range c.Groups {
		for _, b := range g.Bars {
			kinds[b.Kind]++
			require.False(t, math.IsNaN(b.X) || math.IsNaN(b.Width))
			require.LessOrEqual(t, b.X+b.Width, chartPlot+chartMinBar, b.Text)
			require.LessOrEqual(t, b.Y+b.Height, c.Height, b.Text)
		}
	}
	require.Equal(t, map[string]int{"published": 2, "predicted": 2, "measured": 2}, kinds)
	i := slices.IndexFunc(c.Groups[1].Bars, func(b chartBars) bool { return b.Kind == "published" })
	require.Zero(t, c.Groups[1].Bars[i].Width, "words have no bar")
}

func TestFormat(t *testing.T) {
	t.Parallel()
	for want, got := range map[string]string{
		"–":                 Count.Format(Value{}),
		"0":                 Count.Format(Number(0)),
		"17,500":            Count.Format(Number(17_500)),
		"1,234,567":         Count.Format(Number(1_234_567.4)),
		"-1,234":            Count.Format(Number(-1234)),
		"2.98 %":            Share.Format(Number(.02976)),
		"150 to 200/min":    PerMinute.Format(Range(150, 200)),
		"2 to 4 ms":         Seconds.Format(Range(.002, .004)),
		"500 µs to 2 ms":    Seconds.Format(Range(.0005, .002)),
		"1.17 s":            Seconds.Format(Number(1.167)),
		"12.5 MiB":          Bytes.Format(Number(12.5 * (1 << 20))),
		"1.47 ×":            Times.Format(Number(1.4705)),
		"at most 113,249/s": PerSecond.Format(AtMost(113_249.3)),
		"at least 2":        Count.Format(AtLeast(2)),
		"as slow as sync":   Seconds.Format(Words("as slow as sync")),
	} {
		require.Equal(t, want, got)
	}
}
