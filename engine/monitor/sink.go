package monitor

import (
	"context"
	"sync"

	"github.com/hashicorp/go-hclog"
)

// Sink is somebody outside who is told of alerts. Send makes one attempt.
type Sink interface {
	// Name is a constant of the program; it stands in metrics and errors.
	Name() string
	Send(ctx context.Context, alert Alert) error
}

// Deliver sends an alert to each sink now, and answers what came of each.
func Deliver(ctx context.Context, alert Alert, sinks []Sink, o OutsideOptions) []error {
	errs := make([]error, len(sinks))
	metrics := NewMetrics(MetricsOptions{})
	for i, sink := range sinks {
		errs[i] = metrics.Outside(sink.Name(), o).Do(ctx, func(ctx context.Context) error { return sink.Send(ctx, alert) })
	}
	return errs
}

// senderQueue is how many alerts wait for a sink before more are dropped.
const senderQueue = 64

// sender delivers alerts to a sink, one after another, on its own goroutine.
type sender struct {
	sink    Sink
	outside *Outside
	metrics *Metrics
	logger  hclog.Logger
	queue   chan Alert
	ended   sync.WaitGroup
	ctx     context.Context
	stop    context.CancelFunc
}

func newSender(sink Sink, o *AlertOptions) *sender {
	s := &sender{
		sink: sink, outside: o.Metrics.Outside(sink.Name(), o.Outside), metrics: o.Metrics, logger: o.Logger,
		queue: make(chan Alert, senderQueue),
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.ended.Go(s.run)
	return s
}

func (s *sender) run() {
	for alert := range s.queue {
		if err := s.outside.Do(s.ctx, func(ctx context.Context) error { return s.sink.Send(ctx, alert) }); err != nil {
			s.metrics.alertsDropped.Inc()
			s.logger.Error("an alert was not delivered", "kind", alert.Kind, "error", err)
		}
	}
}

// offer queues an alert, or drops it.
func (s *sender) offer(alert Alert) {
	select {
	case s.queue <- alert:
	default:
		s.metrics.alertsDropped.Inc()
		s.logger.Error("an alert was not delivered: too many wait", "kind", alert.Kind, "to", s.sink.Name())
	}
}

// finish says that no alert comes any more.
func (s *sender) finish() { close(s.queue) }

// wait returns when all is delivered, or soon after the context ends.
func (s *sender) wait(ctx context.Context) {
	done := context.AfterFunc(ctx, s.stop)
	defer done()
	s.ended.Wait()
	s.stop()
}
