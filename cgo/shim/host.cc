#include "host.h"

#include <ATen/ops/empty.h>

#include <cstring>

#include "status.h"

namespace fdqc {

at::Tensor copy_in(const float* from, at::IntArrayRef shape,
                   c10::Device device) {
  at::Tensor host = at::empty(shape, at::TensorOptions().dtype(at::kFloat));
  if (host.numel() > 0) {
    std::memcpy(host.mutable_data_ptr<float>(), from, host.nbytes());
  }
  return device.is_cpu() ? host : host.to(device);
}

void copy_out(const at::Tensor& from, float* to) {
  const at::Tensor host = from.to(at::kCPU).contiguous();
  if (host.numel() > 0) {
    std::memcpy(to, host.const_data_ptr<float>(), host.nbytes());
  }
}

void require_workspace(int32_t n) {
  require(n >= 2 && n <= 1024, "workspace dimension ", n,
          " is not 2 to 1024");
}

}  // namespace fdqc
