package torch

import (
	"context"
	"fmt"
)

// gate lets one call at a time into native code. There is one in a process,
// as there is one LibTorch and one pool of the shim, whatever the number of
// Library values.
var gate = make(chan struct{}, 1)

// loaded is the shim that this process has opened, "" before; under the gate.
// It is never closed again, and a second one beside it would register the
// same operators with LibTorch, which ends the process.
var loaded string

// pass waits for the gate; a context that ends gives up the waiting. The
// channel lets those who wait in by turns.
func pass(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	// An open gate is passed without the cost of a select of two.
	select {
	case gate <- struct{}{}:
		return nil
	default:
	}
	select {
	case gate <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// enter passes the gate for a call on an open library.
func (l *Library) enter(ctx context.Context, op string) error {
	if err := pass(ctx); err != nil {
		return fmt.Errorf("torch: %s: waiting for other calls: %w", op, err)
	}
	if l.closed {
		l.leave()
		return fmt.Errorf("torch: %s: library: %w", op, ErrClosed)
	}
	return nil
}

// leave opens the gate for the next call.
func (l *Library) leave() {
	l.freeOrphans()
	<-gate
	l.sweep()
}

// sweep frees forgotten handles unless somebody is inside, who will do so on
// leaving. That leave looks again after it opened the gate is what makes this
// a promise: a handle adopted between its freeing and its opening would else
// be left until the next call.
func (l *Library) sweep() {
	for l.waiting.Load() > 0 {
		select {
		case gate <- struct{}{}:
			l.freeOrphans()
			<-gate
		default:
			return
		}
	}
}
