// The detector's arithmetic (detector.cc) on the CPU, in plain loops: where a
// workspace is narrow or rows are few, LibTorch's calls cost more than what
// they compute. No LibTorch in here.
#pragma once

#include <cstdint>

namespace fdqc::cpu {

// Up to here loops are faster whatever the number of rows is: at n = 8 a fit of
// 1,000 rows takes an eighth of the time (Zen 1).
constexpr int64_t kNarrow = 32;
// Distances of so many rows they compute faster up to n = 1,024.
constexpr int64_t kFewRows = 4;

// What a fit says besides: the covariance's trace, before it is shrunk, and
// after that the trace of its square.
struct Spread {
  double trace, square;
};

// Robust location [n], inverse of the covariance's lower Cholesky factor [n, n]
// and distance of each row left out [count] of rows [count, n]; at least two.
// The formulas are at fit in detector.cc. Throws std::runtime_error when the
// covariance is not positive definite.
Spread fit(int64_t n, int64_t count, const float* rows, double* location,
           double* factor, double* left);

// The distances [count] of rows [count, n] from a fit.
void distances(int64_t n, const double* location, const double* factor,
               int64_t count, const float* rows, double* out);

// The lower median [n] of each column of rows [count, n].
void medians(int64_t n, int64_t count, const float* rows, double* out);

// The distance of each of rows [count, n] to the nearest of others
// [other_count, n], +infinity where there is none: exact, as matching is.
void nearest(int64_t n, int64_t count, const float* rows, int64_t other_count,
             const float* others, double* out);

}  // namespace fdqc::cpu
