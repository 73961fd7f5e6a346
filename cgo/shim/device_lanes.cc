#include "device_lanes.h"

#include <ATen/ops/empty.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include "device.h"

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
  note(LaneEvent::kRecord, lane, &mark);
  if (!copies_) {
    const int64_t given = done_late_ + static_cast<int64_t>(late_.size());
    mark.late = lane == Lane::kCopy ? given : 0;
    return;
  }
  if (!mark.event) mark.event.emplace(device_.type());
  mark.event->record(stream(lane));
}

void Lanes::wait(Mark& mark, Lane lane) {
  note(LaneEvent::kWait, lane, &mark);
  if (mark.event) mark.event->block(stream(lane));
  if (lane == Lane::kCompute) copy_late(mark.late);
}

void Lanes::wait_on_host(Mark& mark) {
  note(LaneEvent::kWait, Lane::kHost, &mark);
  if (mark.event) mark.event->synchronize();
  copy_late(mark.late);
}

void Lanes::copy(const at::Tensor& to, const at::Tensor& from) {
  note(LaneEvent::kRead, Lane::kCopy, from);
  note(LaneEvent::kWrite, Lane::kCopy, to);
  if (!copies_) {
    late_.emplace_back(to, from);
    if (!pretends_device()) copy_late(done_late_ + 1);
    return;
  }
  const c10::StreamGuard guard(*copies_);
  to.copy_(from, /*non_blocking=*/true);
}

void Lanes::copy_late(int64_t until) {
  for (; done_late_ < until; ++done_late_) {
    late_.front().first.copy_(late_.front().second);
    late_.pop_front();
  }
}

void Lanes::finish() {
  note(LaneEvent::kFinish, Lane::kHost, nullptr);
  if (copies_) copies_->synchronize();
  copy_late(done_late_ + static_cast<int64_t>(late_.size()));
}

void Lanes::drain() noexcept {
  done_late_ += static_cast<int64_t>(late_.size());
  late_.clear();
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
