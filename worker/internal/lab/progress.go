package lab

import (
	"fmt"
	"io"
	"time"

	"github.com/schollz/progressbar/v3"
)

// Bar shows on a terminal how far an experiment is. It follows the clock within
// a case, and never passes the end of a case that has not ended.
type Bar struct {
	out   io.Writer
	name  string
	cases []Case
	bar   *progressbar.ProgressBar
	next  chan int // the index of the case that begins
	ended chan struct{}
}

// NewBar returns a watcher that draws on out.
func NewBar(out io.Writer) *Bar { return &Bar{out: out} }

const (
	barWidth = 30 // characters
	// barInterval is how often the bar is drawn.
	barInterval = 200 * time.Millisecond
)

// Begin implements Watcher.
func (b *Bar) Begin(e Experiment, cases []Case) {
	b.name, b.cases = e.Name, cases
	b.next, b.ended = make(chan int), make(chan struct{})
	b.bar = progressbar.NewOptions64(int64(takes(cases)),
		progressbar.OptionSetWriter(b.out),
		progressbar.OptionSetWidth(barWidth),
		progressbar.OptionSetPredictTime(false),
		progressbar.OptionSetElapsedTime(false),
		progressbar.OptionShowDescriptionAtLineEnd(),
		progressbar.OptionSetTheme(progressbar.Theme{Saucer: "█", SaucerPadding: "░", BarStart: "", BarEnd: ""}),
	)
	go b.draw()
}

// Case implements Watcher.
func (b *Bar) Case(i int) { b.next <- i }

// End implements Watcher.
func (b *Bar) End() {
	close(b.next)
	<-b.ended
	_ = b.bar.Clear() // what is drawn on a terminal that is gone is missed by nobody
}

// draw runs from Begin to End.
func (b *Bar) draw() {
	defer close(b.ended)
	tick := time.NewTicker(barInterval)
	defer tick.Stop()
	current, began := 0, time.Now()
	for {
		select {
		case i, ok := <-b.next:
			if !ok {
				return
			}
			current, began = i, time.Now()
		case <-tick.C:
		}
		done := takes(b.cases[:current]) + min(time.Since(began), b.cases[current].Takes)
		b.bar.Describe(fmt.Sprintf("%s: %s, %s to go", b.name, b.cases[current].Name, about(takes(b.cases)-done)))
		_ = b.bar.Set64(min(int64(done), b.bar.GetMax64()-1)) // it is full when the experiment has ended
	}
}

// Lines tells of each case as it begins, where there is no terminal.
type Lines struct {
	out   io.Writer
	name  string
	cases []Case
}

// NewLines returns a watcher that writes lines to out.
func NewLines(out io.Writer) *Lines { return &Lines{out: out} }

// Begin implements Watcher.
func (l *Lines) Begin(e Experiment, cases []Case) { l.name, l.cases = e.Name, cases }

// Case implements Watcher.
func (l *Lines) Case(i int) {
	_, _ = fmt.Fprintf(l.out, "%s: case %d of %d, %s; %s to go\n", l.name, i+1, len(l.cases), l.cases[i].Name, about(takes(l.cases[i:])))
}

// End implements Watcher.
func (l *Lines) End() {}

// takes is how long cases take together.
func takes(cases []Case) (sum time.Duration) {
	for _, c := range cases {
		sum += c.Takes
	}
	return sum
}

// about says a duration to people.
func about(d time.Duration) string { return "about " + max(time.Second, d.Round(time.Second)).String() }
