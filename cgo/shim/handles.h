// What is behind the opaque handles of fdqc.h.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "cpu_linear.h"
#include "cpu_score.h"
#include "cpu_states.h"
#include "cpu_validate.h"
#include "fdqc.h"
#include "side_index.h"
#include "status.h"

namespace fdqc {

// Counts handles that live; the constructor of Counted is the last thing
// that can fail in a *_new function.
struct Counted {
  Counted();
  ~Counted();
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
};

int64_t live_handles() noexcept;

// The device that a number of the ABI names. Throws InvalidArgument or
// DeviceUnavailable.
c10::Device device_of(int32_t device);

struct PreparedSide;  // match.h

// One side of the memory. Rows are kept with room to grow; [0, count) are
// patterns.
struct PatternSide {
  int64_t count = 0;
  std::vector<int64_t> ids;        // [count]
  // The rows on the CPU. A batch takes a tree that is complete into use.
  mutable std::optional<SideIndex> index;
  at::Tensor rows;                 // [room, 2n] float32, on another device
  // Raised by every put and truncate that changes the side.
  uint64_t version = 0;
  // What matching on a device derives from the rows, made when first needed
  // and again when prepared_version is no longer version. Written under the
  // gate only.
  mutable std::shared_ptr<const PreparedSide> prepared;
  mutable uint64_t prepared_version = 0;

  at::Tensor active() const;  // [count, 2n], on another device than the CPU
};

}  // namespace fdqc

// Each holds what the CPU kernel reads, or tensors on another device.

struct fdqc_weights : fdqc::Counted {
  int32_t n = 0;
  c10::Device device = c10::kCPU;
  std::optional<fdqc::cpu::Detector> packed;
  std::vector<at::Tensor> tensors;  // the six of weights_new
};

struct fdqc_projection : fdqc::Counted {
  int32_t n = 0, d = 0;
  c10::Device device = c10::kCPU;
  std::optional<fdqc::cpu::Linear> packed;
  at::Tensor weight, bias;  // [n,d], [n]
};

struct fdqc_patterns : fdqc::Counted {
  int32_t n = 0;
  c10::Device device = c10::kCPU;
  fdqc::PatternSide sides[2];
};

struct fdqc_states : fdqc::Counted {
  int32_t n = 0;
  c10::Device device = c10::kCPU;
  std::optional<fdqc::cpu::States> host;
  at::Tensor loaded_real, loaded_imag;  // [n]
  // [slots, n]: state_imag never moves, so one row serves all slots.
  at::Tensor real;
  // The segments of the batch in hand; memory that is used again.
  std::vector<fdqc::cpu::Segment> segments;
};
