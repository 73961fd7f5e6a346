// Weights of a Linear layer as the CPU kernel multiplies by them: in panels of
// kPanel outputs, so that the inner loop reads them one after another. No
// LibTorch in here.
#pragma once

#include <cstdint>

#include "cpu_memory.h"

namespace fdqc::cpu {

// Outputs of a panel: two cache lines.
constexpr int64_t kPanel = 32;

constexpr int64_t panels(int64_t outputs) {
  return (outputs + kPanel - 1) / kPanel;
}

// weight: [outputs, stride], of which the first `inputs` columns are packed,
// to [panels, inputs, kPanel]; outputs that there are not have zeros.
inline Floats pack_panels(const float* weight, int64_t outputs, int64_t inputs,
                          int64_t stride) {
  Floats to(panels(outputs) * inputs * kPanel);
  for (int64_t k = 0; k < outputs; ++k) {
    float* const column =
        to.data() + k / kPanel * inputs * kPanel + k % kPanel;
    for (int64_t j = 0; j < inputs; ++j) {
      column[j * kPanel] = weight[k * stride + j];
    }
  }
  return to;
}

// [panels * kPanel], zeros behind the last.
inline Floats pack_bias(const float* bias, int64_t outputs) {
  Floats to(panels(outputs) * kPanel);
  std::memcpy(to.data(), bias, static_cast<size_t>(outputs) * sizeof(float));
  return to;
}

}  // namespace fdqc::cpu
