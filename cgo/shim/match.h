// The nearest pattern of a side (validator specification, section 2, step 7).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include "tiles.h"

namespace fdqc {

// What matching derives from one side, O(count * n) to make.
struct PreparedSide {
  int64_t count = 0;
  int64_t n = 0;
  at::Tensor rows;    // [count, 2n] float32: the patterns themselves
  at::Tensor centre;  // [n] float64: lies among the patterns
  at::Tensor tail;    // [count] float64: squared norm of a row's second half
  bool tail_zero = true;  // all of them are zero
  // [count rounded up to kGroup, n + 1] float32. Times [z - centre; 1] a row
  // gives a lower bound of the squared distance less |z - centre|^2.
  at::Tensor lower;
};

// rows: [count, 2n] float32, finite; kept, not copied.
PreparedSide prepare(const at::Tensor& rows, int64_t n);

// What prepare makes of one row ([2n]): lower is [n + 1].
void prepare_row(const float* row, int64_t n, const double* centre,
                 float* lower, double& tail);

// Rows of `lower` for count patterns.
int64_t padded_patterns(int64_t count);

struct Nearest {
  at::Tensor distance;  // [rows] float32, +infinity with no pattern
  at::Tensor index;     // [rows] int64 row of the side, -1 with no pattern
};

// z: [rows, n] float32, finite, on the side's device. The winner is the least
// of the squared direct differences, summed in float64 in column order, ties
// to the lowest row. Needs memory for room numbers, whatever the count.
Nearest nearest(const PreparedSide& side, const at::Tensor& z, int64_t room);
inline Nearest nearest(const PreparedSide& side, const at::Tensor& z) {
  return nearest(side, z, matrix_floats(z.device()));
}

}  // namespace fdqc
