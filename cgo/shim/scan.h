// The state update as a scan (validator specification, section 2, step 2, and
// section 3).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace fdqc {

// Which state a row moves.
struct ScanRow {
  int32_t slot;  // a row of `states`
  bool reset;    // the state is `loaded` before this row
};

// What every row leaves behind: state <- 0.9 state + 0.1 u, row after row.
//
// u: [rows, n] float32, finite. moves: [rows], or empty when all rows move
// slot 0 and none resets it. states: [slots, n] float32, brought up to date;
// loaded: [n]. The answer is [rows, n]. Work grows with rows * n, whatever
// the slots are.
at::Tensor scan(const at::Tensor& u, const std::vector<ScanRow>& moves,
                const at::Tensor& states, const at::Tensor& loaded);

}  // namespace fdqc
