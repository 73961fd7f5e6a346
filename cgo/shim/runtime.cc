#include "runtime.h"

#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/util/Exception.h>
#include <dlfcn.h>
#include <torch/headeronly/version.h>

#include <algorithm>
#include <atomic>
#include <cstring>

#include "api.h"
#include "device.h"
#include "kernels.h"
#include "pool.h"
#include "status.h"

namespace fdqc {
namespace {

constexpr int32_t kMaxThreads = 1024;

std::atomic<int32_t> devices{0};
std::atomic<bool> configured{false};

void copy_text(char (&to)[32], const std::string& from) {
  std::strncpy(to, from.c_str(), sizeof(to) - 1);
  to[sizeof(to) - 1] = '\0';
}

// LibTorch takes the number of its inter-op threads once in a process and
// throws afterwards; somebody else in the process may have set it before.
void keep_interop_small() {
  static const bool done = [] {
    try {
      at::set_num_interop_threads(1);
    } catch (const c10::Error&) {
    }
    return true;
  }();
  (void)done;
}

void* open_library(const char* path) {
  void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) throw DeviceUnavailable(dlerror());
  return library;
}

}  // namespace

int32_t cuda_devices() noexcept {
  return pretends_device() ? 1 : devices.load();
}

void follow_torch_threads() {
  if (configured.load()) return;
  const int threads = std::min(at::get_num_threads(), kMaxThreads);
  if (threads != Pool::instance().threads()) Pool::instance().resize(threads);
}

namespace api {

fdqc_status* runtime_configure(int32_t threads) noexcept {
  return guard([&] {
    require(threads >= 1 && threads <= kMaxThreads, "threads ", threads,
            " is not 1 to ", kMaxThreads);
    keep_interop_small();
    configured.store(true);
    Pool::instance().resize(threads);
  });
}

fdqc_status* runtime_info(fdqc_info* out) noexcept {
  return guard([&] {
    require(out != nullptr, "info: out is NULL");
    fdqc_info info{};
    copy_text(info.libtorch_version, TORCH_VERSION);
    copy_text(info.cpu_capability, at::get_cpu_capability());
    info.threads = Pool::instance().threads();
    info.cuda_devices = cuda_devices();
    *out = info;
  });
}

fdqc_status* runtime_open_cuda(const char* path) noexcept {
  return guard([&] {
    require(path != nullptr && path[0] == '/',
            "open CUDA: the path of libtorch_cuda is not absolute");
    if (cuda_devices() > 0) return;
    // The driver first: without it the half gigabyte of kernels is not read.
    open_library("libcuda.so.1");
    // Loading registers the CUDA backend with ATen, for good: it is never
    // closed. ATen asks for its hooks once in a process, so they must not be
    // touched before this line.
    open_library(path);
    const auto& hooks = at::detail::getCUDAHooks();
    const int32_t count = hooks.hasCUDA() ? hooks.deviceCount() : 0;
    if (count <= 0) throw DeviceUnavailable("LibTorch finds no CUDA device");
    const std::string library = path;
    set_kernel_compiler(library.substr(0, library.rfind('/')));
    devices.store(count);
  });
}

}  // namespace api
}  // namespace fdqc
