package httpapi

import (
	"errors"
	"net/http"

	"github.com/twinlane/twinlane/internal/task"
)

// The ways in which a request is refused for want of room.
var (
	errBodiesFull = errors.New("too many bytes of requests in flight")
	errAsyncFull  = errors.New("too many tasks of the async lane in flight")
)

// admitBody lets a request in while the bodies of all that are in flight fit
// into the memory that is set aside for them. It does so before the body is
// read: slow clients and large bodies are bounded like everything else. The
// caller calls leave when the body is no longer held.
func (a *api) admitBody(r *http.Request) (leave func(), err error) {
	size := bodySize(r)
	if !a.bodies.TryAcquire(size) {
		return nil, errBodiesFull
	}
	return func() { a.bodies.Release(size) }, nil
}

// admitTask lets a task of the async lane in while fewer of them than allowed
// are being published. One more is refused at once: to let it queue for its
// publish would make all others slower. It is asked for a request that has been
// read, so that no slow client takes a place. The caller calls leave when the
// task is confirmed.
func (a *api) admitTask() (leave func(), err error) {
	if !a.taking.TryAcquire(1) {
		return nil, errAsyncFull
	}
	return func() { a.taking.Release(1) }, nil
}

// bodySize is how many bytes of the body will be read at most.
func bodySize(r *http.Request) int64 {
	if r.ContentLength < 0 || r.ContentLength > task.MaxRequestBytes {
		return task.MaxRequestBytes
	}
	return r.ContentLength
}
