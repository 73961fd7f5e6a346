// The kernels of cuda/validate.cu, loaded into one device for one workspace
// dimension.
#pragma once

#include <cstdint>
#include <string>

#include "cuda/arguments.h"
#include "device.h"
#include "driver.h"

namespace fdqc {

class Kernels {
 public:
  // The image of Nvrtc::compile, for a CUDA device by its index. What is loaded
  // stays until the process ends. Throws DriverError.
  Kernels(const Driver& driver, int32_t device, int64_t n,
          const std::string& image);

  // Each gives its work to a stream, as the driver names it, and returns.
  void settle(const cuda::Settle& a, void* stream) const;
  void scan(const cuda::Scan& a, void* stream) const;
  void match(const cuda::Match& a, void* stream) const;
  void judge(const cuda::Verdict& a, void* stream) const;

 private:
  void launch(void* function, int64_t threads, int64_t y, const void* arguments,
              void* stream) const;

  Driver driver_;
  void* context_ = nullptr;
  int64_t n_;
  void *settle_, *scan_, *scan_repair_, *scan_finish_, *match_, *judge_;
};

// Patterns that one block of fdqc_match goes through, so that a tile of rows
// keeps a device busy; a multiple of cuda::kPatternTile.
int64_t chunk_of(int64_t patterns, int64_t rows);

// The compute capability of a device: 90 is 9.0.
int capability_of(const Driver& driver, int32_t device);

// The kernels of a place, made and checked when first asked for; NULL where
// ATen's operators compute alone, and fdqc_table.device_info says why. Under
// the gate, with the device current.
const Kernels* kernels_of(const Place& place, int64_t n);

// Where LibTorch's libraries lie, from when CUDA was opened: NVRTC is beside.
void set_kernel_compiler(const std::string& libtorch);

// Judges a small problem of its own with the kernels and without them: empty
// when both agree (nearest patterns and flags exactly, numbers within 1e-5 of
// their size or of 1), else what differs. Its rows repeat, tie, are far, are
// refused, start anew and belong to several sessions. Throws what the device
// throws.
std::string check_kernels(const Place& place, int64_t n,
                          const Kernels& kernels);

}  // namespace fdqc
