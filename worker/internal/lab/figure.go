package lab

import (
	"fmt"
	"math"
	"slices"
)

// Quantity is something that cases are measured by.
type Quantity struct {
	// Key is its name for machines. It ends in the unit, spelled out:
	// accepted_p99_seconds, confirmed_messages_per_second.
	Key string
	// Name is its name for people, as short as a column needs.
	Name string
	Unit Unit
	// Aside quantities have no published or predicted figures: they stand in a
	// table of their own, a column each.
	Aside bool
}

// Figure is one quantity of one case.
type Figure struct {
	Quantity string // the key
	// Published is what the write-up says, the zero Value where it says nothing.
	Published Value
	// Predicted is what theory says, before anything was measured or from what
	// was measured of something simpler. Theory is its formula, with the numbers
	// put in: "60 s ÷ 0.3 s".
	Predicted Value
	Theory    string
	Measured  Value
	// Extrapolated says that Measured was scaled up from a shorter run.
	Extrapolated bool
}

// Measured returns a figure for which nothing was published or predicted.
func Measured(quantity string, value float64) Figure {
	return Figure{Quantity: quantity, Measured: Number(value)}
}

// Row is the figures of one case.
type Row struct {
	Case    string
	Figures []Figure
}

// Table is the rows of an experiment, in the order of its cases.
type Table []Row

// Measured is what was measured of a case. It panics where there is no such
// figure: a finding speaks of what its own experiment has measured.
func (t Table) Measured(name, quantity string) float64 {
	f, ok := t.figure(name, quantity)
	if !ok {
		panic(fmt.Sprintf("no figure %s of the case %q", quantity, name))
	}
	return f.Measured.Low
}

// Has reports whether a case has a figure.
func (t Table) Has(name, quantity string) bool {
	_, ok := t.figure(name, quantity)
	return ok
}

func (t Table) figure(name, quantity string) (Figure, bool) {
	for _, row := range t {
		if row.Case != name {
			continue
		}
		if i := slices.IndexFunc(row.Figures, func(f Figure) bool { return f.Quantity == quantity }); i >= 0 {
			return row.Figures[i], true
		}
	}
	return Figure{}, false
}

// Value is a number, a range, or words where there is no number. The zero
// Value is none of them.
type Value struct {
	Low, High float64
	Words     string
	known     bool
}

// Number is a value that is known exactly, or measured.
func Number(v float64) Value { return Value{Low: v, High: v, known: true} }

// Range is a value from low to high.
func Range(low, high float64) Value { return Value{Low: low, High: high, known: true} }

// AtMost is a value that is high or less.
func AtMost(high float64) Value { return Range(math.Inf(-1), high) }

// AtLeast is a value that is low or more.
func AtLeast(low float64) Value { return Range(low, math.Inf(1)) }

// Words is a value without a number, such as "as slow as sync".
func Words(text string) Value { return Value{Words: text} }

// Known reports whether v is a number or a range.
func (v Value) Known() bool { return v.known }

// None reports whether v is the zero Value.
func (v Value) None() bool { return !v.known && v.Words == "" }
