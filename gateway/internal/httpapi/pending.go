package httpapi

import (
	"container/list"
	"sync"
	"time"

	"github.com/twinlane/twinlane/internal/task"
)

// The bounds of what is remembered of keys whose record is not confirmed.
const (
	maxPending = 10_000
	pendingFor = task.ResultRetention
)

// pending is the acceptances whose tasks are confirmed and whose records are
// not: of these keys this gateway alone knows. The oldest are forgotten first.
// Its zero value is empty, and any number of goroutines may use it.
type pending struct {
	mu    sync.Mutex
	byID  map[string]*list.Element
	order list.List // of remembered; the front is the oldest
}

type remembered struct {
	task.Acceptance
	since time.Time
}

// add remembers an acceptance that is not remembered yet.
func (p *pending) add(a task.Acceptance) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.byID == nil {
		p.byID = map[string]*list.Element{}
	}
	p.byID[a.ID] = p.order.PushBack(remembered{Acceptance: a, since: time.Now()})
	p.expire()
	if p.order.Len() > maxPending {
		p.forget(p.order.Front())
	}
}

// get returns what is remembered of an id.
func (p *pending) get(id string) (task.Acceptance, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expire()
	element, ok := p.byID[id]
	if !ok {
		return task.Acceptance{}, false
	}
	return rememberedIn(element).Acceptance, true
}

// remove forgets an id. It reports false for one that is not remembered.
func (p *pending) remove(id string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	element, ok := p.byID[id]
	if ok {
		p.forget(element)
	}
	return ok
}

// expire forgets what is too old. The caller holds the lock, as it does for
// forget.
func (p *pending) expire() {
	before := time.Now().Add(-pendingFor)
	for front := p.order.Front(); front != nil && rememberedIn(front).since.Before(before); front = p.order.Front() {
		p.forget(front)
	}
}

func (p *pending) forget(element *list.Element) {
	delete(p.byID, rememberedIn(element).ID)
	p.order.Remove(element)
}

func rememberedIn(element *list.Element) remembered {
	this, _ := element.Value.(remembered) // the list holds nothing else
	return this
}
