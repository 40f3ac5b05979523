// Command chaos breaks Twinlane on purpose, row by row, and fails where something got lost.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/twinlane/twinlane/internal/faults"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)                         // a second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr)) //nolint:forbidigo // Here and nowhere else.
}

// The exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

type config struct {
	Rows    []string `arg:"" optional:"" name:"row" help:"The rows to run, all without."`
	List    bool     `help:"List the rows and run none."`
	Seed    uint64   `placeholder:"N" help:"Makes the times of faults and the traffic the same again. Default: a random one, which is printed."`
	Backlog int      `default:"${backlog}" placeholder:"N" help:"Tasks that are queued in the row backlog. Default ${default}."`
	Bin     string   `default:".run/bin" type:"path" placeholder:"DIR" help:"Folder of the binaries gateway and worker. Default .run/bin."`
	Dir     string   `default:".run/chaos" type:"path" placeholder:"DIR" help:"Folder of logs, ledgers and brokers. Default .run/chaos."`
	Out     string   `default:".run/chaos/results.json" type:"path" placeholder:"FILE" help:"Where the results are kept; a row that runs again replaces its earlier result. Default .run/chaos/results.json."`
	Docs    string   `type:"path" placeholder:"FILE" help:"Write the kept results into the table of this page and run no row."`
}

// run is the process. It returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var cfg config
	helped := false
	parser, err := kong.New(&cfg,
		kong.Name("chaos"),
		kong.Description("Breaks Twinlane on purpose and looks for what got lost. Each row has a broker, gateways and workers of its own."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(int) { helped = true }),
		kong.Vars{"backlog": fmt.Sprint(faults.DefaultBacklog)},
		kong.ConfigureHelp(kong.HelpOptions{WrapUpperBound: 120}),
	)
	if err == nil {
		_, err = parser.Parse(args)
	}
	if helped {
		return exitOK
	}
	var rows []faults.Row
	if err == nil {
		rows, err = cfg.rows()
	}
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "chaos: %s\nSee chaos --help.\n", err)
		return exitUsage
	}
	switch {
	case cfg.List:
		_, _ = io.WriteString(stdout, faults.List())
	case cfg.Docs != "":
		err = cfg.writeDocs()
	default:
		err = cfg.runRows(ctx, rows, stdout)
	}
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "chaos: %s\n", err)
		return exitFailed
	}
	return exitOK
}

// rows are those that are asked for.
func (c *config) rows() ([]faults.Row, error) {
	all := faults.Rows()
	if len(c.Rows) == 0 {
		return all, nil
	}
	var rows []faults.Row
	for _, name := range c.Rows {
		i := slices.IndexFunc(all, func(r faults.Row) bool { return r.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no row %q; --list lists them", name)
		}
		rows = append(rows, all[i])
	}
	return rows, nil
}

func (c *config) writeDocs() error {
	report, err := faults.ReadReport(c.Out)
	if err != nil {
		return err
	}
	return report.WriteDocs(c.Docs)
}

// runRows runs rows one after the other, and writes the report after each.
func (c *config) runRows(ctx context.Context, rows []faults.Row, stdout io.Writer) error {
	if c.Seed == 0 {
		c.Seed = rand.Uint64N(1 << 32) //nolint:gosec // Any number will do.
	}
	report, err := faults.ReadReport(c.Out)
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(stdout, "seed %d\n", c.Seed)
	opts := faults.Options{Binaries: c.Bin, Dir: c.Dir, Seed: c.Seed, Backlog: c.Backlog}
	var red, leftOut []string
	ran := 0
	for _, row := range rows {
		result := faults.Run(ctx, row, opts)
		_, _ = io.WriteString(stdout, result.Text())
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
		switch {
		case result.Skipped != "":
			leftOut = append(leftOut, fmt.Sprintf("%s (%s)", row.Name, result.Skipped))
		case result.Passed:
			ran++
		default:
			ran++
			red = append(red, row.Name)
		}
		report.Add(faults.CurrentEnvironment(), result)
		if err := report.Write(c.Out); err != nil {
			return err
		}
	}
	text, ok := summary(ran, red, leftOut, len(c.Rows) > 0)
	if !ok {
		return errors.New(text)
	}
	_, _ = fmt.Fprintln(stdout, text)
	return nil
}

// summary says how it went, and whether that is what was asked for: nothing is red, and a row that was named has run.
func summary(ran int, red, leftOut []string, named bool) (text string, ok bool) {
	text = fmt.Sprintf("%d rows, nothing lost", ran)
	if len(red) > 0 {
		text = fmt.Sprintf("%d of %d rows are red: %s", len(red), ran, strings.Join(red, ", "))
	}
	if len(leftOut) > 0 {
		text += "; left out: " + strings.Join(leftOut, ", ")
	}
	return text, len(red) == 0 && ran > 0 && (len(leftOut) == 0 || !named)
}
