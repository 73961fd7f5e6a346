#include "status.h"

#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>
#include <c10/util/Exception.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <new>

#include "device.h"

namespace fdqc {
namespace {

// Answered when there is no memory for a status; shared and never freed.
constexpr fdqc_status kOutOfMemory = {FDQC_OUT_OF_MEMORY, "out of memory"};

}  // namespace

// ATen's host allocator reports a failed allocation as a plain c10::Error; its
// words are the only thing that tells it apart.
bool is_host_allocation_failure(const char* message) noexcept {
  return std::strstr(message, "DefaultCPUAllocator: can't allocate memory") !=
         nullptr;
}

fdqc_status* make_status(int32_t code, const char* message) noexcept {
  const size_t length = std::strlen(message);
  // One block, so that a status is there whole or not at all.
  void* block = std::malloc(sizeof(fdqc_status) + length + 1);
  if (block == nullptr) return const_cast<fdqc_status*>(&kOutOfMemory);
  char* text = static_cast<char*>(block) + sizeof(fdqc_status);
  std::memcpy(text, message, length + 1);
  return new (block) fdqc_status{code, text};
}

void free_status(fdqc_status* status) noexcept {
  if (status != &kOutOfMemory) std::free(status);
}

fdqc_status* status_of_current_exception() noexcept {
  try {
    throw;
  } catch (const InvalidArgument& e) {
    return make_status(FDQC_INVALID_ARGUMENT, e.what());
  } catch (const DeviceUnavailable& e) {
    return make_status(FDQC_DEVICE_UNAVAILABLE, e.what());
  } catch (const DeviceLost& e) {
    return make_status(FDQC_DEVICE_LOST, e.what());
  } catch (const std::bad_alloc&) {
    // Nothing is allocated on this path.
    return const_cast<fdqc_status*>(&kOutOfMemory);
  } catch (const c10::OutOfMemoryError& e) {
    return make_status(FDQC_OUT_OF_MEMORY, e.what_without_backtrace());
  } catch (const c10::Error& e) {
    const char* message = e.what_without_backtrace();
    return make_status(is_host_allocation_failure(message) ? FDQC_OUT_OF_MEMORY
                                                           : FDQC_INTERNAL,
                       message);
  } catch (const std::exception& e) {
    return make_status(FDQC_INTERNAL, e.what());
  } catch (...) {
    return make_status(FDQC_INTERNAL,
                       "an exception that is not a std::exception");
  }
}

void enter_thread() {
  thread_local bool entered = false;
  if (entered) return;
  // Sets OpenMP, MKL and oneDNN for this thread. The pool of pool.h supplies
  // the parallelism; LibTorch computes in the thread that calls it.
  at::set_num_threads(1);
  entered = true;
}

Scope::Scope() {
  enter_thread();
  grad_was_enabled_ = c10::GradMode::is_enabled();
  c10::GradMode::set_enabled(false);
}

Scope::~Scope() { c10::GradMode::set_enabled(grad_was_enabled_); }

#ifdef FDQC_FAULTS
namespace {

std::atomic<int32_t> armed{0};

}  // namespace

void arm_fault(int32_t kind) {
  require(kind >= 1 && kind <= 4, "fault kind ", kind, " is not 1 to 4");
  armed.store(kind);
}

void throw_armed_fault() {
  switch (armed.exchange(0)) {
    case 1:
      throw std::runtime_error("injected std::runtime_error");
    case 2:
      throw std::bad_alloc();
    case 3:
      throw 3;
    case 4:
      TORCH_CHECK(false, "injected c10::Error");
  }
}
#endif

}  // namespace fdqc
