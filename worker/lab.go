package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/term"

	"github.com/twinlane/twinlane/internal/service"
	"github.com/twinlane/twinlane/worker/internal/lab"
)

// labGrace is how long a scrape in flight may take when the experiments are over.
const labGrace = time.Second

// Run runs experiments one after the other. One that fails does not keep the
// others from running; an interrupt does.
func (c *labRunCommand) Run(ctx context.Context, std streams) error {
	experiments, err := c.experiments()
	if err != nil {
		return err
	}
	reg := service.NewRegistry()
	if c.Metrics == "" {
		return c.runAll(ctx, std, experiments, reg)
	}
	listener, err := service.Listen(ctx, c.Metrics)
	if err != nil {
		return fmt.Errorf("--metrics: %w", err)
	}
	server := service.NewHTTPServer(listener, service.AdminHandler(reg, func() error { return nil }), service.AdminWriteTimeout, labGrace, nil)
	_, _ = fmt.Fprintf(std.err, "metrics at http://%s/metrics\n", server.Addr())
	ready := func() error { return nil }
	return while(ctx, server.Run, ready, func(ctx context.Context) error { return c.runAll(ctx, std, experiments, reg) })
}

func (c *labRunCommand) runAll(ctx context.Context, std streams, experiments []lab.Experiment, reg *prometheus.Registry) error {
	kept, err := c.kept()
	if err != nil {
		return err
	}
	report := lab.Report{Environment: lab.CurrentEnvironment()}
	var failed []error
	for _, e := range experiments {
		result, err := c.runOne(ctx, std, e, reg)
		if err != nil && ctx.Err() != nil {
			failed = append(failed, interrupted(e, err))
			break
		}
		if err != nil {
			failed = append(failed, err)
			continue
		}
		report.Results = append(report.Results, result)
		kept.Add(report.Environment, result)
		if c.Results != "" {
			failed = append(failed, kept.Save(c.Results))
		}
	}
	failed = append(failed, c.write(std.out, report))
	return errors.Join(failed...)
}

// interrupted says of an experiment that was interrupted what is left of it.
func interrupted(e lab.Experiment, err error) error {
	if errors.Is(err, lab.ErrLeftBehind) {
		return fmt.Errorf("interrupted: %s has no result: %w", e.Name, err)
	}
	return fmt.Errorf("interrupted: %s has no result, and nothing of it is left", e.Name)
}

// runOne runs an experiment and prints its table.
func (c *labRunCommand) runOne(ctx context.Context, std streams, e lab.Experiment, reg *prometheus.Registry) (lab.Result, error) {
	text := std.out
	if c.JSON || c.CSV {
		text = io.Discard
	}
	if err := lab.WriteHeading(text, e); err != nil {
		return lab.Result{}, err
	}
	options := lab.Options{AMQPURL: c.AMQPURL, Registry: reg, Watcher: watcher(std.err), Logger: toolLogger(std)}
	if c.Quick {
		options.Size = lab.Quick
	}
	result, err := lab.Run(ctx, e, options)
	if err != nil {
		return result, err
	}
	return result, lab.WriteText(text, result)
}

// watcher draws a bar on a terminal and writes lines elsewhere.
func watcher(w io.Writer) lab.Watcher {
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return lab.NewBar(w)
	}
	return lab.NewLines(w)
}

// kept is what earlier runs have kept.
func (c *labRunCommand) kept() (lab.Report, error) {
	if c.Results == "" {
		return lab.Report{}, nil
	}
	return lab.ReadReport(c.Results)
}

// write writes the report in the forms that are asked for. What was interrupted
// is written without the rest.
func (c *labRunCommand) write(out io.Writer, report lab.Report) (err error) {
	switch {
	case c.JSON:
		err = report.WriteJSON(out)
	case c.CSV:
		err = report.WriteCSV(out)
	}
	if c.HTML != "" && len(report.Results) > 0 {
		err = errors.Join(err, report.SaveHTML(c.HTML))
	}
	return err
}

// Run lists the experiments.
func (labLsCommand) Run(std streams) error { return lab.WriteList(std.out) }

// Run writes the page.
func (c *labDocsCommand) Run() error {
	report, err := lab.ReadReport(c.Results)
	if err != nil {
		return err
	}
	return report.SaveDocs(c.Page, c.Sweep)
}
