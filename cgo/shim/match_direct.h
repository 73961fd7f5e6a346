// Direct differences: the definition that decides which pattern is nearest.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "match.h"

namespace fdqc {

// The best so far of each row of a tile.
class Best {
 public:
  Best(int64_t rows, c10::Device device);

  // Takes pairs in: squared distances [pairs] float64, patterns and rows
  // [pairs] int64. The least wins, the lower pattern on a tie.
  void merge(const at::Tensor& squared, const at::Tensor& pattern,
             const at::Tensor& row);

  Nearest answer() const;

  at::Tensor squared;  // [rows] float64, +infinity before the first pair
  at::Tensor pattern;  // [rows] int64, the largest before the first pair
};

// Takes the pairs (pattern[i], row[i]) into best: |[z; 0] - P|^2 summed in
// float64 over the 2n columns in order. z is contiguous. Needs memory for room
// numbers.
void resolve(const PreparedSide& side, const at::Tensor& z,
             const at::Tensor& pattern, const at::Tensor& row, int64_t room,
             Best& best);

}  // namespace fdqc
