package torch

import (
	"errors"
	"testing"
	"time"
)

func TestRoofline(t *testing.T) {
	l := library(t)
	roofline, err := l.Roofline(t.Context(), 2, 10*time.Millisecond)
	if err != nil || !(roofline.FlopsPerSecond > 0) || !(roofline.BytesPerSecond > 0) {
		t.Errorf("2 threads: got %+v, %v, want both above 0", roofline, err)
	}
	var e *Error
	if got, err := l.Roofline(t.Context(), 0, time.Millisecond); !errors.As(err, &e) || e.Code != InvalidArgument || got != (Roofline{}) {
		t.Errorf("0 threads: got %+v, %v, want an invalid argument", got, err)
	}
}
