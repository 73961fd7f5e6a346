// Devices other than the CPU: where a handle lies, and what becomes of a
// device that fails.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/DeviceGuard.h>

#include <cstdint>
#include <stdexcept>
#include <string>

#include "fdqc.h"

namespace fdqc {

// Where a handle lies: the number that the ABI gives it, and the device of its
// tensors. In a test build number 0 may be the CPU, used as any device is.
struct Place {
  int32_t number = FDQC_DEVICE_CPU;
  c10::Device at = c10::kCPU;

  bool host() const { return number == FDQC_DEVICE_CPU; }
  bool operator==(const Place& o) const { return number == o.number; }
  bool operator!=(const Place& o) const { return number != o.number; }
};

// The place that a number of the ABI names. Throws InvalidArgument,
// DeviceUnavailable or DeviceLost.
Place place_of(int32_t device);

// A device failed otherwise than by want of memory. It is used no more in
// this process: what CUDA does after such an error is not defined.
class DeviceLost : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// The CUDA driver, or the compiler of kernels, refused a call.
class DriverError : public std::runtime_error {
 public:
  DriverError(int code, const std::string& message)
      : std::runtime_error(message), code_(code) {}
  int code() const { return code_; }

 private:
  int code_;
};

bool is_lost(const Place& place) noexcept;
// Throws DeviceLost, with the reason of the first failure, when it is lost.
void require_alive(const Place& place);

// Whether a message of LibTorch tells of memory that was not there.
bool tells_of_memory(const char* message) noexcept;

// To be called in a catch clause: throws what is handled on when it is the
// caller's fault or want of memory (as c10::OutOfMemoryError); otherwise the
// device is lost from now on, and DeviceLost is thrown.
[[noreturn]] void throw_device_failure(const Place& place);

// Runs a body with the place's device current.
template <typename Body>
void on_device(const Place& place, Body&& body) {
  require_alive(place);
  try {
    const c10::DeviceGuard guard(place.at);
    body();
  } catch (...) {
    throw_device_failure(place);
  }
}

// What happened on a device since the process began.
struct DeviceCounts {
  int64_t out_of_memory = 0;  // batches begun again with a smaller tile
  int64_t tile_rows = 0;      // rows of a tile now; 0 before the first batch
};
DeviceCounts& counts_of(const Place& place) noexcept;

// Test builds: while FDQC_FAULT_DEVICE is in the environment the CPU is also
// device 0, and fails as the variable says: "none"; "lost:K" at the K-th step
// from when the variable was set so; "memory:R" at steps of more than R rows.
#ifdef FDQC_FAULTS
bool pretends_device();
void device_step(int64_t rows);
void forget_lost_devices();
#else
inline bool pretends_device() { return false; }
inline void device_step(int64_t) {}
#endif

}  // namespace fdqc
