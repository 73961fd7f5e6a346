package pickle

import (
	"encoding/binary"
	"fmt"
	"time"
)

// DateTime is a datetime.datetime to the microsecond.
type DateTime struct {
	// Time is what the clock on the wall shows, in its zone; UTC when naive.
	time.Time
	// Naive tells that it has no zone, Fold that it is the second of two equal times when a clock goes back.
	Naive, Fold bool
}

// String is Python's isoformat().
func (d DateTime) String() string {
	layout := "2006-01-02T15:04:05"
	if d.Nanosecond() != 0 {
		layout += ".000000"
	}
	if !d.Naive {
		layout += "-07:00"
		if _, offset := d.Zone(); offset%60 != 0 {
			layout += ":05"
		}
	}
	return d.Format(layout)
}

// TimeDelta is a datetime.timedelta, normalised as Python does: only Days may be negative.
type TimeDelta struct{ Days, Seconds, Microseconds int64 }

// String is Python's str().
func (d TimeDelta) String() string {
	text := fmt.Sprintf("%d:%02d:%02d", d.Seconds/3600, d.Seconds/60%60, d.Seconds%60)
	if d.Microseconds != 0 {
		text += fmt.Sprintf(".%06d", d.Microseconds)
	}
	switch d.Days {
	case 0:
		return text
	case 1, -1:
		return fmt.Sprintf("%d day, %s", d.Days, text)
	}
	return fmt.Sprintf("%d days, %s", d.Days, text)
}

// TimeZone is a datetime.timezone: an offset from UTC of less than a day, in whole seconds.
type TimeZone struct {
	Offset TimeDelta
	// Name is empty when none was given.
	Name string
}

func (z TimeZone) seconds() int { return int(z.Offset.Days*86400 + z.Offset.Seconds) }

// newDateTime takes datetime.datetime(bytes[, zone]). The ten bytes are year, month, day, hour, minute, second and
// microseconds, big-endian; the top bit of the month is the fold.
func newDateTime(args []Value) (Value, error) {
	if len(args) != 1 && len(args) != 2 {
		return nil, fmt.Errorf("datetime.datetime with %d arguments, expected 1 or 2", len(args))
	}
	b, ok := args[0].(Bytes)
	if !ok || len(b) != 10 {
		return nil, fmt.Errorf("datetime.datetime of %s, expected 10 bytes", Describe(args[0]))
	}
	d := DateTime{Naive: true, Fold: b[2]&0x80 != 0}
	zone := time.UTC
	if len(args) == 2 {
		z, ok := args[1].(TimeZone)
		if !ok {
			return nil, fmt.Errorf("datetime.datetime in zone %s, expected a datetime.timezone", Describe(args[1]))
		}
		d.Naive, zone = false, time.FixedZone(z.Name, z.seconds())
	}
	year, month, day := int(binary.BigEndian.Uint16(b)), time.Month(b[2]&0x7f), int(b[3])
	micro := int(b[7])<<16 | int(b[8])<<8 | int(b[9])
	d.Time = time.Date(year, month, day, int(b[4]), int(b[5]), int(b[6]), micro*1000, zone)
	if year < 1 || year > 9999 || d.Month() != month || d.Day() != day || d.Hour() != int(b[4]) || d.Minute() != int(b[5]) || d.Second() != int(b[6]) || micro > 999_999 {
		return nil, fmt.Errorf("datetime.datetime of bytes % x, which is no time", []byte(b))
	}
	return d, nil
}

// newTimeDelta takes datetime.timedelta(days, seconds, microseconds).
func newTimeDelta(args []Value) (Value, error) {
	var n [3]int64
	for i, arg := range args {
		v, ok := arg.(Int)
		if !ok || len(args) != 3 {
			return nil, fmt.Errorf("datetime.timedelta of %d arguments with %s, expected 3 ints", len(args), Describe(arg))
		}
		n[i] = int64(v)
	}
	d := TimeDelta{n[0], n[1], n[2]}
	if len(args) != 3 || d.Days < -999_999_999 || d.Days > 999_999_999 || d.Seconds < 0 || d.Seconds >= 86400 || d.Microseconds < 0 || d.Microseconds > 999_999 {
		return nil, fmt.Errorf("datetime.timedelta of %v, which is not normalised", n[:len(args)])
	}
	return d, nil
}

// newTimeZone takes datetime.timezone(offset[, name]).
func newTimeZone(args []Value) (Value, error) {
	if len(args) != 1 && len(args) != 2 {
		return nil, fmt.Errorf("datetime.timezone with %d arguments, expected 1 or 2", len(args))
	}
	offset, ok := args[0].(TimeDelta)
	z := TimeZone{Offset: offset}
	if !ok || offset.Days < -1 || offset.Days > 0 || z.seconds() <= -86400 || offset.Microseconds != 0 {
		return nil, fmt.Errorf("datetime.timezone of %s, expected a timedelta of less than a day in whole seconds", Describe(args[0]))
	}
	if len(args) == 2 {
		name, ok := args[1].(Str)
		if !ok {
			return nil, fmt.Errorf("datetime.timezone called %s, expected a string", Describe(args[1]))
		}
		z.Name = string(name)
	}
	return z, nil
}
