package detect

import (
	"context"
	"fmt"
	"math"
	"time"
)

// Row is an outcome to be judged.
type Row struct {
	Values []float32 // [Width], finite
	Safe   bool      // the side that it claims
	Source string    // who brought it; "" is the operator, who has no quota
	// Distance to the nearest pattern committed on its own and on the other
	// side, +Inf when there is none.
	NearestSame, NearestOther float64
}

// Patterns are the rows of one side of a memory.
type Patterns struct {
	IDs    []int64
	Rows   []float32 // [len(IDs), Stride], of which the first Width count
	Stride int
}

// Computer does the arithmetic over many rows, in float64. Its slices are used
// during the call only.
type Computer interface {
	// DetectorFit fits rows ([count, n]) robustly and writes the location ([n]),
	// the inverse of the covariance's lower Cholesky factor ([n, n]), for each
	// row its distance from the fit without it (left, [count]), and of the first
	// len(same) rows the distance to the nearest of the other rows and of others
	// ([any, n]); +Inf where there is none. It answers the covariance's trace
	// and the trace of its square.
	DetectorFit(ctx context.Context, n int, rows, others []float32, location, factor, left, same, other []float64) (trace, traceSquare float64, err error)
	// DetectorDistances writes the distances of rows ([len(out), n]) from a fit.
	DetectorDistances(ctx context.Context, n int, location, factor []float64, rows []float32, out []float64) error
	// DetectorNearest writes the distance of each of rows ([len(out), n]) to the
	// nearest of others ([at least 1, n]). Of both there are at most 65,536.
	DetectorNearest(ctx context.Context, n int, rows, others []float32, out []float64) error
}

// wideFit is from how many columns on a side is fitted half as often.
const wideFit = 64

// Detector judges the rows that are to enter one memory.
type Detector struct {
	config   Config
	computer Computer
	now      func() time.Time
	sides    [2]*side // safe, unsafe
	quotas   quotas
	restored [2]SideState
}

// side is what is known of one side of the memory.
type side struct {
	columns columns
	sample  sample
	below   uint64  // limits which ids the sample has, see belongs
	fit     *fit    // nil: too few rows
	limits  *Limits // nil: too few rows
	added   int     // rows since the fit
	evicted int
	lastID  int64
	held    Held
	anchor  *Anchor
	window  window
}

// New makes a detector for an empty memory.
func New(config Config, computer Computer, now func() time.Time) (*Detector, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	d := &Detector{
		config: config, computer: computer, now: now,
		quotas: quotas{quota: float64(config.Quota), total: float64(config.Total), window: config.Window, sources: map[string]Consumed{}},
	}
	for i := range d.sides {
		d.sides[i] = &side{columns: newColumns(config.Width), sample: newSample(), below: math.MaxUint64}
	}
	return d, nil
}

// Load takes the patterns of a memory that was opened, replaced or resized.
// What Restore brought before is kept where it belongs to them.
func (d *Detector) Load(ctx context.Context, safe, unsafe Patterns) error {
	patterns := [2]Patterns{safe, unsafe}
	for i, p := range patterns {
		if p.Stride < d.config.Width || len(p.Rows) != len(p.IDs)*p.Stride {
			return fmt.Errorf("detector: %s side: %d numbers for %d patterns of %d, expected at least %d columns",
				sideName(i), len(p.Rows), len(p.IDs), p.Stride, d.config.Width)
		}
		d.sides[i] = d.loaded(p, &d.restored[i])
	}
	d.restored = [2]SideState{}
	return d.Refit(ctx)
}

// Begin follows a transaction of the memory.
func (d *Detector) Begin() *Tx {
	tx := &Tx{d: d}
	for i, s := range d.sides {
		tx.before[i] = *s
	}
	return tx
}

// Refit fits both sides anew, due or not.
func (d *Detector) Refit(ctx context.Context) error {
	for i, s := range d.sides {
		if s.columns.count < d.config.least() {
			continue
		}
		if err := d.refit(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

// due says whether a side has to be fitted: enough of it changed, or its
// limits are of another memory.
func (d *Detector) due(which int) bool {
	s := d.sides[which]
	if s.columns.count < d.config.least() {
		return false
	}
	return s.fit == nil || max(s.added, s.evicted) >= s.most() || !d.limited(which)
}

// most is how many rows of a side come or go before it is fitted again: a
// quarter, and half where a fit costs as much as judging so many rows.
func (s *side) most() int {
	if len(s.fit.location) > wideFit {
		return max(8, s.fit.count/2)
	}
	return max(8, s.fit.count/4)
}

// refit fits a side that has rows enough.
func (d *Detector) refit(ctx context.Context, which int) error {
	s := d.sides[which]
	if len(s.sample.rows) < d.config.least() {
		return nil // a memory of many patterns that lost most of them
	}
	f, l, err := d.fitted(ctx, which)
	if err != nil {
		return err
	}
	s.fit, s.limits, s.added, s.evicted = f, l, 0, 0
	s.setAnchor()
	return nil
}

// share is that of a side's patterns that its sample has.
func (s *side) share() float64 { return float64(s.below) / math.MaxUint64 }

// Reanchor takes both sides as they are for what drift is measured from: an
// operator accepts how they changed.
func (d *Detector) Reanchor() {
	for _, s := range d.sides {
		s.anchor, s.limits = nil, nil // those at the next fit
		if s.fit != nil {
			s.setAnchor()
		}
	}
}

// Anomaly is the outlier test of section 5 of the validator specification, in
// either mode, against the rows as they are.
func (d *Detector) Anomaly(values []float32, safe bool) (outlier bool, score float64, reason string) {
	r := Row{Values: values, Safe: safe}
	distance, limit, ok := d.reference(&r)
	if !ok {
		return false, 0, "Insufficient statistics"
	}
	return distance > limit, min(distance/10, 1), fmt.Sprintf(distanceReason, sideName(r.side()), distance, limit)
}

// distanceReason takes the side, the distance and the limit.
const distanceReason = "%s pattern distance: %.2f (threshold: %.2f)"

func (d *Detector) reference(r *Row) (distance, limit float64, ok bool) {
	s := d.sides[r.side()]
	if s.columns.count < 2 {
		return 0, 0, false
	}
	return s.columns.distance(r.Values), 3 * (2 - d.config.Sensitivity), true
}

// Consistency is section 5 of the validator specification.
type Consistency struct {
	Consistent  bool
	Score       float64 // Separation / (AvgVariance + 1e-8)
	Separation  float64 // distance of the two means; 0 where a side is empty
	AvgVariance float64 // mean of both sides' mean variance of a column, likewise
}

// Consistency says how well the sides are apart. Where a side has one row its
// variance counts as 0.
func (d *Detector) Consistency() Consistency {
	safe, unsafe := &d.sides[0].columns, &d.sides[1].columns
	if safe.count == 0 || unsafe.count == 0 {
		return Consistency{Consistent: true, Score: 1}
	}
	var square float64
	for j := range d.config.Width {
		apart := safe.mean(j) - unsafe.mean(j)
		square += apart * apart
	}
	c := Consistency{
		Separation:  math.Sqrt(square),
		AvgVariance: (safe.trace() + unsafe.trace()) / float64(2*d.config.Width),
	}
	c.Score = c.Separation / (c.AvgVariance + 1e-8)
	c.Consistent = c.Score > 0.5
	return c
}
