// The nearest pattern of a side (validator specification, section 2, step 7).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>

#include "handles.h"
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

// The same for a side of the memory, made again only when the side changed.
std::shared_ptr<const PreparedSide> prepared(const PatternSide& side,
                                             int64_t n);

struct Nearest {
  at::Tensor distance;  // [rows] float32, +infinity with no pattern
  at::Tensor index;     // [rows] int64 row of the side, -1 with no pattern
};

// z: [rows, n] float32, finite, on the side's device. The winner is the least
// of the squared direct differences, summed in float64 in column order, ties
// to the lowest row. Needs matrix_floats(device) numbers, whatever the count.
Nearest nearest(const PreparedSide& side, const at::Tensor& z);

}  // namespace fdqc
