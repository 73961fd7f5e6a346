package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"math"

	"github.com/fdqc-cockpit/fdqc/cgo/torch"
	"github.com/fdqc-cockpit/fdqc/engine/detect"
	"github.com/fdqc-cockpit/fdqc/engine/memory"
)

// gatekeeper is the guard that an engine gives its directory: the detector,
// with the validator's patterns for its neighbours.
type gatekeeper struct {
	engine   *Engine
	detector *detect.Detector // nil: everything passes
	tx       *detect.Tx       // the open transaction
	stale    bool             // the memory is another than the detector knows
	kept     bool             // while stale: what the detector knows still holds
}

var _ guard = (*gatekeeper)(nil)

// newGatekeeper makes the guard of an engine whose directory and validator are
// open; it takes up what the detector left the last time.
func newGatekeeper(ctx context.Context, e *Engine) (*gatekeeper, error) {
	c := &e.config.Detector
	settings := detect.DefaultConfig()
	settings.Mode, settings.Sensitivity, settings.Width = c.Mode, c.Sensitivity, e.config.Safety.WorkspaceDim
	settings.Quota, settings.Total, settings.Window = c.SourceQuota, e.config.totalSourceQuota(), c.SourceWindow.Span()
	detector, err := detect.New(settings, computer{e}, e.directory.now)
	if err != nil {
		return nil, err
	}
	g := &gatekeeper{engine: e, detector: detector}
	if left := e.directory.detectorState; left != nil {
		var state detect.State
		if err := json.Unmarshal(left, &state); err != nil {
			return nil, fmt.Errorf("state of the detector: %w", err)
		}
		if err := detector.Restore(state); err != nil {
			return nil, err
		}
	}
	return g, g.load(ctx)
}

// load has the detector learn the memory anew.
func (g *gatekeeper) load(ctx context.Context) error {
	if g.kept {
		if err := g.detector.Restore(g.detector.State()); err != nil {
			return err
		}
	}
	safe, unsafe := sidesOf(g.engine.directory)
	if err := g.detector.Load(ctx, safe, unsafe); err != nil {
		return err
	}
	g.stale, g.kept = false, false
	return nil
}

// sidesOf copies both sides of a memory for a detector.
func sidesOf(d *Directory) (safe, unsafe detect.Patterns) {
	s := d.Patterns()
	side := func(of memory.Side) detect.Patterns {
		return detect.Patterns{IDs: s.Sides[of].IDs, Rows: s.Sides[of].Rows, Stride: s.Width}
	}
	return side(memory.Safe), side(memory.Unsafe)
}

// Consistency says how well the sides of the memory are apart (section 5 of
// the validator specification). It reads the whole memory.
func (d *Directory) Consistency() detect.Consistency {
	safe, unsafe := sidesOf(d)
	return detect.Measure(d.config.Safety.WorkspaceDim, safe, unsafe)
}

func (g *gatekeeper) begin(learns bool) error {
	if g.detector == nil {
		return nil
	}
	if !learns { // what the detector counts changes, and no pattern comes
		g.tx = g.detector.Begin()
		return nil
	}
	ctx := context.Background() // the wait for a batch in hand, which ends
	if g.stale {
		if err := g.load(ctx); err != nil {
			return err
		}
	}
	// Neighbours are looked for among the validator's patterns, which cannot
	// be had from the memory once its transaction is open.
	e := g.engine
	if err := e.computing.lock(ctx); err != nil {
		return err
	}
	defer e.computing.unlock()
	if e.stale && !e.closed {
		if err := e.publish(ctx); err != nil {
			return err
		}
	}
	g.tx = g.detector.Begin()
	return nil
}

func (g *gatekeeper) commit() {
	if g.tx != nil {
		g.tx.Commit()
		g.tx = nil
	}
}

func (g *gatekeeper) rollback() {
	if g.tx != nil {
		g.tx.Rollback()
		g.tx = nil
	}
}

func (g *gatekeeper) accepted(side memory.Side, row []float32, id int64) {
	if g.tx != nil {
		g.tx.Accept(detect.Row{Values: row, Safe: side == memory.Safe}, id)
	}
}

func (g *gatekeeper) released(h *Held) {
	if g.tx == nil {
		return
	}
	var rules []detect.Rule
	for _, f := range h.Findings {
		rules = append(rules, detect.Rule(f.Rule))
	}
	g.tx.Release(sideNamed(h.Side) == memory.Safe, rules...)
}

func (g *gatekeeper) evicted(side memory.Side, id int64, pattern []float32) {
	if g.tx != nil {
		g.tx.Evicted(side == memory.Safe, id, pattern)
	}
}

func (g *gatekeeper) replaced() { g.stale, g.kept = true, false }

func (g *gatekeeper) resized() { g.kept, g.stale = g.kept || !g.stale, true }

func (g *gatekeeper) state() ([]byte, error) {
	if g.detector == nil {
		return nil, nil
	}
	state := g.detector.State()
	if g.stale && !g.kept {
		state.Sides = [2]detect.SideState{}
	}
	return json.Marshal(state)
}

// forgotten is a detector's state without what it knew of the patterns; the
// quotas of sources stay. nil stays nil.
func forgotten(state []byte) ([]byte, error) {
	if state == nil {
		return nil, nil
	}
	var s detect.State
	if err := json.Unmarshal(state, &s); err != nil {
		return nil, err
	}
	s.Sides = [2]detect.SideState{}
	return json.Marshal(s)
}

// judged is the detector's view of the outcomes of one call.
type judged struct {
	batch *detect.Batch // nil: everything passes
	place []int         // of each outcome in the batch
}

// prepare has the detector look at outcomes, of which rows are the workspace
// ([len, n]), except those that refused says are none.
func (g *gatekeeper) prepare(ctx context.Context, outcomes []Outcome, rows []float32, refused []bool) (*judged, error) {
	if g.detector == nil {
		return &judged{}, nil
	}
	n := g.engine.config.Safety.WorkspaceDim
	j := &judged{place: make([]int, len(outcomes))}
	flat := make([]float32, 0, len(rows))
	list := make([]detect.Row, 0, len(outcomes))
	for i := range outcomes {
		if refused[i] {
			continue
		}
		j.place[i] = len(list)
		flat = append(flat, rows[i*n:(i+1)*n]...)
		list = append(list, detect.Row{Safe: outcomes[i].IsSafe, Source: outcomes[i].Source})
	}
	if len(list) == 0 {
		return j, nil
	}
	nearest := make([]torch.Verdict, len(list))
	if err := g.nearest(ctx, flat, nearest); err != nil {
		return nil, err
	}
	for i := range list {
		r := &list[i]
		r.Values = flat[i*n : (i+1)*n]
		safe, unsafe := math.Inf(1), math.Inf(1)
		if nearest[i].RowStatus == torch.RowOK {
			safe, unsafe = float64(nearest[i].SafeDistance), float64(nearest[i].UnsafeDistance)
		}
		if r.NearestSame, r.NearestOther = safe, unsafe; !r.Safe {
			r.NearestSame, r.NearestOther = unsafe, safe
		}
	}
	j.batch = g.tx.Prepare(list)
	return j, nil
}

// nearest finds the nearest patterns of rows, [len(out), n].
func (g *gatekeeper) nearest(ctx context.Context, rows []float32, out []torch.Verdict) error {
	e := g.engine
	if err := e.computing.lock(ctx); err != nil {
		return err
	}
	defer e.computing.unlock()
	if e.closed {
		return ErrClosed
	}
	if e.stale { // since the transaction began
		return fmt.Errorf("patterns are to be moved first: %w", torch.ErrDeviceLost)
	}
	return e.deviceFailed(e.validator.Nearest(ctx, rows, out))
}

// judge answers what the rules say about an outcome, and whether one of them
// holds it.
func (j *judged) judge(ctx context.Context, i int) (findings []Finding, holds bool, err error) {
	if j.batch == nil {
		return nil, false, nil
	}
	found, err := j.batch.Judge(ctx, j.place[i])
	for _, f := range found {
		findings = append(findings, Finding{Rule: string(f.Rule), Score: f.Score, Reason: f.Reason})
		holds = holds || f.Holds
	}
	return findings, holds, err
}

func (j *judged) store(i int, id int64) {
	if j.batch != nil {
		j.batch.Store(j.place[i], id)
	}
}

func (j *judged) hold(i int) {
	if j.batch != nil {
		j.batch.Hold(j.place[i])
	}
}
