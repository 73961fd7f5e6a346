// Package monitor counts what an engine does, and tells people when they
// should look: metrics for Prometheus, alerts, judged outcomes whose truth
// came later, and logs.
//
// # What is promised
//
// Judging waits for nothing here. A batch is counted in a [Tally] while its
// verdicts are written, and added once; an alert is taken by a queue and
// delivered by goroutines of their own. What a full queue or a sink that is
// down loses is counted. Every critical alert reaches
// AlertOptions.OnCritical, whatever the sinks do.
//
// One alert of a kind and source goes out in a hold time; what was swallowed
// is counted in the next one. The last 1,000 alerts are kept in a file that
// the one writer of a data directory appends to and syncs.
//
// Calls outside go through [Outside]: a rate, a deadline, attempts with
// backoff, and a circuit breaker. They fail closed, and are counted.
//
// # What is secret
//
// Addresses of hooks and keys are of type [Secret], which prints as [secret].
// Errors of calls outside name the destination by its constant name, never by
// its address, and repeat nothing of an answer's body.
//
// # How it fails
//
// A file that is damaged is [ErrDamaged]: it is set aside under a name that
// the error gives. One that cannot be read is left alone, and nothing is kept.
// Either is an alert, and counting begins anew: a monitor never keeps an engine
// from judging.
package monitor
