package outcomes

import (
	"container/list"
	"time"
)

// maxRuns bounds the runs that are held.
const maxRuns = 1000

// run is a run that tasks belong to. Its name outlives its tally, for as long as
// one of its tasks is held.
type run struct {
	name  string
	tally *tally // nil once the run is forgotten, and for one that there was no room for
}

// runs holds the runs, in the order in which they were last heard of.
type runs struct {
	byName map[string]*list.Element
	order  *list.List // of *run; the front was heard of longest ago
}

func newRuns() runs {
	return runs{byName: make(map[string]*list.Element), order: list.New()}
}

// hear returns the run of that name and notes that a task of it was accepted. A
// new one has no tally while there is no room: it displaces none.
func (r *runs) hear(name string, seen time.Time) *run {
	if _, ok := r.byName[name]; !ok && r.order.Len() >= maxRuns {
		return &run{name: name}
	}
	return r.touch(name, seen)
}

// touch returns the run of that name, made if need be in the place of the one
// heard of longest ago, and notes that it was heard of.
func (r *runs) touch(name string, seen time.Time) *run {
	if element, ok := r.byName[name]; ok {
		r.order.MoveToBack(element)
		this := runIn(element)
		if seen.After(this.tally.seen) {
			this.tally.seen = seen
		}
		return this
	}
	this := &run{name: name, tally: &tally{seen: seen}}
	r.byName[name] = r.order.PushBack(this)
	if r.order.Len() > maxRuns {
		r.forgetOldest()
	}
	return this
}

// expire forgets the runs that were last heard of before a time.
func (r *runs) expire(before time.Time) {
	for r.order.Len() > 0 && runIn(r.order.Front()).tally.seen.Before(before) {
		r.forgetOldest()
	}
}

func (r *runs) forgetOldest() {
	front := r.order.Front()
	this := runIn(front)
	r.order.Remove(front)
	delete(r.byName, this.name)
	this.tally = nil
}

func (r *runs) books(name string) Books {
	element, ok := r.byName[name]
	if !ok {
		return Books{Run: name}
	}
	return runIn(element).tally.books(name)
}

func (r *runs) len() int { return r.order.Len() }

func runIn(element *list.Element) *run {
	this, _ := element.Value.(*run) // the list holds nothing else
	return this
}
