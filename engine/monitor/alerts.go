package monitor

import (
	"context"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/hashicorp/go-hclog"
)

const (
	keptAlerts  = 1000
	recentSpan  = time.Hour
	queueLength = 256
	maxMessage  = 1000 // bytes
)

// AlertOptions of OpenAlerts.
type AlertOptions struct {
	Now  func() time.Time // nil: time.Now
	Hold time.Duration    // one alert of a kind and source in this time
	// File keeps the alerts; "": they end with the process. Only one
	// process may have it open.
	File    string
	Logger  hclog.Logger // nil: silent
	Metrics *Metrics
	// Sinks are told of alerts of at least Least.
	Sinks []Sink
	Least Level
	// Outside are the deadlines and rates of sinks.
	Outside OutsideOptions
	// OnCritical is told of every critical alert, swallowed or not, on a
	// goroutine of its own.
	OnCritical func(Alert)
	// Grace is how long Close waits for deliveries.
	Grace time.Duration
}

// Alerts takes alerts, keeps the last 1,000 and tells whoever should know.
// Raising one never waits: what is slow happens on other goroutines. Safe for
// concurrent use.
type Alerts struct {
	o AlertOptions

	mu     sync.Mutex
	kept   []Alert // newest last
	held   map[key]*held
	closed bool
	queue  chan queued

	critical chan Alert
	file     *alertFile // of keep's goroutine; nil: none
	senders  []*sender
	work     sync.WaitGroup // keep, and the critical hook
	closing  sync.Once
}

type key struct{ kind, source string }

// held is the state of alerts of one kind and source.
type held struct {
	until     time.Time
	swallowed int64
	last      Alert // swallowed or not
	announced bool  // and not resolved since
}

type queued struct {
	alert Alert
	local bool // not for sinks
}

// OpenAlerts reads the alerts that were kept and starts what delivers new
// ones. A damaged file is set aside, one that cannot be read is left alone and
// nothing is kept: both are an alert themselves.
func OpenAlerts(o AlertOptions) *Alerts {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics(MetricsOptions{Now: o.Now})
	}
	a := &Alerts{o: o, held: map[key]*held{}, queue: make(chan queued, queueLength), critical: make(chan Alert, 16)}
	var damage error
	if o.File != "" {
		a.file, a.kept, damage = openAlertFile(o.File, o.Now())
		a.restoreHolds()
	}
	for _, sink := range o.Sinks {
		a.senders = append(a.senders, newSender(sink, &a.o))
	}
	a.work.Go(a.keep)
	if o.OnCritical != nil {
		a.work.Go(func() {
			for alert := range a.critical {
				o.OnCritical(alert)
			}
		})
	}
	if damage != nil {
		a.Raise(Alert{Level: Error, Kind: StateDamaged, Source: "monitor", Message: damage.Error()})
	}
	return a
}

// restoreHolds has a restart not repeat what was said just before it.
func (a *Alerts) restoreHolds() {
	for _, alert := range a.kept {
		h := a.holdOf(&alert)
		h.last, h.announced = alert, !alert.Resolved
		if !alert.Resolved {
			h.until = alert.At.Add(a.o.Hold)
		}
	}
}

func (a *Alerts) holdOf(alert *Alert) *held {
	k := key{alert.Kind, alert.Source}
	h := a.held[k]
	if h == nil {
		h = &held{}
		a.held[k] = h
	}
	return h
}

// Raise takes an alert; its time is now. Within the hold time of one before it
// of the same kind and source it is only counted.
func (a *Alerts) Raise(alert Alert) { a.raise(alert, 0) }

// raise is Raise for an alert that stands for others as well.
func (a *Alerts) raise(alert Alert, others int64) {
	alert.Message = bounded(alert.Message)
	a.mu.Lock()
	defer a.mu.Unlock()
	alert.At = a.o.Now().UTC()
	h := a.holdOf(&alert)
	h.last = alert
	if alert.Level == Critical && a.o.OnCritical != nil && !a.closed {
		select {
		case a.critical <- alert:
		default: // so many wait that one more says nothing new
		}
	}
	if a.holds(h, alert.At) {
		h.swallowed += 1 + others
		return
	}
	a.announce(h, h.swallowed+others, false)
}

// swallow counts alerts, and says that they need not be raised, when a hold
// time is running. It allocates nothing.
func (a *Alerts) swallow(kind, source string, count int64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	h := a.held[key{kind, source}]
	if h == nil || !a.holds(h, a.o.Now()) {
		return false
	}
	h.swallowed += count
	return true
}

// holds says whether a hold time is running. A clock that was set back must
// not silence anything for longer.
func (a *Alerts) holds(h *held, now time.Time) bool {
	left := h.until.Sub(now)
	return left > 0 && left <= a.o.Hold
}

// announce emits the newest alert of a kind and begins its hold time.
func (a *Alerts) announce(h *held, swallowed int64, local bool) {
	alert := h.last
	alert.Swallowed, alert.At = swallowed, a.o.Now().UTC()
	h.swallowed, h.announced, h.until = 0, true, alert.At.Add(a.o.Hold)
	a.emit(alert, local)
}

// Resolve notes that what an alert was about holds no more; where none was
// announced it does nothing.
func (a *Alerts) Resolve(kind, source, message string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	h := a.held[key{kind, source}]
	if h == nil || !h.announced {
		return
	}
	alert := h.last
	alert.At, alert.Message, alert.Resolved, alert.Swallowed = a.o.Now().UTC(), bounded(message), true, h.swallowed
	h.swallowed, h.announced = 0, false
	a.emit(alert, false)
}

// Condition raises an alert while something holds, and resolves it when it
// holds no more.
func (a *Alerts) Condition(holds bool, alert Alert) {
	if holds {
		a.Raise(alert)
		return
	}
	a.Resolve(alert.Kind, alert.Source, alert.Message)
}

// Tick says what hold times that have ended swallowed. It is called now and
// then.
func (a *Alerts) Tick() {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.o.Now()
	for _, h := range a.held {
		if h.swallowed > 0 && !now.Before(h.until) {
			a.announce(h, h.swallowed-1, false)
		}
	}
}

// emit keeps an alert and hands it on. The caller holds mu.
func (a *Alerts) emit(alert Alert, local bool) {
	if a.closed {
		return
	}
	a.kept = append(a.kept, alert)
	if len(a.kept) > keptAlerts {
		a.kept = append(a.kept[:0:0], a.kept[len(a.kept)-keptAlerts:]...)
	}
	a.o.Metrics.alerts.WithLabelValues(alert.Level.String()).Inc()
	select {
	case a.queue <- queued{alert, local}:
	default:
		a.o.Metrics.alertsDropped.Inc()
	}
}

// keep logs alerts, writes them down and hands them to the sinks.
func (a *Alerts) keep() {
	for q := range a.queue {
		a.log(q.alert)
		if a.file != nil {
			if err := a.file.append(q.alert); err != nil {
				a.o.Metrics.alertsUnsaved.Inc()
				a.o.Logger.Error("an alert is not on disk", "error", err)
			}
		}
		if q.local || q.alert.Level < a.o.Least {
			continue
		}
		for _, s := range a.senders {
			s.offer(q.alert)
		}
	}
}

func (a *Alerts) log(alert Alert) {
	log := a.o.Logger.Info
	switch {
	case alert.Resolved:
	case alert.Level == Warning:
		log = a.o.Logger.Warn
	case alert.Level >= Error:
		log = a.o.Logger.Error
	}
	log(alert.String(), "level", alert.Level.String(), "kind", alert.Kind, "source", alert.Source)
}

// Recent counts the alerts of the last hour.
func (a *Alerts) Recent() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	from, n := a.o.Now().Add(-recentSpan), 0
	for i := len(a.kept) - 1; i >= 0 && a.kept[i].At.After(from); i-- {
		n++
	}
	return n
}

// List copies the kept alerts, oldest first.
func (a *Alerts) List() []Alert {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]Alert{}, a.kept...)
}

// Close says what hold times swallowed (to the log and the file), gives
// deliveries the grace time and ends. What is raised afterwards is lost.
func (a *Alerts) Close() error {
	var err error
	a.closing.Do(func() {
		a.mu.Lock()
		for _, h := range a.held {
			if h.swallowed > 0 {
				a.announce(h, h.swallowed-1, true)
			}
		}
		a.closed = true
		close(a.queue)
		close(a.critical)
		a.mu.Unlock()
		a.work.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), a.o.Grace)
		defer cancel()
		for _, s := range a.senders {
			s.finish()
		}
		for _, s := range a.senders {
			s.wait(ctx)
		}
		if a.file != nil {
			err = a.file.close()
		}
	})
	return err
}

// bounded cuts a message that is too long.
func bounded(text string) string {
	if len(text) <= maxMessage {
		return text
	}
	cut := maxMessage
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}
