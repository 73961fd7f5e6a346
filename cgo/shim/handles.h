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
#include "device.h"
#include "device_side.h"
#include "fdqc.h"
#include "side_index.h"
#include "status.h"

namespace fdqc {

struct DeviceRoom;  // device_batch.h
class Kernels;      // kernels.h

// Counts handles that live; the constructor of Counted is the last thing
// that can fail in a *_new function.
struct Counted {
  Counted();
  ~Counted();
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
};

int64_t live_handles() noexcept;

// One side of the memory: its rows lie in one of the two.
struct PatternSide {
  int64_t count = 0;
  std::vector<int64_t> ids;  // [count]
  // On the CPU. A batch takes a tree that is complete into use.
  mutable std::optional<SideIndex> index;
  std::optional<DeviceSide> device;
};

}  // namespace fdqc

// Each holds what the CPU kernel reads, or tensors on another device.

struct fdqc_weights : fdqc::Counted {
  int32_t n = 0;
  fdqc::Place place;
  std::optional<fdqc::cpu::Detector> packed;
  std::vector<at::Tensor> tensors;  // the six of weights_new
};

struct fdqc_projection : fdqc::Counted {
  int32_t n = 0, d = 0;
  fdqc::Place place;
  std::optional<fdqc::cpu::Linear> packed;
  at::Tensor weight, bias;  // [n,d], [n]
};

struct fdqc_patterns : fdqc::Counted {
  int32_t n = 0;
  fdqc::Place place;
  fdqc::PatternSide sides[2];
};

struct fdqc_states : fdqc::Counted {
  int32_t n = 0;
  fdqc::Place place;
  // Of a device too: what every batch brings back, so that the states are
  // there when the device is not.
  std::optional<fdqc::cpu::States> host;
  // On another device. state_imag never moves, so one row serves all slots.
  at::Tensor loaded_real, loaded_imag;  // [n]
  at::Tensor real;                      // [slots, n]
  std::shared_ptr<fdqc::DeviceRoom> room;
  const fdqc::Kernels* kernels = nullptr;  // NULL: ATen's operators compute
  // The segments of the batch in hand; memory that is used again.
  std::vector<fdqc::cpu::Segment> segments;
};

namespace fdqc {

// States on a place, as they are on the host. kernels: whether its kernels are
// to be used, where there are any.
std::unique_ptr<fdqc_states> make_states(const Place& place, cpu::States host,
                                         bool kernels);

}  // namespace fdqc
