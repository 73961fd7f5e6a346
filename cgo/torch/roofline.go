package torch

// #include "bridge.h"
import "C"

import (
	"context"
	"math"
	"time"
)

// Roofline is what some threads of this machine can do together at best.
type Roofline struct {
	FlopsPerSecond float64 // float32, by multiply-adds of two operations each
	BytesPerSecond float64 // read from memory, past the caches
}

// Roofline measures the machine with 1 to 1,024 threads for about as long (a
// minute at most), while the library does nothing else.
func (l *Library) Roofline(ctx context.Context, threads int, within time.Duration) (Roofline, error) {
	const op = "roofline_measure"
	if err := l.enter(ctx, op); err != nil {
		return Roofline{}, err
	}
	defer l.leave()
	var out C.fdqc_roofline
	err := l.takeError(op, C.roofline_measure(l.table, C.int32_t(min(threads, math.MaxInt32)), C.double(within.Seconds()), &out))
	return Roofline{float64(out.flops_per_second), float64(out.bytes_per_second)}, err
}
