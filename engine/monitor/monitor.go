package monitor

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"
)

// Files in the folder of a Monitor.
const (
	AlertsFile    = "alerts.jsonl"
	ConfusionFile = "judged.json"
)

// Sources of alerts; a side of the memory has one of its own.
const (
	validationSource = "safety_validation" // as the specification names it (section 6)
	systemSource     = "system"            // likewise
	memorySource     = "memory"
)

// Thresholds are those of alerts (specification, section 6).
type Thresholds struct {
	Risk        float64 // of one row; above it is a warning
	ErrorRate   float64 // errors by rows; above it is critical
	Utilization float64 // of a side of the memory; above it is a warning
	Consistency float64 // of the patterns; below it is an error
}

// Options of Open.
type Options struct {
	Now        func() time.Time // nil: time.Now
	Logger     hclog.Logger     // nil: silent
	Thresholds Thresholds
	Rules      []string     // names of the detector's rules
	State      func() State // what a scrape asks for
	// Folder is where alerts and judged outcomes are kept; "": nowhere. Only
	// one process may write there.
	Folder string
	Hold   time.Duration
	Sinks  []Sink
	Least  Level
	// Outside are the deadlines and rates of sinks.
	Outside    OutsideOptions
	OnCritical func(Alert)
	Grace      time.Duration
}

// Monitor counts what an engine does and raises alerts about it. None of its
// methods waits for a disk or a network, Tick and Close apart. Safe for
// concurrent use.
type Monitor struct {
	Metrics   *Metrics
	Alerts    *Alerts
	Confusion *Confusion

	thresholds Thresholds
	logger     hclog.Logger
	closing    sync.Once
	closeErr   error

	mu         sync.Mutex
	registered []prometheus.Registerer
}

// Open makes a monitor, and reads what its folder keeps. What cannot be read
// there is an alert, never a reason to do without a monitor.
func Open(o Options) *Monitor {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	m := &Monitor{thresholds: o.Thresholds, logger: o.Logger}
	path := func(name string) string {
		if o.Folder == "" {
			return ""
		}
		return filepath.Join(o.Folder, name)
	}
	confusion, damage := OpenConfusion(path(ConfusionFile), o.Now)
	m.Confusion = confusion
	m.Metrics = NewMetrics(MetricsOptions{
		Now: o.Now, Rules: o.Rules, State: o.State, Confusion: confusion.Window,
		RecentAlerts: func() int { return m.Alerts.Recent() },
	})
	m.Metrics.tally.threshold = float32(o.Thresholds.Risk)
	m.Alerts = OpenAlerts(AlertOptions{
		Now: o.Now, Hold: o.Hold, File: path(AlertsFile), Logger: o.Logger, Metrics: m.Metrics,
		Sinks: o.Sinks, Least: o.Least, Outside: o.Outside, OnCritical: o.OnCritical, Grace: o.Grace,
	})
	if damage != nil {
		m.Alerts.Raise(Alert{Level: Error, Kind: StateDamaged, Source: "monitor", Message: damage.Error()})
	}
	return m
}

// Register shows the metrics to a registerer until Close.
func (m *Monitor) Register(r prometheus.Registerer) error {
	if err := m.Metrics.Register(r); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.registered = append(m.registered, r)
	return nil
}

// Begin gives the tally to count a batch in, and makes others wait until End.
func (m *Monitor) Begin() *Tally { return m.Metrics.begin() }

// End takes a batch that was answered, and began at start. It allocates
// nothing unless an alert is raised.
func (m *Monitor) End(t *Tally, start time.Time) {
	high, highest, errors, failed := t.high, t.highest, t.errors, t.failed()
	m.Metrics.end(start)
	if high > 0 && !m.Alerts.swallow(HighRisk, validationSource, int64(high)) {
		m.Alerts.raise(Alert{Level: Warning, Kind: HighRisk, Source: validationSource,
			Message: fmt.Sprintf("High risk score: %.3f", highest)}, int64(high)-1)
	}
	if failed == 0 {
		return
	}
	if !m.Alerts.swallow(ValidationError, validationSource, int64(failed)) {
		m.Alerts.raise(Alert{Level: Error, Kind: ValidationError, Source: validationSource,
			Message: "rows could not be judged and are blocked:" + list(errors)}, int64(failed)-1)
	}
	if rate := m.Metrics.ErrorRatio(); rate > m.thresholds.ErrorRate {
		m.Alerts.Raise(Alert{Level: Critical, Kind: ErrorRate, Source: systemSource,
			Message: fmt.Sprintf("High error rate: %.3f", rate)})
	}
}

// list says how many rows were refused, and why.
func list(counts [refusals]int) (text string) {
	for r := NotFinite; r < refusals; r++ {
		if counts[r] > 0 {
			text += fmt.Sprintf(" %d %s", counts[r], r)
		}
	}
	return text
}

// Memory looks at how full the memory is.
func (m *Monitor) Memory(s State) {
	for i, side := range sides {
		used := s.Utilization(i)
		m.Alerts.Condition(used > m.thresholds.Utilization, Alert{Level: Warning, Kind: MemoryUtilization, Source: memorySource + "." + side,
			Message: fmt.Sprintf("Memory utilization of the %s side: %.3f (%d of %d patterns)", side, used, s.Patterns[i], s.Capacity)})
	}
}

// Consistency takes a new consistency score of the patterns. NaN, as the
// score of sides with one pattern is, says nothing.
func (m *Monitor) Consistency(score float64) {
	if score != score {
		return
	}
	m.Metrics.Consistency(score)
	m.Alerts.Condition(score < m.thresholds.Consistency, Alert{Level: Error, Kind: PatternConsistency, Source: memorySource,
		Message: fmt.Sprintf("Pattern consistency score: %.3f", score)})
}

// Failed takes a failure of a part: it is counted where there is a counter,
// and an alert. A nil error resolves the one before.
func (m *Monitor) Failed(kind, source string, err error) {
	if err == nil {
		m.Alerts.Resolve(kind, source, "it works again")
		return
	}
	switch kind {
	case CheckpointFailed:
		m.Metrics.CheckpointFailed()
	case JournalFailed:
		m.Metrics.JournalFailed()
	}
	m.Alerts.Raise(Alert{Level: Error, Kind: kind, Source: source, Message: err.Error()})
}

// Tick looks after what time changes. It is called every minute or so, and
// writes judged outcomes down.
func (m *Monitor) Tick() {
	// Only errors raise the alert, so that an operator's word holds until the
	// next one.
	if rate := m.Metrics.ErrorRatio(); rate <= m.thresholds.ErrorRate {
		m.Alerts.Resolve(ErrorRate, systemSource, fmt.Sprintf("error rate: %.3f", rate))
	}
	m.Alerts.Tick()
	m.SaveConfusion()
}

// SaveConfusion writes judged outcomes down.
func (m *Monitor) SaveConfusion() {
	if err := m.Confusion.Save(); err != nil {
		m.logger.Error("counts of judged outcomes are not on disk yet", "error", err)
	}
}

// Close writes down what is not yet, gives deliveries the grace time and takes
// the metrics away from whoever is scraped.
func (m *Monitor) Close() error {
	m.closing.Do(func() {
		m.closeErr = errors.Join(m.Confusion.Save(), m.Alerts.Close())
		m.mu.Lock()
		defer m.mu.Unlock()
		for _, r := range m.registered {
			r.Unregister(m.Metrics)
		}
	})
	return m.closeErr
}
