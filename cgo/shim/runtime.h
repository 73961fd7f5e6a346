// What the process has: threads and devices.
#pragma once

#include <cstdint>

namespace fdqc {

// CUDA devices that can be used; 0 until runtime_open_cuda succeeded.
int32_t cuda_devices() noexcept;

}  // namespace fdqc
