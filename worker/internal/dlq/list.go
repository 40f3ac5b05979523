package dlq

import (
	"context"
	"errors"
)

// List returns the dead letters that match, in the order of the queue, without
// their contents.
func (q *Queue) List(ctx context.Context, f Filter, b Bounds) (letters []Letter, sum Summary, err error) {
	s, err := q.open(ctx, b.Scan)
	if err != nil {
		return nil, Summary{}, err
	}
	defer func() { err = errors.Join(err, s.close(ctx)) }()
	for b.Max == 0 || len(letters) < b.Max {
		d, ok, err := s.next(ctx)
		if err != nil {
			return nil, s.summary(len(letters)), err
		}
		if !ok {
			break
		}
		if l := newLetter(d); f.matches(l) {
			letters = append(letters, l)
		}
	}
	return letters, s.summary(len(letters)), nil
}

// Show returns the first dead letter with the id, with its contents, or
// ErrNotFound.
func (q *Queue) Show(ctx context.Context, id string, scan int) (letter Letter, err error) {
	s, err := q.open(ctx, scan)
	if err != nil {
		return Letter{}, err
	}
	defer func() { err = errors.Join(err, s.close(ctx)) }()
	for {
		d, ok, err := s.next(ctx)
		if err != nil {
			return Letter{}, err
		}
		if !ok {
			return Letter{}, ErrNotFound
		}
		if l := newLetter(d); l.ID == id {
			return l.withContents(d), nil
		}
	}
}
