package httpapi

import (
	"errors"

	"golang.org/x/sync/semaphore"
)

// The ways in which a request is refused for want of room.
var (
	errBodiesFull = errors.New("too many bytes of requests in flight")
	errAsyncFull  = errors.New("too many tasks of the async lane in flight")
)

// room is what one request has of the memory that is set aside for the bodies of
// all that are in flight. It grows with what comes in, and not with what a client
// announces: one that sends nothing keeps nobody else out.
type room struct {
	of   *semaphore.Weighted
	size int64
}

// newRoom returns the room of a request that has none yet. The caller calls leave
// when its body is no longer held.
func (a *api) newRoom() *room { return &room{of: a.bodies} }

// grow makes room for size bytes in all. It fails at once where the bodies of
// others leave none.
func (r *room) grow(size int) error {
	more := int64(size) - r.size
	if !r.of.TryAcquire(more) {
		return errBodiesFull
	}
	r.size += more
	return nil
}

func (r *room) leave() { r.of.Release(r.size) }

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
