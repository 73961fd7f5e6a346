package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A closed pipe on standard output is an error of the write that met
	// it, not the end of the process in the middle of a file.
	signal.Ignore(syscall.SIGPIPE)
	code := run(ctx, os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr})
	stop()
	os.Exit(code)
}

// run executes one command line and answers its exit code.
func run(ctx context.Context, args []string, s streams) int {
	root, a := newRoot(s)
	root.SetArgs(args)
	err := errors.Join(root.ExecuteContext(ctx), a.closeLogs())
	if err == nil {
		return exitDone
	}
	if ctx.Err() != nil {
		err = fmt.Errorf("interrupted: %w", err)
	}
	fmt.Fprintf(s.err, "fdqc: %s\n", oneLine(err))
	return exitCode(err)
}
