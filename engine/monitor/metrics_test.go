package monitor

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/proto"
)

// TestHistogramIsTheLibrarys feeds the same risks to the library's histogram and
// to the one here.
func TestHistogramIsTheLibrarys(t *testing.T) {
	const low = -10
	ours := newHistogram(riskScore, newScale(low, 0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1))
	theirs := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "x", Buckets: ours.scale.classic, NativeHistogramBucketFactor: 1.1,
		NativeHistogramZeroThreshold: math.Exp2(low),
	})
	random := rand.New(rand.NewPCG(1, 2))
	feed := func(v float32) {
		ours.observe(float64(v))
		theirs.Observe(float64(v))
	}
	for range 20000 {
		feed(random.Float32())
		feed(float32(math.Exp2(-12 * random.Float64()))) // small ones too
	}
	for i := -88; i <= 0; i++ { // beside every bound
		at := float32(math.Exp2(float64(i) / perDoubling))
		feed(math.Nextafter32(at, 0))
		feed(min(1, math.Nextafter32(at, 2)))
	}
	for _, v := range []float32{0, 1, 0.5, 0.25, math.SmallestNonzeroFloat32} {
		feed(v)
	}
	var got, want dto.Metric
	if err := ours.Write(&got); err != nil {
		t.Fatal(err)
	}
	if err := theirs.Write(&want); err != nil {
		t.Fatal(err)
	}
	g, w := got.Histogram, want.Histogram
	if math.Abs(g.GetSampleSum()-w.GetSampleSum()) > 1e-6*w.GetSampleSum() {
		t.Errorf("sum %v, want %v", g.GetSampleSum(), w.GetSampleSum())
	}
	g.SampleSum, w.SampleSum, w.CreatedTimestamp = nil, nil, nil
	if counts(g) != counts(w) {
		t.Errorf("native buckets\n%v\nwant\n%v", counts(g), counts(w))
	}
	g.PositiveSpan, w.PositiveSpan, g.PositiveDelta, w.PositiveDelta = nil, nil, nil, nil
	if !proto.Equal(g, w) {
		t.Errorf("got\n%v\nwant\n%v", g, w)
	}
}

// TestHistogramBeyondItsScale: what is larger than the largest bound is in the
// native bucket in which the library has it.
func TestHistogramBeyondItsScale(t *testing.T) {
	m := NewMetrics(MetricsOptions{})
	for _, h := range []histogram{m.batchSeconds, m.batchRows} {
		last := h.scale.bounds[len(h.scale.bounds)-2]
		theirs := prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "x", Buckets: h.scale.classic, NativeHistogramBucketFactor: 1.1,
			NativeHistogramZeroThreshold: float64(h.scale.bounds[0]),
		})
		feed := func(v float64) {
			h.observe(v)
			theirs.Observe(v)
		}
		feed(1)
		feed(float64(last))
		feed(float64(math.Nextafter32(last, 1e9)))
		for i := range 40 { // beside every bound
			at := float64(last) * math.Exp2(float64(i)/perDoubling)
			feed(at * 1.01)
			feed(at * 0.99)
			if i%perDoubling == 0 {
				feed(at)
			}
		}
		for _, v := range []float64{1e6, 1e9, 1e40, 1e300, math.MaxFloat64, math.Inf(1), math.Inf(1)} {
			feed(v)
		}
		var got, want dto.Metric
		if err := h.clone().Write(&got); err != nil {
			t.Fatal(err)
		}
		if err := theirs.Write(&want); err != nil {
			t.Fatal(err)
		}
		g, w := got.Histogram, want.Histogram
		w.CreatedTimestamp = nil
		if counts(g) != counts(w) {
			t.Errorf("%s: native buckets\n%v\nwant\n%v", h.desc, counts(g), counts(w))
		}
		g.PositiveSpan, w.PositiveSpan, g.PositiveDelta, w.PositiveDelta = nil, nil, nil, nil
		if !proto.Equal(g, w) {
			t.Errorf("%s: got\n%v\nwant\n%v", h.desc, g, w)
		}
	}
}

// counts writes native buckets out, whatever their spans.
func counts(h *dto.Histogram) string {
	var text strings.Builder
	bucket, count, next := int32(0), int64(0), 0
	for _, span := range h.PositiveSpan {
		bucket += span.GetOffset()
		for range span.GetLength() {
			count += h.PositiveDelta[next]
			next++
			if count > 0 {
				fmt.Fprintf(&text, " %d:%d", bucket, count)
			}
			bucket++
		}
	}
	return text.String()
}

// full is a monitor with something in all of its metrics.
func full(t *testing.T, c *clock) *Monitor {
	t.Helper()
	m := Open(Options{
		Now: c.Now, Thresholds: Thresholds{0.8, 0.1, 0.9, 0.3}, Hold: time.Hour, Rules: []string{"outlier", "burst"},
		State: func() State {
			return State{Patterns: [2]int{95, 10}, Capacity: 100, Evictions: 7, Tier: "GAMMA", SafeMode: true,
				Quarantine: 3, QuarantineUtilization: 0.3, Approvals: 2, ApprovalsUtilization: 0.2, OldestApproval: time.Unix(7, 0),
				Shadow: &[decisions][decisions]int64{Allow: {Review: 5}, Block: {Block: 6}}, DeviceFallbacks: 1, DeviceOutOfMemory: 2, CheckpointSaved: c.Now(), JournalAppended: c.Now()}
		},
	})
	t.Cleanup(func() { _ = m.Close() })
	return m
}

func TestMetrics(t *testing.T) {
	c := newClock()
	m := full(t, c)
	registry := prometheus.NewPedanticRegistry()
	if err := m.Register(registry); err != nil {
		t.Fatal(err)
	}
	tally := m.Begin()
	tally.Judged(0.25, true, Allow)
	tally.Judged(0.5, false, Review)
	tally.Judged(0.75, false, Block)
	tally.Refused(BasicChecks, 1)
	m.End(tally, c.Now())
	tally = m.Begin()
	tally.Refused(Overflow, 2)
	m.End(tally, c.Now())
	m.Metrics.Recorded("stored", 3)
	m.Metrics.Recorded("nonsense", 1)
	m.Metrics.Inspected()
	m.Metrics.Inspected("burst", "unheard of")
	m.Consistency(2.5)
	m.Confusion.Count(false, true, time.Time{})

	want := `
# HELP fdqc_validations_total Rows by what became of them: approved or rejected by the tier, refused by their basic checks, or an error.
# TYPE fdqc_validations_total counter
fdqc_validations_total{result="approved"} 1
fdqc_validations_total{result="basic_checks"} 1
fdqc_validations_total{result="error"} 2
fdqc_validations_total{result="rejected"} 2
# HELP fdqc_decisions_total Rows by decision.
# TYPE fdqc_decisions_total counter
fdqc_decisions_total{decision="allow"} 1
fdqc_decisions_total{decision="block"} 4
fdqc_decisions_total{decision="review"} 1
# HELP fdqc_validation_errors_total Rows that could not be judged, by reason; they are blocked.
# TYPE fdqc_validation_errors_total counter
fdqc_validation_errors_total{reason="failed_call"} 0
fdqc_validation_errors_total{reason="no_score"} 0
fdqc_validation_errors_total{reason="not_finite"} 0
fdqc_validation_errors_total{reason="overflow"} 2
fdqc_validation_errors_total{reason="unreadable"} 0
# HELP fdqc_risk_score_mean Mean risk of all rows judged since the start; 0 before the first.
# TYPE fdqc_risk_score_mean gauge
fdqc_risk_score_mean 0.5
# HELP fdqc_validation_error_ratio Rows that could not be judged by all rows, of the last hour.
# TYPE fdqc_validation_error_ratio gauge
fdqc_validation_error_ratio 0.3333333333333333
# HELP fdqc_outcomes_total Outcomes given to record, by result.
# TYPE fdqc_outcomes_total counter
fdqc_outcomes_total{result="error"} 1
fdqc_outcomes_total{result="quarantined"} 0
fdqc_outcomes_total{result="rejected"} 0
fdqc_outcomes_total{result="stored"} 3
# HELP fdqc_detections_total Outcomes for which a rule of the detector fired, by rule.
# TYPE fdqc_detections_total counter
fdqc_detections_total{rule="burst"} 1
fdqc_detections_total{rule="other"} 1
fdqc_detections_total{rule="outlier"} 0
# HELP fdqc_detection_ratio Outcomes for which a rule fired by outcomes inspected, since the start; 0 before the first.
# TYPE fdqc_detection_ratio gauge
fdqc_detection_ratio 0.5
# HELP fdqc_memory_utilization_ratio Patterns by capacity, by side.
# TYPE fdqc_memory_utilization_ratio gauge
fdqc_memory_utilization_ratio{side="safe"} 0.95
fdqc_memory_utilization_ratio{side="unsafe"} 0.1
# HELP fdqc_pattern_consistency_score Separation of the two sides by their variance (below the threshold is an alert); absent until both sides have two patterns.
# TYPE fdqc_pattern_consistency_score gauge
fdqc_pattern_consistency_score 2.5
# HELP fdqc_tier 1 for the tier in force, 0 for the others.
# TYPE fdqc_tier gauge
fdqc_tier{tier="ALPHA"} 0
fdqc_tier{tier="BETA"} 0
fdqc_tier{tier="DELTA"} 0
fdqc_tier{tier="EPSILON"} 0
fdqc_tier{tier="GAMMA"} 1
fdqc_tier{tier="OMEGA"} 0
# HELP fdqc_quarantine_size Outcomes that wait in the quarantine.
# TYPE fdqc_quarantine_size gauge
fdqc_quarantine_size 3
# HELP fdqc_approvals_pending Actions that wait for a person's approval.
# TYPE fdqc_approvals_pending gauge
fdqc_approvals_pending 2
# HELP fdqc_approvals_oldest_timestamp_seconds When the oldest action that waits for approval was asked about; seconds since 1970; absent while none waits.
# TYPE fdqc_approvals_oldest_timestamp_seconds gauge
fdqc_approvals_oldest_timestamp_seconds 7
# HELP fdqc_shadow_decisions_total Rows by decision and by what the settings of [shadow] would have decided; absent without them.
# TYPE fdqc_shadow_decisions_total counter
fdqc_shadow_decisions_total{decision="allow",shadow="allow"} 0
fdqc_shadow_decisions_total{decision="allow",shadow="block"} 0
fdqc_shadow_decisions_total{decision="allow",shadow="review"} 5
fdqc_shadow_decisions_total{decision="block",shadow="allow"} 0
fdqc_shadow_decisions_total{decision="block",shadow="block"} 6
fdqc_shadow_decisions_total{decision="block",shadow="review"} 0
fdqc_shadow_decisions_total{decision="review",shadow="allow"} 0
fdqc_shadow_decisions_total{decision="review",shadow="block"} 0
fdqc_shadow_decisions_total{decision="review",shadow="review"} 0
# HELP fdqc_alerts_total Alerts raised, by level; what a hold time swallowed is not among them.
# TYPE fdqc_alerts_total counter
fdqc_alerts_total{level="critical"} 1
fdqc_alerts_total{level="error"} 1
fdqc_alerts_total{level="info"} 0
fdqc_alerts_total{level="warning"} 0
# HELP fdqc_alerts_recent Alerts of the last hour.
# TYPE fdqc_alerts_recent gauge
fdqc_alerts_recent 2
`
	names := []string{}
	for _, line := range strings.Split(want, "\n") {
		if fields := strings.Fields(line); len(fields) > 2 && fields[1] == "TYPE" {
			names = append(names, fields[2])
		}
	}
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), names...); err != nil {
		t.Error(err)
	}
	if n, err := testutil.GatherAndCount(registry, "fdqc_judged_outcomes"); err != nil || n != 12 {
		t.Errorf("%d series of judged outcomes, want 12 (%v)", n, err)
	}

	c.add(2 * time.Hour)
	if got := m.Metrics.ErrorRatio(); got != 0 {
		t.Errorf("error ratio two hours later: %v, want 0", got)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	if n, err := testutil.GatherAndCount(registry); err != nil || n != 0 {
		t.Errorf("%d series after Close, want 0 (%v)", n, err)
	}
}

// TestMetricsAreWellNamed runs Prometheus's linter over everything that can be
// exported.
func TestMetricsAreWellNamed(t *testing.T) {
	c := newClock()
	m := full(t, c)
	m.Consistency(1)
	m.Metrics.Outside("somewhere", OutsideOptions{})
	spending := m.Metrics.Spending("somewhere", "usd")
	spending.Cost(0.01)
	spending.Cost(math.NaN())
	spending.Cost(-1)
	spending.Compressed(100, 40)
	spending.Compressed(0, 0)
	registry := prometheus.NewPedanticRegistry()
	if err := m.Register(registry); err != nil {
		t.Fatal(err)
	}
	problems, err := testutil.GatherAndLint(registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "fdqc_") {
			t.Errorf("%s, expected fdqc_…", f.GetName())
		}
		if f.GetType() != dto.MetricType_HISTOGRAM {
			continue
		}
		for _, metric := range f.Metric {
			if h := metric.Histogram; h.Schema == nil || h.ZeroThreshold == nil || len(h.Bucket) == 0 {
				t.Errorf("%s is not classic and native: %v", f.GetName(), h)
			}
		}
	}
}

// TestWhatNobodyFeedsIsNotExported: calls outside have no metric before there
// is a client.
func TestWhatNobodyFeedsIsNotExported(t *testing.T) {
	m := full(t, newClock())
	registry := prometheus.NewPedanticRegistry()
	if err := m.Register(registry); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), "fdqc_outside_") {
			t.Errorf("%s is exported, and there is no client", f.GetName())
		}
	}
}

// TestCountingAllocatesNothing: not even while rows of high risk are
// swallowed.
func TestCountingAllocatesNothing(t *testing.T) {
	m := full(t, newClock())
	batch := func() {
		start := time.Now()
		tally := m.Begin()
		for range 64 {
			tally.Judged(0.95, false, Block)
		}
		m.End(tally, start)
	}
	batch()
	if n := testing.AllocsPerRun(100, batch); n != 0 {
		t.Errorf("%v allocations a batch, want 0", n)
	}
}

// TestScalesTellBoundsApart: a step of the first guess holds one bound at most.
func TestScalesTellBoundsApart(t *testing.T) {
	m := NewMetrics(MetricsOptions{})
	for _, h := range []histogram{m.tally.risks, m.batchSeconds, m.batchRows} {
		s := h.scale
		for step := range len(s.guess) - 1 {
			if n := s.guess[step+1] - s.guess[step]; n > 1 {
				t.Errorf("%s: %d bounds in step %d, at most 1 can be told apart", h.desc, n, step)
			}
		}
		for i, bound := range s.bounds[:len(s.bounds)-1] {
			if got, above := s.cell(bound), s.cell(math.Nextafter32(bound, 1e9)); got != i || above != i+1 {
				t.Errorf("%s: %v is in cell %d and what follows in %d, want %d and %d", h.desc, bound, got, above, i, i+1)
			}
		}
		for v, want := range map[float32]int{0: 0, -1: 0, float32(math.NaN()): 0, float32(math.Inf(1)): len(s.bounds) - 1} {
			if got := s.cell(v); got != want {
				t.Errorf("%s: %v is in cell %d, want %d", h.desc, v, got, want)
			}
		}
	}
}

func BenchmarkTally(b *testing.B) {
	for _, rows := range []int{1, 1024} {
		b.Run(fmt.Sprintf("rows=%d", rows), func(b *testing.B) {
			m := Open(Options{Thresholds: Thresholds{0.8, 0.1, 0.9, 0.3}, Hold: time.Hour})
			defer m.Close()
			random := rand.New(rand.NewPCG(1, 2))
			values := make([]float32, rows)
			for i := range values {
				values[i] = random.Float32()
			}
			b.ReportAllocs()
			for b.Loop() {
				start := time.Now()
				tally := m.Begin()
				for _, v := range values {
					tally.Judged(v, v < 0.5, Block)
				}
				m.End(tally, start)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(rows)/float64(b.N), "ns/row")
		})
	}
}
