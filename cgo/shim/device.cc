#include "device.h"

#include <c10/util/Exception.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <mutex>

#include "runtime.h"
#include "status.h"

namespace fdqc {
namespace {

// As many as LibTorch can name.
constexpr int32_t kMostDevices = 128;
// cudaErrorMemoryAllocation and CUDA_ERROR_OUT_OF_MEMORY.
constexpr int kOutOfMemory = 2;

std::mutex mutex;
std::array<std::string, kMostDevices> lost;  // why; "" while it answers
std::array<DeviceCounts, kMostDevices> counts;

[[noreturn]] void lose(const Place& place, const char* why) {
  std::string message = "device cuda:" + std::to_string(place.number) +
                        " is lost: " + why;
  // What CUDA adds about debugging is of no use to who reads this.
  message.resize(std::min(message.size(), message.find('\n')));
  const std::lock_guard<std::mutex> hold(mutex);
  std::string& first = lost[place.number];
  if (first.empty()) first = message;
  throw DeviceLost(first);
}

}  // namespace

Place place_of(int32_t device) {
  if (device == FDQC_DEVICE_CPU) return {};
  require(device >= 0, "device ", device, " is neither -1 nor a CUDA index");
  const int32_t count = cuda_devices();
  if (device >= std::min(count, kMostDevices)) {
    throw DeviceUnavailable("cuda:" + std::to_string(device) +
                            " is not there: CUDA devices in use: " +
                            std::to_string(count));
  }
  Place place{device, c10::kCPU};
  if (!pretends_device()) {
    place.at = c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(device));
  }
  require_alive(place);
  return place;
}

bool is_lost(const Place& place) noexcept {
  if (place.host()) return false;
  const std::lock_guard<std::mutex> hold(mutex);
  return !lost[place.number].empty();
}

void require_alive(const Place& place) {
  if (place.host()) return;
  const std::lock_guard<std::mutex> hold(mutex);
  if (!lost[place.number].empty()) throw DeviceLost(lost[place.number]);
}

bool tells_of_memory(const char* message) noexcept {
  for (const char* words :
       {"CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED"}) {
    if (std::strstr(message, words) != nullptr) return true;
  }
  return false;
}

void throw_device_failure(const Place& place) {
  try {
    throw;
  } catch (const InvalidArgument&) {
    throw;
  } catch (const DeviceLost&) {
    throw;
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const c10::OutOfMemoryError&) {
    throw;
  } catch (const c10::Error& e) {
    const char* const message = e.what_without_backtrace();
    if (is_host_allocation_failure(message)) throw;
    if (tells_of_memory(message)) {
      TORCH_CHECK_WITH(OutOfMemoryError, false, message);
    }
    lose(place, message);
  } catch (const DriverError& e) {
    if (e.code() == kOutOfMemory) {
      TORCH_CHECK_WITH(OutOfMemoryError, false, e.what());
    }
    lose(place, e.what());
  } catch (const std::exception& e) {
    lose(place, e.what());
  } catch (...) {
    lose(place, "an exception that is not a std::exception");
  }
}

DeviceCounts& counts_of(const Place& place) noexcept {
  return counts[std::max(place.number, 0)];
}

#ifdef FDQC_FAULTS
namespace {

const char* fault() { return std::getenv("FDQC_FAULT_DEVICE"); }

}  // namespace

bool pretends_device() { return fault() != nullptr; }

void device_step(int64_t rows) {
  static std::string armed;
  static int64_t steps = 0;
  const std::string now = fault() == nullptr ? "" : fault();
  if (now != armed) {
    armed = now;
    steps = 0;
  }
  ++steps;
  const size_t colon = now.find(':');
  if (colon == std::string::npos) return;
  const int64_t number = std::atoll(now.c_str() + colon + 1);
  const std::string kind = now.substr(0, colon);
  TORCH_CHECK(kind != "lost" || steps != number,
              "CUDA error: injected, the device is gone");
  TORCH_CHECK_WITH(OutOfMemoryError, kind != "memory" || rows <= number,
                   "injected: no device memory for ", rows, " rows");
}

void forget_lost_devices() {
  const std::lock_guard<std::mutex> hold(mutex);
  for (std::string& why : lost) why.clear();
}
#endif

}  // namespace fdqc
