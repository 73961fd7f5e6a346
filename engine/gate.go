package engine

import "context"

// gate is a mutex whose waiting a context can end.
type gate chan struct{}

func newGate() gate { return make(gate, 1) }

// lock answers the context's error when it ends before the gate opens.
func (g gate) lock(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case g <- struct{}{}:
		return nil
	default:
	}
	select {
	case g <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g gate) unlock() { <-g }
