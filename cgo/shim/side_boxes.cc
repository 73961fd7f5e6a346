#include "side_boxes.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "partition.h"

namespace fdqc {
namespace {

// Rows put or dropped before the order is made again: a part of all.
int64_t changes_allowed(int64_t count) {
  return std::max<int64_t>(64, count / 4);
}

}  // namespace

float* SideBoxes::column(int64_t n, int64_t place) noexcept {
  return derived_.get() + place / kBlock * (n + 2) * kBlock + place % kBlock;
}

// Row `index` of the side, at a place that no other row has.
void SideBoxes::set(const SideIndex::Impl& side, int64_t index,
                    int64_t place) noexcept {
  const int64_t n = side.n, block = place / kBlock;
  const float* const from = side.blocks.get() +
                            index / kBlock * (n + 1) * kBlock + index % kBlock;
  float* const to = column(n, place);
  for (int64_t k = 0; k <= n; ++k) to[k * kBlock] = from[k * kBlock];
  const int32_t number = static_cast<int32_t>(index);
  std::memcpy(to + (n + 1) * kBlock, &number, sizeof number);
  places_[index] = static_cast<int32_t>(place);
  const float* const row = side.rows.get() + index * 2 * n;
  float* const box = boxes_.get() + block / kBlock * 2 * n * kBlock +
                     block % kBlock;
  for (int64_t k = 0; k < n; ++k) {
    float& least = box[2 * k * kBlock];
    float& largest = box[(2 * k + 1) * kBlock];
    least = std::min(least, row[k]);
    largest = std::max(largest, row[k]);
  }
}

// No pattern at a place.
void SideBoxes::empty(int64_t n, int64_t place) noexcept {
  const int32_t none = -1;
  float* const to = column(n, place);
  to[0] = kInfinity;
  std::memcpy(to + (n + 1) * kBlock, &none, sizeof none);
}

void SideBoxes::build(const SideIndex::Impl& side) {
  const int64_t n = side.n, count = side.count;
  count_ = 0;
  constexpr int64_t kGroup = kBlock * kBlock;
  const int64_t room =
      (count + changes_allowed(count) + kGroup) / kGroup * kGroup;
  if (static_cast<int64_t>(places_.size()) != room) {
    places_.clear();  // what fails here is tried again
    derived_ = AlignedFloats((room + kBlock) * (n + 2));
    boxes_ = AlignedFloats(room / kBlock * 2 * n);
    places_.resize(room);
  }
  const std::atomic<bool> never{false};
  Partition parts(side.rows.get(), 2 * n, count, n, never);
  parts.cut(kBlock, 2);
  for (int64_t i = 0; i < room + kBlock; ++i) empty(n, i);
  for (int64_t i = 0; i < room / kBlock * 2 * n; ++i) {
    boxes_.get()[i] = i / kBlock % 2 == 0 ? kInfinity : -kInfinity;
  }
  int32_t block[kBlock];
  for (used_ = 0; used_ < count;) {
    const int64_t some = std::min(kBlock, count - used_);
    for (int64_t i = 0; i < some; ++i) block[i] = parts.row(used_ + i);
    std::sort(block, block + some);
    for (int64_t i = 0; i < some; ++i) set(side, block[i], used_++);
  }
  changed_ = 0;
  count_ = count;
}

void SideBoxes::put(const SideIndex::Impl& side, int64_t index) noexcept {
  if (!ready()) return;
  ++changed_;
  int64_t place = 0;
  if (index < count_) {
    place = places_[index];
  } else if (used_ < static_cast<int64_t>(places_.size())) {
    place = used_++;
    ++count_;
  } else {
    return clear();
  }
  set(side, index, place);
}

void SideBoxes::truncate(const SideIndex::Impl& side, int64_t count) noexcept {
  for (; count_ > count; --count_, ++changed_) {
    empty(side.n, places_[count_ - 1]);
  }
}

void SideBoxes::refresh(const SideIndex::Impl& side) noexcept {
  if (side.n > kSmallWidth || side.count < kLeast || side.count > kMost) {
    return clear();
  }
  if (ready() && changed_ <= changes_allowed(count_)) return;
  try {
    build(side);
  } catch (...) {
    clear();  // for want of memory: all rows are swept over
  }
}

}  // namespace fdqc
