#include "device_lanes.h"

#include <ATen/ops/empty.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

namespace fdqc {

Lanes::Lanes(c10::Device device) : device_(device) {
  if (!device.is_cpu()) {
    copies_ = c10::impl::VirtualGuardImpl(device.type()).getNewStream(device);
  }
}

c10::Stream Lanes::stream(Lane lane) const {
  if (lane == Lane::kCopy) return *copies_;
  return c10::impl::VirtualGuardImpl(device_.type()).getStream(device_);
}

void Lanes::record(Mark& mark, Lane lane) {
  if (!copies_) return;
  if (!mark.event) mark.event.emplace(device_.type());
  mark.event->record(stream(lane));
}

void Lanes::wait(Mark& mark, Lane lane) {
  if (mark.event) mark.event->block(stream(lane));
}

void Lanes::wait_on_host(Mark& mark) {
  if (mark.event) mark.event->synchronize();
}

void Lanes::copy(const at::Tensor& to, const at::Tensor& from) {
  if (!copies_) {
    to.copy_(from);
    return;
  }
  const c10::StreamGuard guard(*copies_);
  to.copy_(from, /*non_blocking=*/true);
}

void Lanes::finish() {
  if (copies_) copies_->synchronize();
}

void Lanes::drain() noexcept {
  if (!copies_) return;
  for (const Lane lane : {Lane::kCopy, Lane::kCompute}) {
    try {
      stream(lane).synchronize();
    } catch (...) {
      // A lost device: whoever called has the reason.
    }
  }
}

void* Lanes::native() const {
  if (!copies_) return nullptr;
  return c10::impl::VirtualGuardImpl(device_.type())
      .getStreamNativeHandle(stream(Lane::kCompute));
}

at::Tensor Lanes::pinned(int64_t bytes) const {
  auto options = at::TensorOptions().dtype(at::kByte);
  if (copies_) options = options.pinned_memory(true);
  return at::empty({bytes}, options);
}

at::Tensor Lanes::on_device(int64_t bytes) const {
  return at::empty({bytes},
                   at::TensorOptions().dtype(at::kByte).device(device_));
}

}  // namespace fdqc
