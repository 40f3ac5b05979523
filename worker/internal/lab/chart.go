package lab

import (
	"math"
	"slices"
)

// The measures of a chart, in the units of its view box.
const (
	chartWidth  = 560.0
	chartPlot   = 400.0 // the longest bar; values are written to the right of bars
	chartName   = 18.0  // the line with the name of a case
	chartBar    = 11.0
	chartPitch  = 15.0 // from bar to bar
	chartGap    = 12.0 // between cases
	chartInset  = 5.0  // between a bar and its value
	chartMinBar = 2.0  // what is not nothing is seen
)

// chart is one quantity of all cases as bars: of each case what was published,
// predicted and measured.
type chart struct {
	Name          string
	Width, Height float64
	Groups        []chartGroup
}

type chartGroup struct {
	Name string
	Y    float64 // the base line of the name
	Bars []chartBars
}

// chartBars is one bar: a range begins where it does, the rest at zero.
type chartBars struct {
	Kind                string // published, predicted, measured: a class
	X, Y, Width, Height float64
	TextX, TextY        float64
	Text                string
}

// charts are those of the quantities that have a row in the main table.
func (r Result) charts() []chart {
	var all []chart
	for _, q := range r.Experiment.Quantities {
		if q.Aside {
			continue
		}
		all = append(all, r.chart(q))
	}
	return all
}

func (r Result) chart(q Quantity) chart {
	c := chart{Name: q.Name, Width: chartWidth}
	top := r.highest(q)
	y := 0.0
	for _, row := range r.Rows {
		i := slices.IndexFunc(row.Figures, func(f Figure) bool { return f.Quantity == q.Key })
		if i < 0 {
			continue
		}
		g := chartGroup{Name: row.Case, Y: y + chartName - 5}
		y += chartName
		for _, part := range row.Figures[i].parts(q) {
			if part.value.None() {
				continue
			}
			g.Bars = append(g.Bars, bar(part, y, top))
			y += chartPitch
		}
		c.Groups = append(c.Groups, g)
		y += chartGap
	}
	c.Height = max(0, y-chartGap)
	return c
}

// part is one of the three figures of a quantity.
type part struct {
	kind, text string
	value      Value
}

func (f Figure) parts(q Quantity) []part {
	return []part{
		{"published", q.Unit.Format(f.Published), f.Published},
		{"predicted", q.Unit.Format(f.Predicted), f.Predicted},
		{"measured", q.measured(f), f.Measured},
	}
}

func bar(p part, y, top float64) chartBars {
	b := chartBars{Kind: p.kind, Y: y, Height: chartBar, TextX: chartInset, TextY: y + chartBar - 1.5, Text: p.text + " " + p.kind}
	if p.kind == "measured" {
		b.Text = p.text
	}
	if !p.value.known || top <= 0 {
		return b
	}
	scale := func(v float64) float64 { return chartPlot * min(1, max(0, v/top)) }
	low, high := scale(p.value.Low), scale(p.value.High)
	if p.value.Low >= p.value.High {
		low = 0 // a number, and no range
	}
	b.X, b.Width = low, max(high-low, chartMinBar)
	if p.value.High == 0 {
		b.Width = 0
	}
	b.TextX = b.X + b.Width + chartInset
	return b
}

// highest is the end of the scale. What theory only bounds does not stretch it.
func (r Result) highest(q Quantity) float64 {
	top := 0.0
	for _, row := range r.Rows {
		for _, f := range row.Figures {
			if f.Quantity != q.Key {
				continue
			}
			for _, v := range []Value{f.Published, f.Predicted, f.Measured} {
				switch {
				case !v.known || math.IsInf(v.Low, 0):
				case math.IsInf(v.High, 0):
					top = max(top, v.Low)
				default:
					top = max(top, v.High)
				}
			}
		}
	}
	return top
}
