package monitor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/ratelimiter"
	"github.com/failsafe-go/failsafe-go/retrypolicy"
	"github.com/failsafe-go/failsafe-go/timeout"
	"github.com/prometheus/client_golang/prometheus"
)

// ErrOpen says that a destination failed too often of late: nothing was sent.
var ErrOpen = errors.New("the circuit breaker is open")

// OutsideOptions are how patient calls to a destination are. Zero fields have
// the values of DefaultOutside.
type OutsideOptions struct {
	Attempts int           // in all
	Attempt  time.Duration // that one attempt may take
	Deadline time.Duration // for all attempts and the waiting between them
	Backoff  time.Duration // before the second attempt; it doubles
	// BreakAfter failed attempts in a row the breaker opens, for BreakFor.
	BreakAfter int
	BreakFor   time.Duration
	// Every is the least time between two attempts; burst: none.
	Every time.Duration
}

// DefaultOutside suits web hooks.
func DefaultOutside() OutsideOptions {
	return OutsideOptions{
		Attempts: 4, Attempt: 10 * time.Second, Deadline: time.Minute, Backoff: 500 * time.Millisecond,
		BreakAfter: 5, BreakFor: 30 * time.Second, Every: time.Second,
	}
}

func (o OutsideOptions) withDefaults() OutsideOptions {
	d := DefaultOutside()
	count := func(v *int, or int) {
		if *v == 0 {
			*v = or
		}
	}
	span := func(v *time.Duration, or time.Duration) {
		if *v == 0 {
			*v = or
		}
	}
	count(&o.Attempts, d.Attempts)
	count(&o.BreakAfter, d.BreakAfter)
	span(&o.Attempt, d.Attempt)
	span(&o.Deadline, d.Deadline)
	span(&o.Backoff, d.Backoff)
	span(&o.BreakFor, d.BreakFor)
	span(&o.Every, d.Every)
	return o
}

// maxBackoff bounds the waiting between attempts, that a Retry-After asks for
// included; the deadline ends it anyway.
const maxBackoff = 2 * time.Minute

// PermanentError is a failure that another attempt would meet again.
type PermanentError struct{ Err error }

// Error gives the failure.
func (e *PermanentError) Error() string { return e.Err.Error() }

// Unwrap gives the failure.
func (e *PermanentError) Unwrap() error { return e.Err }

// RetryAfterError is a failure whose sender said when to try again.
type RetryAfterError struct {
	Err   error
	After time.Duration
}

// Error gives the failure.
func (e *RetryAfterError) Error() string { return e.Err.Error() }

// Unwrap gives the failure.
func (e *RetryAfterError) Unwrap() error { return e.Err }

// Outside makes calls to one destination outside of this process: no faster
// than the rate, each attempt and all of them within their deadlines, again
// after a failure that may pass, and not at all while the circuit breaker is
// open. It fails closed: what was not confirmed is an error, and is counted.
// Safe for concurrent use.
type Outside struct {
	name     string
	options  OutsideOptions
	limiter  ratelimiter.RateLimiter[any]
	breaker  circuitbreaker.CircuitBreaker[any]
	executor failsafe.Executor[any]
	metrics  *Metrics

	sent, received prometheus.Counter // bytes
}

// Outside prepares calls to a destination, whose name is a metric's label and
// stands in errors: it must be a constant of the program, never an address.
func (m *Metrics) Outside(name string, o OutsideOptions) *Outside {
	out := &Outside{name: name, options: o.withDefaults(), metrics: m}
	out.limiter = ratelimiter.NewSmoothWithMaxRate[any](out.options.Every)
	out.breaker = circuitbreaker.NewBuilder[any]().
		HandleIf(func(_ any, err error) bool { return err != nil && !errors.Is(err, context.Canceled) }).
		WithFailureThreshold(uint(out.options.BreakAfter)).WithDelay(out.options.BreakFor).Build()
	retries := retrypolicy.NewBuilder[any]().
		HandleIf(func(_ any, err error) bool { return err != nil }).
		AbortIf(func(_ any, err error) bool { return !passing(err) }).
		WithMaxAttempts(out.options.Attempts).
		WithBackoff(out.options.Backoff, maxBackoff).WithJitterFactor(0.1).
		WithDelayFunc(retryAfter).ReturnLastFailure().Build()
	out.executor = failsafe.With[any](retries, out.breaker, timeout.New[any](out.options.Attempt))
	m.outside.add(name, out)
	return out
}

// passing says whether another attempt may succeed.
func passing(err error) bool {
	var permanent *PermanentError
	return !errors.As(err, &permanent) && !errors.Is(err, circuitbreaker.ErrOpen) && !errors.Is(err, context.Canceled)
}

// retryAfter is the delay that the failure named; -1: the backoff's.
func retryAfter(exec failsafe.ExecutionAttempt[any]) time.Duration {
	var after *RetryAfterError
	if errors.As(exec.LastError(), &after) {
		return min(max(after.After+after.After/8, 0), maxBackoff) // so that jitter is never too early
	}
	return -1
}

// Do makes a call, as often as it takes. An error that is not a
// *PermanentError is taken to pass. What hooks and pushes send with the context
// of the call is counted.
func (o *Outside) Do(ctx context.Context, call func(context.Context) error) error {
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, o.options.Deadline)
	defer cancel()
	err := o.executor.WithContext(ctx).RunWithExecution(func(exec failsafe.Execution[any]) error {
		if err := o.limiter.AcquirePermit(exec.Context()); err != nil {
			return err
		}
		o.metrics.outside.attempt(o.name)
		return call(context.WithValue(exec.Context(), outsideKey{}, o))
	})
	outcome := "ok"
	switch {
	case err == nil:
	case errors.Is(err, circuitbreaker.ErrOpen):
		outcome, err = "refused", ErrOpen
	default:
		outcome = "failed"
	}
	o.metrics.outside.called(o.name, outcome, time.Since(start))
	if err != nil {
		return fmt.Errorf("%s: %w", o.name, err)
	}
	return nil
}

// outsideKey is where the context of a call keeps its Outside.
type outsideKey struct{}

// Open says whether the breaker lets no call through.
func (o *Outside) Open() bool { return o.breaker.IsOpen() }
