package lab

import (
	_ "embed" // The page is beside this file, to be read as what it is.
	"fmt"
	"html/template"
	"io"
	"time"
)

//go:embed page.html
var pageText string

// pageView is what the page shows.
type pageView struct {
	Title       string
	Environment Environment
	Results     []resultView
}

type resultView struct {
	Result
	Charts []chart
	Main   []mainLine
	Aside  asideView
	Theory []string
	Scaled bool
}

// mainLine is a line of the table with what was published.
type mainLine struct {
	First                                          bool // of its case
	Case, Quantity, Published, Predicted, Measured string
}

type asideView struct {
	Columns []string
	Lines   [][]string // with the case in front
}

// WriteHTML writes a report as one page with plots that needs no other file.
func (r Report) WriteHTML(w io.Writer) error {
	page, err := template.New("page").Parse(pageText)
	if err != nil {
		return fmt.Errorf("write HTML: %w", err)
	}
	view := pageView{Title: "What it costs to block, and how to run work that does", Environment: r.Environment}
	for _, result := range r.Results {
		view.Results = append(view.Results, result.view())
	}
	if err := page.Execute(w, view); err != nil {
		return fmt.Errorf("write HTML: %w", err)
	}
	return nil
}

// SaveHTML writes the page to a file.
func (r Report) SaveHTML(path string) error {
	if err := toFile(path, r.WriteHTML); err != nil {
		return fmt.Errorf("write HTML: %w", err)
	}
	return nil
}

func (r Result) view() resultView {
	theories := theories(r.Rows)
	v := resultView{Result: r, Charts: r.charts(), Main: r.mainLines(theories), Aside: r.aside(), Scaled: r.extrapolated()}
	for i, theory := range theories {
		v.Theory = append(v.Theory, mark(i)+" "+theory)
	}
	return v
}

// When is when the experiment began, and how long it took.
func (v resultView) When() string {
	return fmt.Sprintf("%s, %s", v.Started.UTC().Format("2006-01-02 15:04 MST"), time.Duration(v.Seconds*float64(time.Second)).Round(time.Second))
}

// IsQuick says whether times were shortened.
func (v resultView) IsQuick() bool { return v.Size != Full }
