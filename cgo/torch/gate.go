package torch

import "context"

// gate lets one call at a time into native code. There is one in a process,
// as there is one LibTorch and one pool of the shim, whatever the number of
// Library values.
var gate = make(chan struct{}, 1)

// enter waits for the gate; a context that ends gives up the waiting.
func (l *Library) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case gate <- struct{}{}:
	default:
		select {
		case gate <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if l.closed {
		<-gate
		return ErrClosed
	}
	l.freeOrphans()
	return nil
}

func (l *Library) leave() { <-gate }
