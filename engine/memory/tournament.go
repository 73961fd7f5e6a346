package memory

import "math"

// tournament answers which row of a full side has the largest score
//
//	(counter - timestamp) / (importance + 1)
//
// in float64, the lowest row on a tie (validator specification, section 4),
// while the counter grows and single rows change. A score is a straight line
// over the counter, so a comparison of two rows that was decided once stays
// decided until their lines cross. The tournament is a binary tree over the
// rows; a node keeps the winner of the rows below it and the counter up to
// which nothing below it can change (a kinetic tournament: Basch, Guibas and
// Hershberger, "Data structures for mobile data", 1999). Asking visits only the
// nodes whose time has come; a changed row is replayed from its leaf to the
// root. With equal importances no lines ever cross.
//
// The answer is that of the rule taken literally, rounding included: where two
// scores come so close that rounding could make them equal, or turn them, the
// node is asked again at every counter. Only rows recorded at the same time
// with importances that differ by less than 1e-14 stay that close.
type tournament struct {
	leaves int    // rows rounded up to a power of two
	lines  []line // one a row
	// Node 1 is the root, node i has the children 2i and 2i+1, and node
	// leaves+row stands for a row. Only the inner nodes are stored.
	winners []int32 // row, or -1 where no row is below
	until   []int64 // first counter at which the winners below may change
}

// line is a row's score as a function of the counter.
type line struct {
	timestamp int64
	divisor   float64 // importance + 1
}

const never = math.MaxInt64

func newLine(timestamp int64, importance float32) line {
	return line{timestamp, float64(importance) + 1}
}

func (l line) score(counter int64) float64 { return float64(counter-l.timestamp) / l.divisor }

// newTournament plays all matches at this counter.
func newTournament(timestamps []int64, importance []float32, counter int64) *tournament {
	leaves := 2
	for leaves < len(timestamps) {
		leaves *= 2
	}
	t := &tournament{
		leaves: leaves, lines: make([]line, len(timestamps)),
		winners: make([]int32, leaves), until: make([]int64, leaves),
	}
	for row := range t.lines {
		t.lines[row] = newLine(timestamps[row], importance[row])
	}
	for node := leaves - 1; node >= 1; node-- {
		t.play(node, counter)
	}
	return t
}

// winner is the row with the largest score. The counter must not be less than
// at any call before.
func (t *tournament) winner(counter int64) int {
	t.refresh(1, counter)
	return int(t.winners[1])
}

// update gives a row a new line and replays its matches.
func (t *tournament) update(row int, timestamp int64, importance float32, counter int64) {
	t.refresh(1, counter)
	t.lines[row] = newLine(timestamp, importance)
	for node := (t.leaves + row) / 2; node >= 1; node /= 2 {
		t.play(node, counter)
	}
}

// refresh replays the nodes under node whose time has come.
func (t *tournament) refresh(node int, counter int64) {
	if node >= t.leaves || t.until[node] > counter {
		return
	}
	t.refresh(2*node, counter)
	t.refresh(2*node+1, counter)
	t.play(node, counter)
}

// play decides a node from its two children, which must be up to date.
func (t *tournament) play(node int, counter int64) {
	left, until := t.below(2 * node)
	right, rightUntil := t.below(2*node + 1)
	t.winners[node] = left
	if right >= 0 {
		won, decided := t.match(left, right, counter)
		t.winners[node] = won
		until = min(until, rightUntil, decided)
	}
	t.until[node] = until
}

// below is the winner under a node and until when it is known. Rows fill the
// leaves from the left, so no right child has a winner where the left has none.
func (t *tournament) below(node int) (row int32, until int64) {
	if node < t.leaves {
		return t.winners[node], t.until[node]
	}
	if row := node - t.leaves; row < len(t.lines) {
		return int32(row), never
	}
	return -1, never
}

// match decides between two rows, left the lower, and says until when that
// holds.
func (t *tournament) match(left, right int32, counter int64) (won int32, until int64) {
	a, b := t.lines[left], t.lines[right]
	if a.divisor == b.divisor {
		// The older wins at every counter: see MaxCounter.
		if a.timestamp <= b.timestamp {
			return left, never
		}
		return right, never
	}
	if a.score(counter) >= b.score(counter) {
		return left, decidedUntil(a, b, counter)
	}
	return right, decidedUntil(b, a, counter)
}

// decidedUntil is the first counter after this one at which the score of the
// winner might not be the larger one any more, or so near that rounding could
// hide it.
func decidedUntil(winner, loser line, counter int64) int64 {
	// Scores a/p and b/q (ages a, b; divisors p, q) are safely apart while
	// a·q - b·p > margin·(a·q + b·p). The rounding of the two quotients and of
	// the terms here is below 8 units of 2^-53, the margin is 32 of them. Both
	// sides grow linearly with the counter, so the lead does too.
	const margin = 1.0 / (1 << 48)
	aq := float64(counter-winner.timestamp) * loser.divisor
	bp := float64(counter-loser.timestamp) * winner.divisor
	lead := aq - bp - margin*(aq+bp)
	loss := winner.divisor - loser.divisor + margin*(winner.divisor+loser.divisor)
	if lead <= 0 {
		return counter + 1
	}
	if loss <= 0 {
		return never
	}
	steps := lead / loss
	if steps > 2*MaxCounter {
		return never
	}
	return counter + max(1, int64(steps))
}
