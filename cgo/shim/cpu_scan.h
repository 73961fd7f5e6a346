// The state update (validator specification, section 2, step 2) on the CPU.
// No LibTorch in here.
#pragma once

#include <cstdint>

namespace fdqc::cpu {

// state <- 0.9 state + 0.1 u, row after row; a step is computed in float64, so
// that it rounds once, and is the same whoever computes it. u is z, or z[0]
// for every element. state: [n], moved; z and out: [rows, n].
void scan(float* state, const float* z, int64_t rows, int64_t n,
          bool first_element, float* out);

}  // namespace fdqc::cpu
