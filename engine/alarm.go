package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/fdqc-cockpit/fdqc/engine/monitor"
	"github.com/fdqc-cockpit/fdqc/engine/policy"
)

// maxCause is the length of the longest cause of an alarm, in bytes: it is
// carried in every checkpoint until autonomy has resumed.
const maxCause = 1000

// Alarm is for critical alerts: it puts safe mode on, durably before it
// answers, and nothing but an operator leaves it, after the quiet period
// (safety.quiet_period). cause says what happened. Another alarm begins the
// quiet period anew; of those that come within a tenth of it (1s to 1m) only
// this process knows, and their causes are lost.
//
// A directory that cannot be written obeys all the same, as long as it is open;
// the error then says that the alarm is not on the disk.
func (d *Directory) Alarm(ctx context.Context, cause string) (Levers, error) {
	cause = strings.ToValidUTF8(cause[:min(len(cause), maxCause)], "")
	if l, known, err := d.alarmedAgain(ctx); known || err != nil {
		return l, err
	}
	step := alarmStep(cause, "alert", cause)
	after, err := d.stepLevers(ctx, step)
	if err != nil && !errors.Is(err, ErrClosed) {
		_ = d.changing.lock(context.WithoutCancel(ctx)) // who asked may be gone, the cause is not
		defer d.changing.unlock()
		after, _ = step(d.Levers(), d.now()) // an alarm is never refused
		if entry, encoding := encodeJSON(opLevers, after); encoding == nil && d.writes() {
			d.owed = append(d.owed, entry) // with whatever is written next
			d.unsaved.Store(true)
		}
		d.keepAlarm(after)
		d.levers.Store(&after)
		d.observer.leversChanged(after)
	}
	if err != nil {
		return after, fmt.Errorf("alarm: safe mode is not on the disk: %w", err)
	}
	d.logger.Error("an alarm put safe mode on", "cause", cause, "stage", after.Stage, "quiet_period", d.config.Safety.QuietPeriod)
	return after, nil
}

// alarmedAgain takes note of an alarm that says nothing new.
func (d *Directory) alarmedAgain(ctx context.Context) (Levers, bool, error) {
	if err := d.changing.lock(ctx); err != nil {
		return Levers{}, false, fmt.Errorf("alarm: %w", err)
	}
	defer d.changing.unlock() // nobody leaves safe mode meanwhile
	l, now := d.Levers(), d.now()
	every := min(max(d.config.Safety.QuietPeriod.Span()/10, time.Second), time.Minute)
	if since := now.Sub(l.Since); l.Stage != policy.Alarmed || since < 0 || since >= every {
		return l, false, nil
	}
	d.alarmed = now.UTC()
	d.keepAlarm(l)
	if len(d.owed) > 0 { // the alarm before it, perhaps
		if err := d.append(); err != nil {
			return l, true, fmt.Errorf("alarm: safe mode is not on the disk: %w", err)
		}
	}
	return l, true, nil
}

// keepAlarm has a reader's own alarm hold whatever it reads later. The caller
// holds changing.
func (d *Directory) keepAlarm(l Levers) {
	if d.following != nil {
		d.following.alarm = l.State
	}
}

// lastAlarm moves the time of the last alarm to one that came after it. The
// caller holds changing.
func (d *Directory) lastAlarm(l Levers) Levers {
	if l.Stage == policy.Alarmed && d.alarmed.After(l.Since) {
		l.Since = d.alarmed
	}
	return l
}

// onCritical has every critical alert be an alarm, and then told to next, which
// may be nil.
func (d *Directory) onCritical(next func(monitor.Alert)) func(monitor.Alert) {
	return func(alert monitor.Alert) {
		if _, err := d.Alarm(context.Background(), fmt.Sprintf("critical alert: %s: %s", alert.Kind, alert.Message)); err != nil && !errors.Is(err, ErrClosed) {
			d.logger.Error("a critical alert put safe mode on in this process alone", "error", err)
		}
		if next != nil {
			next(alert)
		}
	}
}
