package httpapi

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/twinlane/twinlane/internal/task"
)

// wait is a request's wait for a result. A nil wait is that of a request that
// prefers none, or that is not granted one: its methods do nothing.
type wait struct {
	api     *api
	seconds int
	id      string             // of the task that is watched
	results <-chan task.Result // what it has come to
	stop    func()
}

// grantWait returns the wait that a request prefers. A preference is a wish:
// where as many wait as may, or the gateway stops, it is not granted.
func (a *api) grantWait(h http.Header) *wait {
	seconds := preferredWait(h)
	if seconds == 0 {
		return nil
	}
	if isClosed(a.waitsEnd) || !a.waiting.TryAcquire(1) {
		a.metrics.waits[waitRefused].Inc()
		return nil
	}
	a.metrics.waiting.Inc()
	return &wait{api: a, seconds: seconds, stop: func() {}}
}

// end gives the place among those that wait back.
func (w *wait) end() {
	if w == nil {
		return
	}
	w.stop()
	w.api.metrics.waiting.Dec()
	w.api.waiting.Release(1)
}

// watch has the wait see the result of a task from now on; the task that it
// watches already it goes on with. A request that publishes a task watches it
// before: its result may be faster than its confirm.
func (w *wait) watch(id string) {
	if w == nil || w.id == id {
		return
	}
	w.stop()
	w.id = id
	w.results, w.stop = w.api.outcomes.Watch(id)
}

// apply tells the client that its preference is granted.
func (w *wait) apply(c *gin.Context) {
	if w != nil {
		c.Header(headerPreferenceApplied, "wait="+strconv.Itoa(w.seconds))
	}
}

// result blocks until the task that is watched has ended. It reports false when
// the time is up before that, when the gateway stops or when ctx ends.
func (w *wait) result(ctx context.Context) (task.Result, bool) {
	if w == nil {
		return task.Result{}, false
	}
	patience := time.NewTimer(time.Duration(w.seconds) * time.Second)
	defer patience.Stop()
	select {
	case result := <-w.results:
		w.api.metrics.waits[waitAnswered].Inc()
		return result, true
	case <-patience.C:
		w.api.metrics.waits[waitExpired].Inc()
	case <-w.api.waitsEnd:
		w.api.metrics.waits[waitEnded].Inc()
	case <-ctx.Done():
		w.api.metrics.waits[waitEnded].Inc()
	}
	return task.Result{}, false
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
