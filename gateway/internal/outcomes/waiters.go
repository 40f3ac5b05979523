package outcomes

import (
	"slices"

	"github.com/twinlane/twinlane/internal/task"
)

// waiters are those who wait for an outcome, by task.
type waiters struct {
	byID  map[key][]chan task.Result
	count int
}

// Watch returns a channel that receives the outcome of a task, once, and at
// once where there is one already. The task need not be known yet: who watches
// before publishing misses nothing. The caller calls stop in any case, as often
// as it likes, and bounds how many watch.
func (x *Index) Watch(id string) (results <-chan task.Result, stop func()) {
	k := keyOf(id)
	x.mu.Lock()
	defer x.mu.Unlock()
	done := make(chan task.Result, 1)
	if e := x.find(k); e != nil && e.status != accepted {
		done <- e.result(id)
		return done, func() {}
	}
	x.waiters.byID[k] = append(x.waiters.byID[k], done)
	x.waiters.count++
	return done, func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.waiters.leave(k, done)
	}
}

// wake hands an outcome to everyone who waits for it.
func (w *waiters) wake(k key, r task.Result) {
	all, ok := w.byID[k]
	if !ok {
		return
	}
	for _, done := range all {
		done <- r // there is room: it is the only one
	}
	w.count -= len(all)
	delete(w.byID, k)
}

// leave forgets one who waits, unless it was woken.
func (w *waiters) leave(k key, done chan task.Result) {
	all := w.byID[k]
	i := slices.Index(all, done)
	if i < 0 {
		return
	}
	w.count--
	if len(all) == 1 {
		delete(w.byID, k)
		return
	}
	w.byID[k] = slices.Delete(all, i, i+1)
}
