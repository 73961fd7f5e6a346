package models

import (
	"context"
	"errors"
	"fmt"

	"github.com/fdqc-cockpit/fdqc/cgo/torch"
)

// Projection is a Linear(width, n) that brings an embedding into the
// workspace.
type Projection struct {
	Width  int
	Weight []float32 // [n, width]
	Bias   []float32 // [n]
}

// Validate reports a shape that does not fit workspace n or a number that is
// not finite.
func (p *Projection) Validate(n int) error {
	if p.Width < 1 || p.Width > MaxWidth {
		return fmt.Errorf("projection: width %d is outside 1 to %d", p.Width, MaxWidth)
	}
	if len(p.Weight) != n*p.Width || len(p.Bias) != n {
		return fmt.Errorf("projection of width %d: weight holds %d and bias %d numbers, expected %d and %d for workspace_dim %d",
			p.Width, len(p.Weight), len(p.Bias), n*p.Width, n, n)
	}
	if firstNotFinite(p.Weight) >= 0 || firstNotFinite(p.Bias) >= 0 {
		return fmt.Errorf("projection of width %d: holds NaN or infinity, expected finite numbers", p.Width)
	}
	return nil
}

// DrawProjection makes the projection of a width that no file covers, a
// function of (seed, n, width) only. Its verdicts carry next to no signal.
func DrawProjection(seed int64, n, width int) *Projection {
	p := &Projection{Width: width}
	p.Weight, p.Bias = newGenerator("projection", seed, int64(n), int64(width)).linear(n, width)
	return p
}

// projectionCache keeps at most limit projections on the device, and drops
// the one that was made first (validator specification, section 1). What
// came from a file stays in host memory and is put back after an eviction.
type projectionCache struct {
	library *torch.Library
	device  torch.Device
	n       int
	limit   int
	seed    int64
	loaded  map[int]*Projection

	entries map[int]*torch.Projection
	order   []int               // widths, oldest created first
	retired []*torch.Projection // evicted, perhaps in use until sweep
}

// get answers the projection of a width, and whether it was drawn. A width
// of n needs none: nil. The handle is valid until the next sweep.
func (c *projectionCache) get(ctx context.Context, width int) (p *torch.Projection, drawn bool, err error) {
	if width == c.n {
		return nil, false, nil
	}
	values, fromFile := c.loaded[width]
	if p, ok := c.entries[width]; ok {
		return p, !fromFile, nil
	}
	if !fromFile {
		values = DrawProjection(c.seed, c.n, width)
	}
	p, err = c.library.NewProjection(ctx, c.device, c.n, width, values.Weight, values.Bias)
	if err != nil {
		return nil, false, fmt.Errorf("projection of width %d: %w", width, err)
	}
	for len(c.order) >= c.limit {
		oldest := c.order[0]
		c.order = append(c.order[:0], c.order[1:]...)
		c.retired = append(c.retired, c.entries[oldest])
		delete(c.entries, oldest)
	}
	c.entries[width] = p
	c.order = append(c.order, width)
	return p, !fromFile, nil
}

// sweep frees what was evicted since the last one.
func (c *projectionCache) sweep() error {
	var errs []error
	for _, p := range c.retired {
		errs = append(errs, p.Close())
	}
	c.retired = c.retired[:0]
	return errors.Join(errs...)
}

func (c *projectionCache) close() error {
	errs := []error{c.sweep()}
	for _, p := range c.entries {
		errs = append(errs, p.Close())
	}
	c.entries, c.order = nil, nil
	return errors.Join(errs...)
}
