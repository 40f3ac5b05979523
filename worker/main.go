// Worker does the tasks of Twinlane: those that come through the broker and
// those that come over HTTP. It also has the tools for dead letters, the
// experiments, and what recommends sizes.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)                                            // a second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr})) //nolint:forbidigo // This is main.
}

// streams are where a command reads and writes.
type streams struct {
	in  io.Reader
	out io.Writer
	err io.Writer
}

// The exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2 // arguments or settings are wrong
)

// run executes the command that args name and returns the exit code.
func run(ctx context.Context, args []string, std streams) int {
	var c cli
	helped := false
	parser, err := kong.New(
		&c,
		kong.Name("worker"),
		kong.Description("Does the tasks of Twinlane, handles dead letters, runs experiments and recommends sizes. Every setting of serve is a flag and an environment variable: see worker serve --help."),
		kong.Writers(std.out, std.err),
		kong.Exit(func(int) { helped = true }),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(std),
		bounds(),
		sizeBounds(),
	)
	if err != nil {
		return fail(std, exitFailed, err.Error())
	}
	command, err := parser.Parse(args)
	if helped {
		return exitOK
	}
	if err != nil {
		return fail(std, exitUsage, err.Error()+"\nSee worker --help.")
	}
	if err := command.Run(); err != nil {
		return fail(std, exitFailed, err.Error())
	}
	return exitOK
}

func fail(std streams, code int, why string) int {
	_, _ = fmt.Fprintf(std.err, "worker: %s\n", why)
	return code
}
