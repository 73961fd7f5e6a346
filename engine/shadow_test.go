package engine_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/fdqc-cockpit/fdqc/engine"
	"github.com/fdqc-cockpit/fdqc/engine/policy"
)

// TestShadowDecidesAsAnEngineWould runs the same rows through an engine with a
// shadow and through one that has the shadow's settings: every decision agrees,
// whatever the memory holds, on rows of every kind and at thresholds that are
// numbers of rows themselves.
func TestShadowDecidesAsAnEngineWould(t *testing.T) {
	const rows, n, hashed, drawn = 1500, 8, 200, 300
	judged, disagreed := 0, 0
	for memory, patterns := range map[string][]engine.Outcome{
		"empty":  nil,
		"safe":   keep(outcomes(normal(1, 400, n), n), true),
		"unsafe": keep(outcomes(normal(1, 400, n), n), false),
		"both":   outcomes(normal(1, 400, n), n),
	} {
		batch := shadowBatch(rows, n, hashed, drawn, patterns)
		real := open(t, inMemory(n), engine.InMemory())
		record(t, real, patterns)
		seen := validate(t, real, batch)
		random := rand.New(rand.NewPCG(11, 5))
		for round := range 16 {
			shadow := engine.ShadowConfig{
				Enabled: true, Tier: policy.Tiers()[round%6], SafeMode: round == 12, RequireHumanApproval: round == 13,
				EntropyThreshold: oneOf(random, seen, func(v *engine.Verdict) float32 { return v.Entropy }), CollapseThreshold: oneOf(random, seen, func(v *engine.Verdict) float32 { return v.Coherence }),
				BlockThreshold: oneOf(random, seen, func(v *engine.Verdict) float32 { return v.RawRisk }),
			}
			t.Run(fmt.Sprintf("%s %d", memory, round), func(t *testing.T) {
				config := inMemory(n)
				config.Shadow = shadow
				with := open(t, config, engine.InMemory())
				record(t, with, patterns)
				got := validate(t, with, batch)

				config = inMemory(n)
				config.Safety.Tier, config.Safety.SafeMode, config.Safety.RequireHumanApproval = shadow.Tier, shadow.SafeMode, shadow.RequireHumanApproval
				config.Safety.EntropyThreshold, config.Safety.CollapseThreshold, config.Safety.BlockThreshold = shadow.EntropyThreshold, shadow.CollapseThreshold, shadow.BlockThreshold
				alone := open(t, config, engine.InMemory())
				record(t, alone, patterns)
				want := validate(t, alone, batch)

				rules := policy.Rules{
					Settings:         policy.Settings{Tier: shadow.Tier, SafeMode: shadow.SafeMode, RequireHumanApproval: shadow.RequireHumanApproval},
					EntropyThreshold: float32(shadow.EntropyThreshold), CollapseThreshold: float32(shadow.CollapseThreshold), BlockThreshold: float32(shadow.BlockThreshold),
				}
				var counts policy.Counts
				for i := range got {
					if fmt.Sprint(got[i]) != fmt.Sprint(seen[i]) {
						t.Fatalf("row %d: got %+v, want %+v: a shadow changed it", i, got[i], seen[i])
					}
					counts[got[i].Decision][want[i].Decision]++
					if got[i].Status != engine.Judged {
						continue
					}
					judged++
					if got[i].Decision != want[i].Decision {
						disagreed++
					}
					numbers := got[i].Numbers(batch.HashText[i] || batch.Widths[i] != n)
					if d := rules.Decide(&numbers); d != want[i].Decision {
						t.Errorf("row %d under %+v: got %s, want %s: %+v", i, shadow, d, want[i].Decision, want[i])
					}
				}
				if c := with.Shadow(); c != counts || c.Rows() != rows {
					t.Errorf("got counts %v, want %v", c, counts)
				}
				if c := alone.Shadow(); c != (policy.Counts{}) {
					t.Errorf("no shadow: got counts %v, want none", c)
				}
			})
		}
	}
	if disagreed == 0 {
		t.Error("shadow and engine decided the same everywhere: the rows show nothing")
	}
	t.Logf("%d rows judged, of which the shadow would have decided %d otherwise", judged, disagreed)
}

// shadowBatch has rows near patterns and far from them, refused ones, and ones
// that are at most review.
func shadowBatch(rows, n, hashed, drawn int, patterns []engine.Outcome) engine.Batch {
	random := rand.New(rand.NewPCG(3, 9))
	b := engine.Batch{Widths: make([]int, rows), HashText: make([]bool, rows), BasicChecks: make([]bool, rows), Sessions: make([]string, rows)}
	for i := range rows {
		b.Widths[i], b.HashText[i], b.BasicChecks[i], b.Sessions[i] = n, i < hashed, i%97 != 0, fmt.Sprint(i%50)
		if i >= rows-drawn {
			b.Widths[i] = n + 3
		}
		scale := math.Exp(3 * random.NormFloat64())
		for j := range b.Widths[i] {
			x := scale * random.NormFloat64()
			if i%3 > 0 && len(patterns) > 0 && j < n {
				x = float64(patterns[i%len(patterns)].Embedding[j]) + 0.4*random.NormFloat64()*float64(i%5)
			}
			b.Embeddings = append(b.Embeddings, float32(x))
		}
		if i%101 == 1 {
			b.Embeddings[len(b.Embeddings)-1] = float32(math.NaN())
		}
	}
	return b
}

// keep leaves the outcomes of one side.
func keep(all []engine.Outcome, safe bool) []engine.Outcome {
	return slices.DeleteFunc(all, func(o engine.Outcome) bool { return o.IsSafe != safe })
}

// oneOf is a number of a row, which a threshold may then equal.
func oneOf(random *rand.Rand, rows []engine.Verdict, number func(*engine.Verdict) float32) float64 {
	for {
		if v := &rows[random.IntN(len(rows))]; v.Status == engine.Judged {
			return float64(number(v))
		}
	}
}
