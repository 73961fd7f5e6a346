package torch

/*
#include "bridge.h"
*/
import "C"

import (
	"context"
	"unsafe"
)

// DetectorFit fits rows ([count, n], 2 to [MaxBatch] of them, finite) robustly,
// in float64. It writes the location ([n]), the inverse of the covariance's
// lower Cholesky factor ([n, n]), of each row its distance from the fit without
// it (left, [count]), and of the first len(same) rows the distance to the
// nearest of the other rows (same) and of others ([any, n]; other); +Inf where
// there is none. It answers the covariance's trace and the trace of its square.
func (l *Library) DetectorFit(ctx context.Context, device Device, n int, rows, others []float32, location, factor, left, same, other []float64) (trace, traceSquare float64, err error) {
	const op = "detector_fit"
	if err := checkPlace(op, device, n); err != nil {
		return 0, 0, err
	}
	count, against := len(rows)/n, len(others)/n
	switch {
	case len(rows) != count*n || len(others) != against*n:
		return 0, 0, invalidf(op, "%d and %d numbers, expected rows of %d", len(rows), len(others), n)
	case count < 2 || count > MaxBatch || against > MaxBatch:
		return 0, 0, invalidf(op, "%d rows and %d others, expected 2 to %d and at most as many", count, against, MaxBatch)
	case len(location) != n || len(factor) != n*n || len(left) != count:
		return 0, 0, invalidf(op, "room for %d, %d and %d numbers, expected %d, %d and %d", len(location), len(factor), len(left), n, n*n, count)
	case len(same) > count || len(same) != len(other):
		return 0, 0, invalidf(op, "room for nearest rows of %d and %d, expected as many and at most %d", len(same), len(other), count)
	}
	if err := l.enter(ctx, op); err != nil {
		return 0, 0, err
	}
	defer l.leave()
	var moments [2]float64
	err = l.takeError(op, C.detector_fit(l.table, C.int32_t(device), C.int32_t(n), C.int64_t(count), floats(rows), C.int64_t(against), floats(others),
		doubles(location), doubles(factor), doubles(left), C.int64_t(len(same)), doubles(same), doubles(other), doubles(moments[:])))
	return moments[0], moments[1], err
}

// DetectorDistances writes the distances of rows ([len(out), n], 1 to
// [MaxBatch] of them, finite) from a fit, in float64.
func (l *Library) DetectorDistances(ctx context.Context, device Device, n int, location, factor []float64, rows []float32, out []float64) error {
	const op = "detector_distances"
	if err := checkPlace(op, device, n); err != nil {
		return err
	}
	if len(location) != n || len(factor) != n*n || len(rows) != len(out)*n || len(out) < 1 || len(out) > MaxBatch {
		return invalidf(op, "a fit of %d and %d numbers and %d numbers of %d rows, expected rows of %d, 1 to %d of them", len(location), len(factor), len(rows), len(out), n, MaxBatch)
	}
	if err := l.enter(ctx, op); err != nil {
		return err
	}
	defer l.leave()
	return l.takeError(op, C.detector_distances(l.table, C.int32_t(device), C.int32_t(n), doubles(location), doubles(factor), C.int64_t(len(out)), floats(rows), doubles(out)))
}

// DetectorNearest writes the distance of each of rows ([len(out), n], 1 to
// [MaxBatch] of them, finite) to the nearest of others ([at most MaxBatch, n]),
// in float64; +Inf where there is none.
func (l *Library) DetectorNearest(ctx context.Context, device Device, n int, rows, others []float32, out []float64) error {
	const op = "detector_nearest"
	if err := checkPlace(op, device, n); err != nil {
		return err
	}
	against := len(others) / n
	if len(rows) != len(out)*n || len(others) != against*n || len(out) < 1 || max(len(out), against) > MaxBatch {
		return invalidf(op, "%d numbers of %d rows and %d of others, expected rows of %d, at least 1 and at most %d", len(rows), len(out), len(others), n, MaxBatch)
	}
	if err := l.enter(ctx, op); err != nil {
		return err
	}
	defer l.leave()
	return l.takeError(op, C.detector_nearest(l.table, C.int32_t(device), C.int32_t(n), C.int64_t(len(out)), floats(rows), C.int64_t(against), floats(others), doubles(out)))
}

// doubles is the address of a slice for the length of one call.
func doubles(values []float64) *C.double {
	return (*C.double)(unsafe.Pointer(unsafe.SliceData(values)))
}
