// The projection of embeddings into the workspace (validator specification,
// section 2, step 1) on the CPU. No LibTorch in here.
#pragma once

#include <cstdint>

#include "cpu_memory.h"

namespace fdqc::cpu {

// A Linear(d, n), packed once. What it gives for a row depends on that row
// alone, bit for bit.
class Linear {
 public:
  // weight: [n, d], bias: [n]; copied. Throws std::bad_alloc.
  Linear(int64_t n, int64_t d, const float* weight, const float* bias);

  int64_t n() const { return n_; }
  int64_t d() const { return d_; }

  // x: [rows, d] to z: [rows, n].
  void operator()(const float* x, int64_t rows, float* z) const;

 private:
  int64_t n_, d_;
  // Narrow: [n rounded up to 4, d rounded up to 16]; else panels. The
  // rounding is zeros.
  Floats weight_, bias_;
};

}  // namespace fdqc::cpu
