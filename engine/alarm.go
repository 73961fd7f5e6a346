package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// maxCause is the length of the longest cause of an alarm, in bytes: it is
// carried in every checkpoint until autonomy has resumed.
const maxCause = 1000

// Alarm is for critical alerts: it puts safe mode on, durably before it
// answers, and nothing but an operator leaves it, after the quiet period
// (safety.quiet_period). cause says what happened. Another alarm begins the
// quiet period anew.
//
// A directory that cannot be written obeys all the same, as long as it is open;
// the error then says that the alarm is not on the disk.
func (d *Directory) Alarm(ctx context.Context, cause string) (Levers, error) {
	cause = strings.ToValidUTF8(cause[:min(len(cause), maxCause)], "")
	step := alarmStep(cause, "alert", cause)
	after, err := d.stepLevers(ctx, step)
	if err != nil && !errors.Is(err, ErrClosed) {
		if lockErr := d.changing.lock(ctx); lockErr != nil {
			return Levers{}, fmt.Errorf("alarm: %w", errors.Join(err, lockErr))
		}
		defer d.changing.unlock()
		after, _ = step(d.Levers(), d.now()) // an alarm is never refused
		d.levers.Store(&after)
		d.observer.leversChanged(after)
	}
	if err != nil {
		return after, fmt.Errorf("alarm: safe mode is not on the disk: %w", err)
	}
	d.logger.Error("an alarm put safe mode on", "cause", cause, "stage", after.Stage, "quiet_period", d.config.Safety.QuietPeriod)
	return after, nil
}
