#include "handles.h"

#include <atomic>

#include "api.h"
#include "runtime.h"

namespace fdqc {
namespace {

std::atomic<int64_t> live{0};

}  // namespace

Counted::Counted() { live.fetch_add(1); }
Counted::~Counted() { live.fetch_sub(1); }

int64_t live_handles() noexcept { return live.load(); }

c10::Device device_of(int32_t device) {
  if (device == FDQC_DEVICE_CPU) return c10::Device(c10::kCPU);
  require(device >= 0, "device ", device, " is neither -1 nor a CUDA index");
  const int32_t count = cuda_devices();
  if (device >= count) {
    throw DeviceUnavailable("cuda:" + std::to_string(device) +
                            " is not there: CUDA devices in use: " +
                            std::to_string(count));
  }
  return c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(device));
}

namespace api {

fdqc_status* live_handles(int64_t* out) noexcept {
  return guard([&] {
    require(out != nullptr, "live handles: out is NULL");
    *out = fdqc::live_handles();
  });
}

}  // namespace api
}  // namespace fdqc
