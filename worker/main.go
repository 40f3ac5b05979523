// Worker does the tasks of Twinlane: those that come through the broker and
// those that come over HTTP. It also has the tools for dead letters.
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

// run executes the command that args name and returns the exit code: 0, 1 for
// a failure, 2 for arguments or settings that are wrong.
func run(ctx context.Context, args []string, std streams) int {
	var c cli
	exit := -1
	parser, err := kong.New(
		&c,
		kong.Name("worker"),
		kong.Description("Does the tasks of Twinlane, and handles dead letters. Every setting is a flag and an environment variable: see worker serve --help."),
		kong.Writers(std.out, std.err),
		kong.Exit(func(code int) { exit = code }), // of --help
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(std),
	)
	if err != nil {
		return fail(std.err, 1, err)
	}
	command, err := parser.Parse(args)
	if exit >= 0 {
		return exit
	}
	if err != nil {
		return fail(std.err, 2, err)
	}
	if err := command.Run(); err != nil {
		return fail(std.err, 1, err)
	}
	return 0
}

func fail(w io.Writer, code int, err error) int {
	_, _ = fmt.Fprintf(w, "worker: %v\n", err)
	return code
}
