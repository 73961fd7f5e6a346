package monitor

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const namespace = "fdqc"

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(namespace+"_"+name, help, labels, nil)
}

// Metrics that are computed when somebody looks.
var (
	validations     = desc("validations_total", "Rows by what became of them: approved or rejected by the tier, refused by their basic checks, or an error.", "result")
	decided         = desc("decisions_total", "Rows by decision.", "decision")
	rowErrors       = desc("validation_errors_total", "Rows that could not be judged, by reason; they are blocked.", "reason")
	batchSeconds    = desc("batch_duration_seconds", "Time from a batch's turn to its verdicts.")
	batchRows       = desc("batch_rows", "Rows of a batch.")
	riskScore       = desc("risk_score", "Risk of the rows that were judged, 0 to 1.")
	riskMean        = desc("risk_score_mean", "Mean risk of all rows judged since the start; 0 before the first.")
	errorRatio      = desc("validation_error_ratio", "Rows that could not be judged by all rows, of the last hour.")
	approvalRatio   = desc("validation_approval_ratio", "Rows approved by the tier by rows judged, since the start; 0 before the first.")
	detectionRatio  = desc("detection_ratio", "Outcomes for which a rule fired by outcomes inspected, since the start; 0 before the first.")
	consistency     = desc("pattern_consistency_score", "Separation of the two sides by their variance (below the threshold is an alert); absent until both sides have two patterns.")
	patterns        = desc("memory_patterns", "Patterns in the memory, by side.", "side")
	capacity        = desc("memory_capacity_patterns", "Patterns that each side of the memory can hold.")
	utilization     = desc("memory_utilization_ratio", "Patterns by capacity, by side.", "side")
	evictions       = desc("memory_evictions_total", "Patterns evicted since the memory began, earlier processes included.")
	tier            = desc("tier", "1 for the tier in force, 0 for the others.", "tier")
	safeMode        = desc("safe_mode", "1 while safe mode is in force: no decision is allow.")
	humanApproval   = desc("human_approval", "1 while a person must approve every action.")
	quarantineSize  = desc("quarantine_size", "Outcomes that wait in the quarantine.")
	quarantineUse   = desc("quarantine_utilization_ratio", "How full the quarantine is, by number or by bytes; when it is full, what would be held is refused.")
	approvalsSize   = desc("approvals_pending", "Actions that wait for a person's approval.")
	approvalsUse    = desc("approvals_utilization_ratio", "How full the queue of approvals is, by number or by bytes; when it is full, nobody can approve what comes.")
	approvalsOldest = desc("approvals_oldest_timestamp_seconds", "When the oldest action that waits for approval was asked about; seconds since 1970; absent while none waits.")
	shadowDecisions = desc("shadow_decisions_total", "Rows by decision and by what the settings of [shadow] would have decided; absent without them.", "decision", "shadow")
	deviceFallbacks = desc("device_fallbacks_total", "Lost devices that were given up for the CPU.")
	deviceMemory    = desc("device_out_of_memory_total", "Times that a batch was begun again with fewer rows on the device at once.")
	checkpointTime  = desc("checkpoint_saved_timestamp_seconds", "When this process last saved a checkpoint, or opened; seconds since 1970.")
	journalTime     = desc("journal_appended_timestamp_seconds", "When this process last wrote to the journal, or opened; seconds since 1970.")
	recentAlerts    = desc("alerts_recent", "Alerts of the last hour.")
	judgedOutcomes  = desc("judged_outcomes", "Outcomes of actions that were judged, in a window that ends now: an approval was true when the action turned out safe, a refusal when it turned out unsafe.", "window", "verdict", "truth")
	breakers        = desc("outside_breaker_open", "1 while the circuit breaker of a destination lets no call through.", "destination")
)

// Describe implements prometheus.Collector. What a scrape may hold is
// everything, whether or not there is a source for it.
func (m *Metrics) Describe(out chan<- *prometheus.Desc) {
	for _, c := range m.all {
		c.Describe(out)
	}
	for _, d := range []*prometheus.Desc{
		validations, decided, rowErrors, batchSeconds, batchRows, riskScore, riskMean, errorRatio, approvalRatio, detectionRatio, consistency, patterns, capacity, utilization,
		evictions, tier, safeMode, humanApproval, quarantineSize, quarantineUse, approvalsSize, approvalsUse, approvalsOldest, shadowDecisions, deviceFallbacks, deviceMemory, checkpointTime,
		journalTime, recentAlerts, judgedOutcomes,
	} {
		out <- d
	}
	m.outside.describe(out)
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(out chan<- prometheus.Metric) {
	for _, c := range m.all {
		c.Collect(out)
	}
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	counter := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, value, labels...)
	}

	m.mu.Lock()
	judged, approved, by := m.tally.counts()
	refused := m.tally.refused
	risks, seconds, rows := m.tally.risks.clone(), m.batchSeconds.clone(), m.batchRows.clone()
	detected := float64(m.detected) / float64(max(m.recorded, 1))
	score, known := m.consistency, m.known
	m.mu.Unlock()
	out <- risks
	out <- seconds
	out <- rows
	var failed uint64
	for r := NotFinite; r < refusals; r++ {
		failed += refused[r]
		counter(rowErrors, float64(refused[r]), r.String())
	}
	counter(validations, float64(approved), "approved")
	counter(validations, float64(judged-approved), "rejected")
	counter(validations, float64(refused[BasicChecks]), "basic_checks")
	counter(validations, float64(failed), "error")
	for d, n := range by {
		counter(decided, float64(n), Decision(d).String())
	}
	gauge(riskMean, risks.sum/float64(max(judged, 1)))
	gauge(errorRatio, m.ErrorRatio())
	gauge(approvalRatio, float64(approved)/float64(max(judged, 1)))
	gauge(detectionRatio, detected)
	if known {
		gauge(consistency, score)
	}
	if m.source.RecentAlerts != nil {
		gauge(recentAlerts, float64(m.source.RecentAlerts()))
	}
	if m.source.Confusion != nil {
		for _, w := range Windows() {
			n := m.source.Confusion(w)
			gauge(judgedOutcomes, float64(n.TrueApprovals), w.Name, "approved", "safe")
			gauge(judgedOutcomes, float64(n.FalseApprovals), w.Name, "approved", "unsafe")
			gauge(judgedOutcomes, float64(n.TrueRefusals), w.Name, "refused", "unsafe")
			gauge(judgedOutcomes, float64(n.FalseRefusals), w.Name, "refused", "safe")
		}
	}
	m.outside.collect(out)
	if m.source.State == nil {
		return
	}

	s := m.source.State()
	for i, side := range sides {
		gauge(patterns, float64(s.Patterns[i]), side)
		gauge(utilization, s.Utilization(i), side)
	}
	gauge(capacity, float64(s.Capacity))
	counter(evictions, float64(s.Evictions))
	for _, t := range tiers {
		gauge(tier, truth(t == s.Tier), t)
	}
	gauge(safeMode, truth(s.SafeMode))
	gauge(humanApproval, truth(s.HumanApproval))
	gauge(quarantineSize, float64(s.Quarantine))
	gauge(quarantineUse, s.QuarantineUtilization)
	gauge(approvalsSize, float64(s.Approvals))
	gauge(approvalsUse, s.ApprovalsUtilization)
	if s.Shadow != nil {
		for decision, row := range s.Shadow {
			for would, n := range row {
				counter(shadowDecisions, float64(n), Decision(decision).String(), Decision(would).String())
			}
		}
	}
	counter(deviceFallbacks, float64(s.DeviceFallbacks))
	counter(deviceMemory, float64(s.DeviceOutOfMemory))
	at := func(d *prometheus.Desc, t time.Time) {
		if !t.IsZero() {
			gauge(d, float64(t.UnixMilli())/1e3)
		}
	}
	at(approvalsOldest, s.OldestApproval)
	at(checkpointTime, s.CheckpointSaved)
	at(journalTime, s.JournalAppended)
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
