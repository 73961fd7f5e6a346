package monitor

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
	Unreadable // its caller could not make an embedding of it
	refusals
)

func (r Refusal) String() string {
	return [...]string{"basic_checks", "not_finite", "overflow", "no_score", "failed_call", "unreadable"}[r]
}

// approvedBit, beside a decision, says that the tier approved.
const approvedBit = 4

// Tally counts the verdicts of a batch, without allocating: what it costs is
// what monitoring costs. [Monitor.Begin] gives it, [Monitor.End] takes it back.
type Tally struct {
	judged  [2 * approvedBit]uint64 // by decision and approvedBit
	refused [refusals]uint64
	risks   histogram

	// Of the batch in hand.
	threshold float32
	high      int     // rows above the threshold
	highest   float32 // risk
	errors    [refusals]int
	rows      int
}

// Judged counts a row that has scores; risk is 0 to 1.
func (t *Tally) Judged(risk float32, approved bool, d Decision) {
	t.judged[(int(d)|approvedBit*one(approved))&(2*approvedBit-1)]++
	t.risks.sum += float64(risk)
	t.risks.cells[t.risks.scale.cell(risk)]++
	t.high += one(risk > t.threshold)
	if risk > t.highest {
		t.highest = risk
	}
	t.rows++
}

// Refused counts rows without scores, which are blocked.
func (t *Tally) Refused(why Refusal, rows int) {
	t.refused[why] += uint64(rows)
	if why != BasicChecks {
		t.errors[why] += rows
	}
	t.rows += rows
}

// begin empties what is of a batch.
func (t *Tally) begin() {
	t.high, t.highest, t.rows = 0, 0, 0
	t.errors = [refusals]int{}
}

// failed counts the rows of the batch that could not be judged.
func (t *Tally) failed() (n int) {
	for _, count := range t.errors {
		n += count
	}
	return n
}

// counts gives the totals of judged rows, approved ones, and all rows by
// decision.
func (t *Tally) counts() (judged, approved uint64, by [decisions]uint64) {
	for d := range decisions {
		yes, no := t.judged[d|approvedBit], t.judged[d]
		approved += yes
		judged += yes + no
		by[d] = yes + no
	}
	for _, n := range t.refused {
		by[Block] += n
	}
	return judged, approved, by
}
