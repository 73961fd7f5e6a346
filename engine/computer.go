package engine

import (
	"context"

	"github.com/fdqc-cockpit/fdqc/cgo/torch"
	"github.com/fdqc-cockpit/fdqc/engine/detect"
)

// computer does the detector's arithmetic on the engine's device.
type computer struct{ engine *Engine }

var _ detect.Computer = computer{}

func (c computer) DetectorFit(ctx context.Context, n int, rows, others []float32, location, factor, left, same, other []float64) (trace, traceSquare float64, err error) {
	err = c.compute(ctx, func(on torch.Device) error {
		var err error
		trace, traceSquare, err = c.engine.library.DetectorFit(ctx, on, n, rows, others, location, factor, left, same, other)
		return err
	})
	return trace, traceSquare, err
}

func (c computer) DetectorDistances(ctx context.Context, n int, location, factor []float64, rows []float32, out []float64) error {
	return c.compute(ctx, func(on torch.Device) error {
		return c.engine.library.DetectorDistances(ctx, on, n, location, factor, rows, out)
	})
}

func (c computer) DetectorNearest(ctx context.Context, n int, rows, others []float32, out []float64) error {
	return c.compute(ctx, func(on torch.Device) error {
		return c.engine.library.DetectorNearest(ctx, on, n, rows, others, out)
	})
}

// compute runs what uses the device; once more on the CPU where the device is
// lost over it and any will do.
func (c computer) compute(ctx context.Context, run func(torch.Device) error) error {
	e := c.engine
	if err := e.computing.lock(ctx); err != nil {
		return err
	}
	defer e.computing.unlock()
	if e.closed {
		return ErrClosed
	}
	on := e.device.on()
	err := e.deviceFailed(run(on))
	if err != nil && e.device.on() != on {
		return run(e.device.on())
	}
	return err
}
