// The two streams of a device: one computes, the other copies beside it.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Event.h>
#include <c10/core/Stream.h>

#include <cstdint>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

namespace fdqc {

enum class Lane { kCompute, kCopy, kHost };

// What a lane was given to do, or the host did: for tests, which look for what
// may happen at once and must not.
struct LaneEvent {
  enum Kind { kRecord, kWait, kRead, kWrite, kFinish } kind;
  Lane lane;
  const void* at;  // a mark, or the memory of a tensor
};

// A point in the work of a lane.
struct Mark {
  std::optional<c10::Event> event;
  int64_t late = 0;  // of the copies that wait (below), those before it
};

// The lane that computes is the device's current stream, which puts of patterns
// and weights go through too; the other is one of its own. The CPU has neither:
// there everything is done when its call returns, except that in a test build a
// copy is made as late as marks allow: what is not waited for is not there.
class Lanes {
 public:
  explicit Lanes(c10::Device device);

  // Has a mark stand for what the lane was given so far.
  void record(Mark& mark, Lane lane);
  // What the lane is given from here on begins when the mark is reached; one
  // that was never recorded is.
  void wait(Mark& mark, Lane lane);
  void wait_on_host(Mark& mark);

  // Bytes, on the lane that copies; both stay as they are until it has.
  void copy(const at::Tensor& to, const at::Tensor& from);

  // The one synchronisation: everything that was copied has arrived.
  void finish();
  // Waits for both lanes, whatever they answer: nothing is in use after it.
  void drain() noexcept;

  // Says what a lane, or the host, does to memory that two of them share.
  void note(LaneEvent::Kind kind, Lane lane, const at::Tensor& memory) {
    if (trace != nullptr) {
      trace->push_back({kind, lane, memory.storage().data()});
    }
  }
  std::vector<LaneEvent>* trace = nullptr;

  // As the driver names the lane that computes.
  void* native() const;

  // [bytes] uint8: host memory that a device copies from without the host,
  // and memory of the device.
  at::Tensor pinned(int64_t bytes) const;
  at::Tensor on_device(int64_t bytes) const;

 private:
  c10::Stream stream(Lane lane) const;
  void note(LaneEvent::Kind kind, Lane lane, const void* mark) {
    if (trace != nullptr) trace->push_back({kind, lane, mark});
  }
  void copy_late(int64_t until);

  c10::Device device_;
  std::optional<c10::Stream> copies_;
  std::deque<std::pair<at::Tensor, at::Tensor>> late_;  // to, from
  int64_t done_late_ = 0;
};

}  // namespace fdqc
