package monitor

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// outsideMetrics count calls outside; what no client feeds is not exported.
type outsideMetrics struct {
	calls    *prometheus.CounterVec // by destination and outcome
	attempts *prometheus.CounterVec
	sent     *prometheus.CounterVec
	received *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	cost     *prometheus.CounterVec
	shrunk   *prometheus.HistogramVec

	mu           sync.Mutex
	destinations map[string]*Outside
}

func (m *outsideMetrics) init(of *Metrics) {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
		of.all = append(of.all, c)
		return c
	}
	histogram := func(name, help string, buckets []float64) *prometheus.HistogramVec {
		h := prometheus.NewHistogramVec(histogramOptions(name, help, buckets), []string{"destination"})
		of.all = append(of.all, h)
		return h
	}
	m.calls = counter("outside_calls_total", "Calls outside by destination and outcome: ok, failed after all attempts, or refused by the open circuit breaker.", "destination", "outcome")
	m.attempts = counter("outside_attempts_total", "Attempts of calls outside.", "destination")
	m.sent = counter("outside_sent_bytes_total", "Bytes of what was posted to a destination, in all attempts.", "destination")
	m.received = counter("outside_received_bytes_total", "Bytes of what a destination answered, as far as it was read.", "destination")
	m.seconds = histogram("outside_call_duration_seconds", "Time of a call outside, with all its attempts and the waiting between them.",
		[]float64{0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60})
	m.cost = counter("outside_cost_total", "What calls outside cost, in the currency of the label.", "destination", "currency")
	m.shrunk = histogram("outside_compression_ratio", "Size of a text after compression by its size before.",
		[]float64{0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1})
	m.destinations = map[string]*Outside{}
}

// add begins a destination's series, at zero. The last one of a name has its
// breaker shown.
func (m *outsideMetrics) add(name string, o *Outside) {
	for _, outcome := range []string{"ok", "failed", "refused"} {
		m.calls.WithLabelValues(name, outcome)
	}
	m.attempts.WithLabelValues(name)
	o.sent, o.received = m.sent.WithLabelValues(name), m.received.WithLabelValues(name)
	m.seconds.WithLabelValues(name)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.destinations[name] = o
}

func (m *outsideMetrics) attempt(name string) { m.attempts.WithLabelValues(name).Inc() }

func (m *outsideMetrics) called(name, outcome string, took time.Duration) {
	m.calls.WithLabelValues(name, outcome).Inc()
	m.seconds.WithLabelValues(name).Observe(took.Seconds())
}

func (m *outsideMetrics) describe(out chan<- *prometheus.Desc) { out <- breakers }

func (m *outsideMetrics) collect(out chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, o := range m.destinations {
		out <- prometheus.MustNewConstMetric(breakers, prometheus.GaugeValue, truth(o.Open()), name)
	}
}

// Spending counts what calls to a destination cost and save. Slack, the web hook
// and the Pushgateway cost nothing and shorten nothing: it is for the program
// around an engine that asks a model which is paid for.
type Spending struct {
	cost  prometheus.Counter
	ratio prometheus.Observer
}

// Spending begins the series of a destination that is paid, in a currency such
// as usd. Until somebody calls it they are not exported.
func (m *Metrics) Spending(destination, currency string) *Spending {
	return &Spending{cost: m.outside.cost.WithLabelValues(destination, currency), ratio: m.outside.shrunk.WithLabelValues(destination)}
}

// Cost adds the price of a call, at least 0.
func (s *Spending) Cost(amount float64) {
	if amount >= 0 { // a counter must not fall, nor become NaN
		s.cost.Add(amount)
	}
}

// Compressed observes a text that became shorter, in the same unit of size.
func (s *Spending) Compressed(before, after int) {
	if before > 0 {
		s.ratio.Observe(float64(after) / float64(before))
	}
}
