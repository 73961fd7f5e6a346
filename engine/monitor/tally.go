package monitor

import "math"

// Decision is what a verdict says to do, loosest first.
type Decision uint8

// Decisions, in the engine's order.
const (
	Allow Decision = iota
	Review
	Block
	decisions
)

func (d Decision) String() string { return [...]string{"allow", "review", "block"}[d] }

// Refusal is why a row has no scores.
type Refusal uint8

// Refusals. A row that failed its basic checks was refused by its caller; the
// others are errors.
const (
	BasicChecks Refusal = iota
	NotFinite
	Overflow
	NoScore
	FailedCall // of the whole batch: the device, or memory
	refusals
)

func (r Refusal) String() string {
	return [...]string{"basic_checks", "not_finite", "overflow", "no_score", "failed_call"}[r]
}

// Tally counts the verdicts of a batch in one pass, without allocating: it is
// used again for the next batch. What it costs is what monitoring costs.
type Tally struct {
	// Threshold is the risk above which a row is of high risk.
	Threshold float32

	judged, approved int
	risk             float64 // sum
	high             int     // rows above Threshold
	highest          float32 // of them
	decisions        [decisions]int
	refusals         [refusals]int
	cells            [maxCells]uint32
}

// Judged counts a row that has scores; risk is 0 to 1.
func (t *Tally) Judged(risk float32, approved bool, d Decision) {
	t.judged++
	if approved {
		t.approved++
	}
	t.risk += float64(risk)
	if risk > t.Threshold {
		t.high++
		t.highest = max(t.highest, risk)
	}
	t.decisions[d]++
	t.cells[cellOf(risk)]++
}

// Refused counts rows without scores, which are blocked.
func (t *Tally) Refused(why Refusal, rows int) {
	t.refusals[why] += rows
	t.decisions[Block] += rows
}

// rows counts all of the batch, errors those that could not be judged.
func (t *Tally) rows() int { return t.judged + t.refusals[BasicChecks] + t.errors() }

func (t *Tally) errors() (n int) {
	for _, count := range t.refusals[BasicChecks+1:] {
		n += count
	}
	return n
}

func (t *Tally) reset() { *t = Tally{Threshold: t.Threshold} }

// Risks are counted in cells, which are fine enough to give both kinds of
// histogram: native buckets (schema 3: eight a doubling, as a factor of 1.1
// gives) and classic ones. Cells are the pieces between the bounds of both.
const (
	riskSchema   = 3
	perDoubling  = 1 << riskSchema
	doublings    = 10 // below 2^-10 a risk counts as zero
	firstNative  = 1 - perDoubling*doublings
	maxCells     = 1 + perDoubling*doublings + 16
	mantissaBits = 6 // of those that choose a first guess
	guessShift   = 23 - mantissaBits
)

// classicRisks are the classic buckets: the thresholds of tiers and alerts. A
// bound is compared as a float32, as the thresholds are.
var classicRisks = [...]float64{0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1}

// riskCells is the table of cells: upper bounds in rising order, the native
// bucket of each (of the zero bucket: firstNative-1), and by the top bits of a
// float32 the first cell that it can lie in.
var riskCells = makeRiskCells()

type cellTable struct {
	bounds [maxCells]float32
	native [maxCells]int16
	count  int
	guess  [doublings<<mantissaBits + 1]uint8
	base   uint32
}

func makeRiskCells() *cellTable {
	t := &cellTable{base: math.Float32bits(float32(math.Exp2(-doublings))) >> guessShift}
	add := func(bound float32, native int) {
		t.bounds[t.count], t.native[t.count] = bound, int16(native)
		t.count++
	}
	add(float32(math.Exp2(-doublings)), firstNative-1)
	classic := classicRisks[:]
	for i := firstNative; i <= 0; i++ {
		// The largest float32 that is not above the native bound.
		exact := math.Exp2(float64(i) / perDoubling)
		bound := float32(exact)
		if float64(bound) > exact {
			bound = math.Nextafter32(bound, 0)
		}
		for ; len(classic) > 0 && float32(classic[0]) <= bound; classic = classic[1:] {
			if float32(classic[0]) < bound {
				add(float32(classic[0]), i)
			}
		}
		add(bound, i)
	}
	cell := 0
	for i := range t.guess {
		low := math.Float32frombits((t.base + uint32(i)) << guessShift)
		for t.bounds[cell] < low {
			cell++
		}
		t.guess[i] = uint8(cell)
	}
	return t
}

// cellOf finds the cell of a risk.
func cellOf(risk float32) int {
	t := riskCells
	switch {
	case risk > 1: // no risk at all
		return t.count - 1
	case !(risk > t.bounds[0]):
		return 0
	}
	cell := int(t.guess[math.Float32bits(risk)>>guessShift-t.base])
	for risk > t.bounds[cell] {
		cell++
	}
	return cell
}
