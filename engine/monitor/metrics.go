package monitor

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Results of an outcome.
var outcomeResults = []string{"stored", "rejected", "quarantined", "error"}

// otherRule is the label of a rule that was not announced.
const otherRule = "other"

// MetricsOptions of NewMetrics.
type MetricsOptions struct {
	// Now is the clock; nil: time.Now.
	Now func() time.Time
	// Rules are the names of the detector's rules.
	Rules []string
	// State is asked at every scrape; nil: what it would give is not exported.
	State func() State
	// RecentAlerts counts those of the last hour, Confusion the judged
	// outcomes of a window; nil: not exported.
	RecentAlerts func() int
	Confusion    func(Window) Counts
}

// Metrics are all that is counted about an engine. They are one collector, to
// be registered where somebody scrapes, and count whether or not they are.
// Safe for concurrent use.
type Metrics struct {
	now    func() time.Time
	source MetricsOptions

	outcomes, detections, alerts        *prometheus.CounterVec
	alertsDropped, alertsUnsaved        prometheus.Counter
	checkpointFailures, journalFailures prometheus.Counter
	all                                 []prometheus.Collector

	mu           sync.Mutex // held while a batch is counted
	tally        Tally
	batchSeconds histogram
	batchRows    histogram
	ratio        ratio
	recorded     int64 // outcomes that the detector looked at
	detected     int64 // of them, those that a rule fired for
	consistency  float64
	known        bool // consistency is

	outside outsideMetrics
}

var _ prometheus.Collector = (*Metrics)(nil)

// NewMetrics makes the metrics, all labels at zero.
func NewMetrics(o MetricsOptions) *Metrics {
	if o.Now == nil {
		o.Now = time.Now
	}
	m := &Metrics{now: o.Now, source: o}
	m.tally.risks = newHistogram(riskScore, newScale(-10, 0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1))
	m.batchSeconds = newHistogram(batchSeconds, newScale(-21, 6, 5e-6, 2e-5, 1e-4, 5e-4, 2e-3, 1e-2, 5e-2, 0.25, 1, 5))
	m.batchRows = newHistogram(batchRows, newScale(-1, 16, prometheus.ExponentialBuckets(1, 4, 9)...))
	m.outcomes = m.counters("outcomes_total", "Outcomes given to record, by result.", "result", outcomeResults...)
	m.detections = m.counters("detections_total", "Outcomes for which a rule of the detector fired, by rule.", "rule", append(slices.Clone(o.Rules), otherRule)...)
	m.alerts = m.counters("alerts_total", "Alerts raised, by level; what a hold time swallowed is not among them.", "level", levelNames[:]...)
	m.alertsDropped = m.counter("alerts_dropped_total", "Alerts that a sink lost because its queue was full or delivery failed.")
	m.alertsUnsaved = m.counter("alerts_unsaved_total", "Alerts that could not be written to the data directory.")
	m.checkpointFailures = m.counter("checkpoint_failures_total", "Checkpoints that could not be written; the journal holds every outcome.")
	m.journalFailures = m.counter("journal_failures_total", "Changes of the memory that the journal could not take; they were not acknowledged.")
	m.outside.init(m)
	return m
}

// counters makes a vector with its label values at zero.
func (m *Metrics) counters(name, help, label string, values ...string) *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, []string{label})
	for _, value := range values {
		v.WithLabelValues(value)
	}
	m.all = append(m.all, v)
	return v
}

func (m *Metrics) counter(name, help string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help})
	m.all = append(m.all, c)
	return c
}

// histogramOptions are of one that is classic and native at once.
func histogramOptions(name, help string, buckets []float64) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{
		Namespace: namespace, Name: name, Help: help, Buckets: buckets,
		NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 160, NativeHistogramMinResetDuration: time.Hour,
	}
}

// Register makes the metrics known to whoever is scraped.
func (m *Metrics) Register(r prometheus.Registerer) error {
	if err := r.Register(m); err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	return nil
}

// begin gives the tally to the one batch that is counted now.
func (m *Metrics) begin() *Tally {
	m.mu.Lock()
	m.tally.begin()
	return &m.tally
}

// end takes the tally back, when a batch was answered that began at start.
func (m *Metrics) end(start time.Time) {
	t, now := &m.tally, m.now()
	m.batchRows.observe(float64(t.rows))
	m.batchSeconds.observe(now.Sub(start).Seconds())
	m.ratio.add(now, t.rows, t.failed())
	m.mu.Unlock()
}

// ErrorRatio is errors by rows of the last hour.
func (m *Metrics) ErrorRatio() float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ratio.of(m.now())
}

// Recorded counts outcomes by result: stored, rejected, quarantined or error.
func (m *Metrics) Recorded(result string, n int) {
	if !slices.Contains(outcomeResults, result) {
		result = "error"
	}
	m.outcomes.WithLabelValues(result).Add(float64(n))
}

// Inspected counts an outcome that the detector looked at, and the rules that
// fired for it, if any.
func (m *Metrics) Inspected(fired ...string) {
	m.mu.Lock()
	m.recorded++
	if len(fired) > 0 {
		m.detected++
	}
	m.mu.Unlock()
	for _, rule := range fired {
		if !slices.Contains(m.source.Rules, rule) {
			rule = otherRule
		}
		m.detections.WithLabelValues(rule).Inc()
	}
}

// Consistency keeps the newest consistency score of the patterns.
func (m *Metrics) Consistency(score float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.consistency, m.known = score, true
}

// CheckpointFailed counts checkpoints that could not be written.
func (m *Metrics) CheckpointFailed() { m.checkpointFailures.Inc() }

// JournalFailed counts changes that the journal could not take.
func (m *Metrics) JournalFailed() { m.journalFailures.Inc() }
