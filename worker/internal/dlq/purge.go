package dlq

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	amqp "github.com/rabbitmq/amqp091-go"
)

// PurgeOptions say what to delete and where to keep a copy.
type PurgeOptions struct {
	Filter
	// Scan is how many messages to look at.
	Scan int
	// Backup is the file to write first: a Letter with its contents on each
	// line. It must not exist.
	Backup string
	// Confirm is asked with the number of letters in the backup, which is on
	// disk by then. An error of it deletes nothing.
	Confirm func(ctx context.Context, count int) error
}

// Purge deletes dead letters that match, after they have been written to a
// backup and after Confirm has agreed to their number. It deletes what is in
// the backup and nothing else.
func (q *Queue) Purge(ctx context.Context, o PurgeOptions) (sum Summary, err error) {
	file, err := os.OpenFile(filepath.Clean(o.Backup), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return Summary{}, fmt.Errorf("create the backup: %w", err)
	}
	s, err := q.open(ctx, o.Scan)
	if err != nil {
		return Summary{}, errors.Join(err, discard(file))
	}
	matched := 0
	defer func() {
		err = errors.Join(err, s.close(ctx))
		if s.moved == 0 {
			err = errors.Join(err, discard(file))
		} else {
			err = errors.Join(err, file.Close())
		}
		sum = s.summary(matched)
	}()
	letters, err := backUp(ctx, s, o.Filter, file)
	matched = len(letters)
	if err != nil || matched == 0 {
		return sum, err
	}
	if err := o.Confirm(ctx, matched); err != nil {
		return sum, err
	}
	for _, d := range letters {
		if err := ctx.Err(); err != nil {
			return sum, err
		}
		if err := s.ack(d); err != nil {
			return sum, fmt.Errorf("delete a dead letter: %w", err)
		}
	}
	return sum, nil
}

// backUp writes the letters that match to file and has it on disk on return.
// What it returns has no bodies: they are many, and in the file.
func backUp(ctx context.Context, s *session, f Filter, file *os.File) ([]amqp.Delivery, error) {
	w := bufio.NewWriter(file)
	lines := json.NewEncoder(w)
	var letters []amqp.Delivery
	for {
		d, ok, err := s.next(ctx)
		if err != nil {
			return nil, err
		}
		if !ok {
			break
		}
		l := newLetter(d)
		if !f.matches(l) {
			continue
		}
		if err := lines.Encode(l.withContents(d)); err != nil {
			return nil, fmt.Errorf("write %s to the backup: %w", l.ID, err)
		}
		letters = append(letters, amqp.Delivery{Acknowledger: d.Acknowledger, DeliveryTag: d.DeliveryTag})
	}
	if err := w.Flush(); err != nil {
		return nil, fmt.Errorf("write the backup: %w", err)
	}
	return letters, sync(file)
}

// sync has the file and its name on disk.
func sync(file *os.File) error {
	if err := file.Sync(); err != nil {
		return fmt.Errorf("sync the backup: %w", err)
	}
	dir, err := os.Open(filepath.Dir(file.Name()))
	if err != nil {
		return fmt.Errorf("sync the backup: %w", err)
	}
	defer func() { _ = dir.Close() }()
	if err := dir.Sync(); err != nil {
		return fmt.Errorf("sync the backup: %w", err)
	}
	return nil
}

// discard removes a backup of letters that are all still in the queue.
func discard(file *os.File) error {
	return errors.Join(file.Close(), os.Remove(file.Name()))
}
