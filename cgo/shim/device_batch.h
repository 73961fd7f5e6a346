// The batch calls where the states lie on another device than the CPU.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "device_lanes.h"
#include "fdqc.h"

namespace fdqc {

class Kernels;

// As fdqc_table.project and .validate, with arguments that were checked. When
// the device has too little memory a batch begins again with half the rows of a
// tile, down to kLeastTileRows; nothing is written before all of it is known.
// Any other failure of the device loses it (DeviceLost).
void project_on_device(const fdqc_batch& batch, float* out,
                       uint32_t* row_status);
void validate_on_device(const fdqc_batch& batch, fdqc_verdict* out);
// The same with the kernels given, or with ATen's operators alone (NULL).
void validate_with(const Kernels* kernels, const fdqc_batch& batch,
                   fdqc_verdict* out);

// Rows that are on the device at once, two tiles of them.
constexpr int64_t kMostTileRows = 16384, kLeastTileRows = 256;

// The memory of batches, made once and used again; one batch at a time. A
// tile's rows go through one of two buffers, so that one is copied while the
// other is computed with.
struct DeviceRoom {
  explicit DeviceRoom(c10::Device device) : lanes(device) {}

  struct Buffer {
    at::Tensor pinned, rows;  // [bytes] what goes to the device, and there
    at::Tensor answers;       // [bytes] what comes back
    Mark ready, arrived, judged;
  };

  Lanes lanes;
  Buffer buffers[2];
  at::Tensor slots;     // pinned: the slots that the batch names
  at::Tensor states;    // pinned: the states as the batch leaves them
  at::Tensor verdicts;  // pinned: those of the whole batch
  int64_t tile_rows = kMostTileRows;
  std::vector<uint32_t> refusal;  // [count] why a row is not judged, or 0
};

}  // namespace fdqc
