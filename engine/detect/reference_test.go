package detect

import (
	"context"
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"testing"
)

// kit is testdata/detector.json: what the Python reference answered (rows of 16
// columns, which its patterns have for a workspace of 8).
type kit struct {
	Safe        []float32
	Unsafe      []float32
	Sensitivity float64
	Detect      []struct {
		Pattern      []float32
		IsSafe       bool    `json:"is_safe"`
		IsOutlier    bool    `json:"is_outlier"`
		AnomalyScore float64 `json:"anomaly_score"`
		Reason       string
	}
	Consistency []struct {
		NSafe   int `json:"n_safe"`
		NUnsafe int `json:"n_unsafe"`
		Safe    []float32
		Unsafe  []float32
		Result  struct {
			Consistent  bool
			Score       float64  `json:"separation_score"`
			Separation  *float64 `json:"separation_distance"`
			AvgVariance *float64 `json:"avg_variance"`
		}
	}
}

const kitWidth = 16

func readKit(t testing.TB) *kit {
	t.Helper()
	text, err := os.ReadFile("testdata/detector.json")
	if err != nil {
		t.Fatal(err)
	}
	k := new(kit)
	if err := json.Unmarshal(text, k); err != nil {
		t.Fatal(err)
	}
	return k
}

// idle computes nothing.
type idle struct{ Computer }

func (idle) DetectorFit(context.Context, int, []float32, []float32, []float64, []float64, []float64, []float64, []float64) (float64, float64, error) {
	return 0, 0, nil
}

func plain(rows []float32) Patterns {
	p := Patterns{Rows: rows, Stride: kitWidth}
	for i := range len(rows) / kitWidth {
		p.IDs = append(p.IDs, int64(i)+1)
	}
	return p
}

func TestReferenceAnswersAsTheKit(t *testing.T) {
	k := readKit(t)
	c := DefaultConfig()
	c.Mode, c.Width, c.Sensitivity = Reference, kitWidth, k.Sensitivity
	d := detector(t, c, idle{}, newClock())
	for _, safe := range []bool{true, false} {
		if outlier, score, reason := d.Anomaly(k.Detect[0].Pattern, safe); outlier || score != 0 || reason != "Insufficient statistics" {
			t.Errorf("empty memory: got %v, %v, %q, want insufficient statistics", outlier, score, reason)
		}
	}
	if err := d.Load(t.Context(), plain(k.Safe), plain(k.Unsafe)); err != nil {
		t.Fatal(err)
	}
	tx := d.Begin()
	for i, want := range k.Detect {
		outlier, score, reason := d.Anomaly(want.Pattern, want.IsSafe)
		if outlier != want.IsOutlier || math.Abs(score-want.AnomalyScore) > 1e-4 || reason != want.Reason {
			t.Errorf("pattern %d: got %v, %v, %q, want %v, %v, %q", i, outlier, score, reason, want.IsOutlier, want.AnomalyScore, want.Reason)
		}
		b := tx.Prepare([]Row{{Values: want.Pattern, Safe: want.IsSafe, NearestSame: 1, NearestOther: 1}})
		findings, err := b.Judge(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		if has(findings, Outlier) != want.IsOutlier || want.IsOutlier && (findings[0].Reason != want.Reason || !findings[0].Holds || findings[0].Score <= 1) {
			t.Errorf("pattern %d: got %+v, want outlier %v, %q", i, findings, want.IsOutlier, want.Reason)
		}
	}
}

func TestConsistencyAnswersAsTheKit(t *testing.T) {
	for i, want := range readKit(t).Consistency {
		c := DefaultConfig()
		c.Width = kitWidth
		d := detector(t, c, idle{}, newClock())
		if err := d.Load(t.Context(), plain(want.Safe), plain(want.Unsafe)); err != nil {
			t.Fatal(err)
		}
		got := d.Consistency()
		near := func(got float64, want *float64) bool {
			return want == nil || math.Abs(got-*want) <= 1e-4*max(1, *want)
		}
		if got.Consistent != want.Result.Consistent || !near(got.Score, &want.Result.Score) ||
			!near(got.Separation, want.Result.Separation) || !near(got.AvgVariance, want.Result.AvgVariance) {
			t.Errorf("case %d of %d and %d: got %+v, want %+v", i, want.NSafe, want.NUnsafe, got, want.Result)
		}
	}
}

// Sums that were added to and taken from for long are those of the rows that
// are left, also where the mean is large and the spread small.
func TestColumnsFollowAddsAndRemoves(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, scale := range []struct{ mean, spread float64 }{{0, 1}, {1e6, 1}, {-3e4, 1e-2}, {0, 1e30}} {
		const n = 3
		c := newColumns(n)
		var rows [][]float32
		for step := range 60_000 {
			if len(rows) > 0 && (len(rows) == 300 || random.IntN(5) < 2) {
				i := random.IntN(len(rows))
				c.remove(rows[i])
				rows[i] = rows[len(rows)-1]
				rows = rows[:len(rows)-1]
			} else {
				row := make([]float32, n)
				for j := range row {
					row[j] = float32(scale.mean + scale.spread*random.NormFloat64())
				}
				c.add(row)
				rows = append(rows, row)
			}
			if step%7919 != 0 || len(rows) < 2 {
				continue
			}
			for j := range n {
				mean, variance := anew(rows, j)
				if c.count != len(rows) || math.Abs(c.mean(j)-mean) > 1e-12*(math.Abs(mean)+scale.spread) ||
					math.Abs(c.variance(j)-variance) > 1e-9*variance {
					t.Fatalf("mean %g, spread %g, step %d, column %d: got %d, %v, %v, want %d, %v, %v",
						scale.mean, scale.spread, step, j, c.count, c.mean(j), c.variance(j), len(rows), mean, variance)
				}
			}
		}
	}
}

// anew is mean and unbiased variance in two passes.
func anew(rows [][]float32, j int) (mean, variance float64) {
	for _, r := range rows {
		mean += float64(r[j]) / float64(len(rows))
	}
	for _, r := range rows {
		variance += (float64(r[j]) - mean) * (float64(r[j]) - mean) / float64(len(rows)-1)
	}
	return mean, variance
}
