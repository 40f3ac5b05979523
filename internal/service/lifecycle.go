package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

// Component is a part of a process with a life of its own.
type Component struct {
	Name string
	// Run blocks until its context ends and the component has stopped, or until
	// it fails. It returns nil after a stop that was asked for.
	Run func(ctx context.Context) error
}

// Together is the Run of parts that start and stop as one, so that each has all
// of the time that a stop may take. When one fails, the others are stopped.
func Together(runs ...func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		g, ctx := errgroup.WithContext(ctx)
		for _, run := range runs {
			g.Go(func() error { return run(ctx) })
		}
		return g.Wait()
	}
}

type running struct {
	Component
	stop context.CancelFunc
	done chan struct{}
	err  error // written before done is closed
}

// Run starts the components in their order and blocks. When ctx ends, or when
// one of them returns, it stops them one by one in the opposite order and waits
// for each, grace at most for all together. It returns what went wrong: the
// first failure, and every component that did not stop in time.
func Run(ctx context.Context, logger *slog.Logger, grace time.Duration, components ...Component) error {
	logger = OrDiscard(logger)
	returned := make(chan *running, len(components))
	all := make([]*running, len(components))
	for i, c := range components {
		// Each component ends when Run says so, and not with ctx: the order matters.
		own, stop := context.WithCancel(context.WithoutCancel(ctx))
		r := &running{Component: c, stop: stop, done: make(chan struct{})}
		all[i] = r
		go func() {
			defer close(r.done)
			r.err = r.Run(own)
			returned <- r
		}()
	}

	var errs []error
	var failed *running
	select {
	case <-ctx.Done():
		logger.Info("stopping", "cause", context.Cause(ctx).Error())
	case failed = <-returned:
		errs = append(errs, fmt.Errorf("%s ended by itself: %w", failed.Name, orUnexpected(failed.err)))
		logger.Info("stopping", "cause", failed.Name+" ended by itself")
	}

	deadline := time.NewTimer(grace)
	defer deadline.Stop()
	for i, r := range slices.Backward(all) {
		r.stop()
		select {
		case <-r.done:
			if r.err != nil && r != failed {
				errs = append(errs, fmt.Errorf("stop %s: %w", r.Name, r.err))
			}
			logger.Info("component stopped", "name", r.Name)
		case <-deadline.C:
			for _, rest := range all[:i] {
				rest.stop()
			}
			return errors.Join(append(errs, fmt.Errorf("%s did not stop within %s", r.Name, grace))...)
		}
	}
	return errors.Join(errs...)
}

func orUnexpected(err error) error {
	if err == nil {
		return errors.New("no error")
	}
	return err
}
