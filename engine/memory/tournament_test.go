package memory

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// TestTournamentWhereRoundingDecides walks two scores through their crossing
// where float64 cannot tell them apart for a long while: a younger row of
// importance 0 and one recorded a step earlier with importance 2^-k. The older
// leads until the ages reach 2^k, but from about 2^(2k-53) before that until as
// long after, both scores round to the same and the lower row must win.
func TestTournamentWhereRoundingDecides(t *testing.T) {
	for _, k := range []int{30, 36, 42} {
		for _, olderFirst := range []bool{true, false} {
			t.Run(fmt.Sprintf("2^-%d/older first %v", k, olderFirst), func(t *testing.T) {
				timestamps, importance := []int64{1, 0}, []float32{0, 1 / float32(int64(1)<<k)}
				if olderFirst {
					timestamps, importance = []int64{0, 1}, []float32{importance[1], 0}
				}
				crossing, zone := int64(1)<<k, int64(1)<<max(8, 2*k-53)
				start := crossing - 4*zone
				race := newTournament(timestamps, importance, start)
				ties := 0
				for counter := start; counter < crossing+4*zone; counter += zone / 64 {
					a := newLine(timestamps[0], importance[0]).score(counter)
					b := newLine(timestamps[1], importance[1]).score(counter)
					want := 0
					if b > a {
						want = 1
					}
					if a == b {
						ties++
					}
					if got := race.winner(counter); got != want {
						t.Fatalf("counter %d, %d from the crossing: got row %d, want %d (scores %v, %v)", counter, counter-crossing, got, want, a, b)
					}
				}
				if k > 30 && ties < 8 {
					t.Errorf("got %d ties on the way, want many: the case tests nothing", ties)
				}
			})
		}
	}
}

// TestTournamentAgainstScan compares with a scan over all rows, at counters that
// advance by steps of every size and with rows replaced on the way.
func TestTournamentAgainstScan(t *testing.T) {
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 3))
		rows := 1 + r.IntN(70)
		timestamps, importance := make([]int64, rows), make([]float32, rows)
		counter := int64(1000)
		for row := range rows {
			timestamps[row], importance[row] = r.Int64N(counter), r.Float32()*float32(r.IntN(5))
		}
		race := newTournament(timestamps, importance, counter)
		for range 2000 {
			counter += r.Int64N(int64(1) << r.IntN(12))
			want := 0
			for row := range rows {
				if newLine(timestamps[row], importance[row]).score(counter) > newLine(timestamps[want], importance[want]).score(counter) {
					want = row
				}
			}
			if got := race.winner(counter); got != want {
				t.Fatalf("seed %d, counter %d: got row %d, want %d", seed, counter, got, want)
			}
			if r.IntN(3) == 0 {
				row := r.IntN(rows)
				timestamps[row], importance[row] = counter, r.Float32()*float32(r.IntN(5))
				race.update(row, timestamps[row], importance[row], counter)
			}
		}
	}
}
