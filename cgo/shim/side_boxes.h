// Patterns side by side with their neighbours, and a box around every block of
// them: what matching skips blocks by where n is small. No LibTorch in here.
#pragma once

#include <cstdint>
#include <vector>

#include "match_kernels.h"

namespace fdqc {

// A second copy of what matching derives from a side's rows, in an order in
// which a block's patterns are near one another (partition.h). A row that is
// put keeps its place and widens the box around it; boxes are made anew when
// many have. Memory beside the side's rows: 4 (n + 3) bytes a row, and half
// a byte a row and column for the boxes, for kMost rows at most.
class SideBoxes {
 public:
  // From kLeast rows on there is something to skip; more than kMost take so
  // long to be ordered, on the thread that judges, that one would notice: 2.5
  // ms for 8,000 rows at n = 8, 0.27 ms for 1,000 (Zen 1).
  static constexpr int64_t kLeast = 32 * kBlock, kMost = 8191;

  // To be told after each change of the side: row `index` was put and derived
  // anew; rows were dropped; all that is derived is another. O(n) a row.
  void put(const SideIndex::Impl& side, int64_t index) noexcept;
  void truncate(const SideIndex::Impl& side, int64_t count) noexcept;
  void clear() noexcept { count_ = 0; }

  // Orders the rows where that is due, so that it costs O(log count) a row put.
  void refresh(const SideIndex::Impl& side) noexcept;

  // Whether all rows of the side are in here.
  bool ready() const { return count_ > 0; }

  int64_t blocks() const { return (used_ + kBlock - 1) / kBlock; }
  // Where a block without a pattern begins in derived(): behind all places.
  int32_t none(int64_t n) const {
    return static_cast<int32_t>(places_.size()) * static_cast<int32_t>(n + 2);
  }
  // [blocks][n + 2][kBlock]: what SideIndex::Impl::blocks holds, then each
  // pattern's row as an int32, ascending in a block, -1 where there is none.
  const float* derived() const { return derived_.get(); }
  // [groups of kBlock blocks][n][2][kBlock]: their least and largest values.
  const float* boxes() const { return boxes_.get(); }

 private:
  void build(const SideIndex::Impl& side);
  void set(const SideIndex::Impl& side, int64_t index, int64_t place) noexcept;
  void empty(int64_t n, int64_t place) noexcept;
  float* column(int64_t n, int64_t place) noexcept;

  int64_t count_ = 0;    // rows of the side
  int64_t used_ = 0;     // places that have been filled
  int64_t changed_ = 0;  // rows put or dropped since the order was made
  AlignedFloats derived_, boxes_;
  std::vector<int32_t> places_;  // of each row
};

// What is kept of each of a row's blocks is written a register at a time, and
// a list of them is one longer.
constexpr int64_t box_room(int64_t blocks) {
  return (blocks + kBlock) / kBlock * kBlock + kBlock;
}

}  // namespace fdqc
