package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fdqc-cockpit/fdqc/engine/detect"
	"github.com/fdqc-cockpit/fdqc/engine/monitor"
)

// monitorFolder, in the data directory, keeps alerts and judged outcomes. Its
// writer alone writes there.
const monitorFolder = "monitor"

// Variables of the environment that hold secrets.
const (
	SlackWebhookVariable  = "FDQC_SLACK_WEBHOOK"
	WebhookURLVariable    = "FDQC_WEBHOOK_URL"
	WebhookSecretVariable = "FDQC_WEBHOOK_SECRET"
)

// WithMetrics shows the metrics of the engine to a registerer, until Close.
func WithMetrics(r prometheus.Registerer) Option {
	return func(o *options) { o.registerer = r }
}

// WithOnCritical has a function told of every critical alert, on a goroutine
// of its own, after safe mode is on and before anybody outside is told. It must
// not close the engine or the directory, which wait for it.
func WithOnCritical(f func(monitor.Alert)) Option {
	return func(o *options) { o.onCritical = f }
}

// WithoutMonitoring counts nothing and raises no alert: for measuring what
// monitoring costs.
func WithoutMonitoring() Option { return func(o *options) { o.unmonitored = true } }

// AlertsFile is where the alerts of a configuration's data directory are kept.
func AlertsFile(c Config) string {
	d := Directory{config: c}
	return d.path(monitorFolder + "/" + monitor.AlertsFile)
}

// AlertSinks makes the sinks that a configuration names, with the secrets of
// the environment, or of the files that it names.
func AlertSinks(c Config) ([]monitor.Sink, error) {
	secret := func(variable, file, key string) (monitor.Secret, error) {
		s, err := monitor.ReadSecret(os.LookupEnv, variable, file)
		if err != nil {
			return "", &ConfigError{Key: key, Reason: err.Error()}
		}
		return s, nil
	}
	var sinks []monitor.Sink
	slack, err := secret(SlackWebhookVariable, c.Alerts.SlackWebhookFile, "alerts.slack_webhook_file")
	if err != nil {
		return nil, err
	}
	if slack != "" {
		s, err := monitor.NewSlack(slack, nil)
		if err != nil {
			return nil, &ConfigError{Key: "alerts.slack_webhook_file", Reason: err.Error()}
		}
		sinks = append(sinks, s)
	}
	address, err := secret(WebhookURLVariable, c.Alerts.WebhookURLFile, "alerts.webhook_url_file")
	if err != nil {
		return nil, err
	}
	key, err := secret(WebhookSecretVariable, c.Alerts.WebhookSecretFile, "alerts.webhook_secret_file")
	if err != nil {
		return nil, err
	}
	if address != "" {
		s, err := monitor.NewWebhook(address, key, nil, nil)
		if err != nil {
			return nil, &ConfigError{Key: "alerts.webhook_url_file", Reason: err.Error()}
		}
		sinks = append(sinks, s)
	}
	return sinks, nil
}

// watch is what a directory, and the engine that has it, is monitored by. A
// nil one does nothing.
type watch struct {
	*monitor.Monitor
	directory *Directory
	engine    atomic.Pointer[Engine] // nil: there is none
	// When this process saved a checkpoint and wrote to the journal, or
	// opened them; nanoseconds since 1970, 0: never.
	saved, appended atomic.Int64
	counted         atomic.Int64 // when judged outcomes were last written down

	stop  context.CancelFunc
	check sync.WaitGroup
}

// openWatch begins to monitor a directory.
func openWatch(d *Directory, o *options) (*watch, error) {
	if o.unmonitored {
		return nil, nil
	}
	var sinks []monitor.Sink
	var err error
	if o.delivers {
		if sinks, err = AlertSinks(d.config); err != nil {
			return nil, err
		}
	}
	c := &d.config
	least := monitor.Warning
	if err := least.UnmarshalText([]byte(c.Alerts.Level)); err != nil {
		return nil, &ConfigError{Key: "alerts.level", Reason: err.Error()}
	}
	w := &watch{directory: d}
	folder := ""
	if d.writes() {
		folder = d.path(monitorFolder)
		w.saved.Store(d.now().UnixNano())
		w.appended.Store(d.now().UnixNano())
	}
	w.Monitor = monitor.Open(monitor.Options{
		Now: d.now, Logger: o.logger.Named("monitor"), Folder: folder, State: w.state, Rules: detectorRules(),
		Thresholds: monitor.Thresholds{
			Risk: c.Monitor.RiskScore, ErrorRate: c.Monitor.ErrorRate,
			Utilization: c.Monitor.MemoryUtilization, Consistency: c.Monitor.PatternConsistency,
		},
		Hold: c.Alerts.Hold.Span(), Sinks: sinks, Least: least, Grace: c.Alerts.Grace.Span(), OnCritical: d.onCritical(o.onCritical),
	})
	if o.registerer != nil {
		if err := w.Register(o.registerer); err != nil {
			return nil, errors.Join(err, w.Close())
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	w.stop = stop
	w.check.Go(func() { w.checks(ctx, c.Monitor.CheckInterval.Span()) })
	return w, nil
}

// detectorRules name the rules whose findings are counted.
func detectorRules() []string {
	return []string{string(detect.Outlier), string(detect.Contradiction), string(detect.Burst), string(detect.NearCopy), string(detect.Drift)}
}

// fullness is what look looks at.
func (w *watch) fullness() monitor.State {
	stats := w.directory.Stats()
	return monitor.State{Patterns: stats.Patterns, Capacity: stats.Capacity, Evictions: stats.Evictions}
}

// state is what a scrape asks for.
func (w *watch) state() monitor.State {
	d := w.directory
	inForce := d.Levers().Apply(d.config)
	s := w.fullness()
	s.Tier, s.SafeMode, s.HumanApproval = inForce.Safety.Tier, inForce.Safety.SafeMode, inForce.Safety.RequireHumanApproval
	s.Quarantine, s.QuarantineUtilization = d.QuarantineSize(), d.quarantine.Load().utilization(d.config.Detector.QuarantineCapacity)
	s.Approvals, s.OldestApproval = d.PendingApprovals()
	s.ApprovalsUtilization = d.approvals.Load().utilization(d.config.Safety.MaxPendingApprovals)
	if e := w.engine.Load(); e != nil {
		s.DeviceFallbacks, s.DeviceOutOfMemory = e.device.fallbacks.Load(), e.device.outOfMemory.Load()
		if e.shadow != nil {
			counts := e.Shadow()
			s.Shadow = (*[3][3]int64)(&counts)
		}
	}
	if at := w.saved.Load(); at != 0 {
		s.CheckpointSaved, s.JournalAppended = time.Unix(0, at), time.Unix(0, w.appended.Load())
	}
	return s
}

// checks looks at what nobody else does, every while, until the context ends.
func (w *watch) checks(ctx context.Context, every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if w.directory.changing.lock(ctx) == nil {
				w.look()
				if w.directory.untold.Load() && w.directory.usable() == nil {
					w.directory.tellReaders()
				}
				w.directory.changing.unlock()
			}
			w.Tick()
		}
	}
}

// look checks how full and how consistent the memory is. The caller holds the
// directory's changing.
func (w *watch) look() {
	if w == nil || !w.directory.Changes() {
		return
	}
	w.Memory(w.fullness())
	if keeper, ok := w.directory.guard.(*gatekeeper); ok && !w.directory.closed {
		if score, known := keeper.consistency(); known {
			w.Consistency(score)
		}
	}
}

// consistency is the consistency score of the patterns, where the detector has
// one of both sides. The caller holds the directory's changing.
func (g *gatekeeper) consistency() (score float64, known bool) {
	if g.detector == nil || g.stale {
		return 0, false
	}
	stats := g.engine.directory.Stats()
	if min(stats.Patterns[0], stats.Patterns[1]) < 2 {
		return 0, false
	}
	return g.detector.Consistency().Score, true
}

// serves has an engine watched as well.
func (w *watch) serves(e *Engine) {
	if w != nil {
		w.engine.Store(e)
	}
}

// begin is when a batch began, for judged.
func (w *watch) begin() time.Time {
	if w == nil {
		return time.Time{}
	}
	return w.directory.now()
}

// judged takes the verdicts of a batch that began at start.
func (w *watch) judged(verdicts []Verdict, start time.Time) {
	if w == nil {
		return
	}
	t := w.Begin()
	for i := range verdicts {
		v := &verdicts[i]
		if v.Status == Judged {
			t.Judged(v.RiskScore, v.Approved, monitor.Decision(v.Decision))
			continue
		}
		t.Refused(refusalOf(v.Status), 1)
	}
	w.End(t, start)
}

// notJudged takes a batch that failed as a whole.
func (w *watch) notJudged(rows int, start time.Time, err error) {
	if w == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return
	}
	t := w.Begin()
	t.Refused(monitor.FailedCall, rows)
	w.End(t, start)
}

// CountRefused counts rows that could not even be handed to Validate, such as
// lines that are no JSON: they are errors among the rows that were judged.
func (e *Engine) CountRefused(rows int) {
	w := e.directory.watch
	if w == nil || rows == 0 {
		return
	}
	start := w.begin()
	t := w.Begin()
	t.Refused(monitor.Unreadable, rows)
	w.End(t, start)
}

func refusalOf(s Status) monitor.Refusal {
	switch s {
	case BasicChecksFailed:
		return monitor.BasicChecks
	case NotFinite:
		return monitor.NotFinite
	case Overflow:
		return monitor.Overflow
	default:
		return monitor.NoScore
	}
}

// recorded takes what became of outcomes.
func (w *watch) recorded(outcomes []Outcome, receipts []Receipt) {
	if w == nil || len(receipts) == 0 {
		return
	}
	counts := map[Result]int{}
	known := false
	for i := range receipts {
		r := &receipts[i]
		counts[r.Result]++
		if r.Result != Failed {
			var rules []string
			for _, f := range r.Findings {
				rules = append(rules, f.Rule)
			}
			w.Metrics.Inspected(rules...)
		}
		// What the detector does not believe says nothing about a verdict.
		if judged := outcomes[i].Judged; judged != nil && r.Result == Stored {
			w.Confusion.Count(judged.Approved, outcomes[i].IsSafe, judged.At)
			known = true
		}
	}
	for result, n := range counts {
		w.Metrics.Recorded(string(result), n)
	}
	if now := w.directory.now().UnixNano(); known && now-w.counted.Load() >= int64(time.Second) {
		w.counted.Store(now) // what comes within a second waits for the next check
		w.SaveConfusion()
	}
}

// changed takes what became of a change of the journal.
func (w *watch) changed(err error) {
	if w == nil {
		return
	}
	if err == nil {
		w.appended.Store(w.directory.now().UnixNano())
	}
	w.Failed(monitor.JournalFailed, "checkpoints", err)
}

// checkpointed takes what became of a checkpoint.
func (w *watch) checkpointed(err error) {
	if w == nil || errors.Is(err, ErrClosed) || errors.Is(err, ErrReadOnly) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return
	}
	if err == nil {
		w.saved.Store(w.directory.now().UnixNano())
	}
	w.Failed(monitor.CheckpointFailed, "checkpoints", err)
}

// deviceLost takes the loss of the device.
func (w *watch) deviceLost(err error) {
	if w != nil {
		w.Failed(monitor.DeviceLost, "engine", err)
	}
}

// close ends the checks, gives deliveries the grace time and closes the files.
func (w *watch) close() error {
	if w == nil {
		return nil
	}
	w.stop()
	w.check.Wait()
	if err := w.Close(); err != nil {
		return fmt.Errorf("monitoring: %w", err)
	}
	return nil
}

// Monitor is what watches the directory and the engine that has it; nil
// without monitoring. It belongs to the directory.
func (d *Directory) Monitor() *monitor.Monitor {
	if d.watch == nil {
		return nil
	}
	return d.watch.Monitor
}

// Raise raises an alert on behalf of a part that stands on the engine.
func (d *Directory) Raise(alert monitor.Alert) {
	if d.watch != nil {
		d.watch.Alerts.Raise(alert)
	}
}
