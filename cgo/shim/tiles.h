// How the operator cuts its work: chunks of rows one after another, tiles of
// a chunk side by side.
#pragma once

#include <ATen/core/LegacyTypeDispatch.h>
#include <c10/core/Device.h>
#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <cstdint>
#include <functional>

#include "pool.h"
#include "status.h"

namespace fdqc {

// Rows that are in hand at once; what they need bounds the memory of a batch.
constexpr int64_t kChunkRows = 4096;

// Rows of a tile on the CPU. Enough that what an ATen operator costs to call
// is small beside what it does.
constexpr int64_t kTileRows = 1024;

// Numbers of one rows-by-patterns matrix: 1 MB a thread on the CPU, 256 MB on
// a device, where one stream works at a time.
inline int64_t matrix_floats(c10::Device device) {
  return device.is_cpu() ? int64_t{1} << 18 : int64_t{1} << 26;
}

// The operator computes below autograd, whatever mode its caller is in. Not in
// inference mode: what the caller's thread makes is written by others.
struct NoAutograd {
  c10::InferenceMode normal{false};
  at::AutoDispatchBelowAutograd below;
  c10::NoGradGuard off;
};

// Calls body(i) for i in [0, tiles): through the pool on the CPU, in order on
// the current stream of a device.
inline void for_tiles(c10::Device device, int64_t tiles,
                      const std::function<void(int64_t)>& body) {
  if (!device.is_cpu()) {
    for (int64_t i = 0; i < tiles; ++i) body(i);
    return;
  }
  Pool::instance().run(tiles, [&](int64_t i) {
    // Modes and thread counts belong to a thread, and the pool's workers have
    // their own.
    enter_thread();
    const NoAutograd guard;
    body(i);
  });
}

// The rows of a tile when `rows` are shared out: small batches want narrow
// tiles, so that every thread has one.
inline int64_t tile_rows(c10::Device device, int64_t rows) {
  if (!device.is_cpu()) return rows;
  const int64_t threads = Pool::instance().threads();
  const int64_t share = (rows + threads - 1) / threads;
  return std::max<int64_t>(1, std::min(kTileRows, share));
}

}  // namespace fdqc
