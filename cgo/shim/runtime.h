// What the process has: threads and devices.
#pragma once

#include <cstdint>

namespace fdqc {

// CUDA devices that can be used; 0 until runtime_open_cuda succeeded.
int32_t cuda_devices() noexcept;

// Gives the pool as many threads as LibTorch has in the calling thread
// (torch.set_num_threads), unless runtime_configure said how many. For a
// program that has the operator and no engine.
void follow_torch_threads();

}  // namespace fdqc
