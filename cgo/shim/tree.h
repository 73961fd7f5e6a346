// An exact tree over patterns: what matching walks where a memory is too large
// to be compared with every row. No LibTorch in here.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "match_kernels.h"

namespace fdqc {

// Patterns in leaves of kLeaf, each leaf column by column so that its patterns
// lie in the lanes of a register: [leaves, columns, kLeaf]. A place without a
// pattern is infinitely far in its first column.
class Leaves {
 public:
  static constexpr int64_t kLeaf = 32;

  Leaves(int64_t columns, int64_t room);  // throws std::bad_alloc

  int64_t columns() const { return columns_; }
  int64_t places() const { return static_cast<int64_t>(rows_.size()); }
  // Up to the last that was ever filled.
  int64_t leaves() const { return leaves_; }
  const float* leaf(int64_t i) const {
    return floats_.get() + i * columns_ * kLeaf;
  }
  // Rows of the side by place; the largest number where there is none.
  const int32_t* rows() const { return rows_.data(); }

  void fill(int64_t place, int32_t row, const float* pattern) noexcept;
  void clear(int64_t place) noexcept;

 private:
  int64_t columns_, leaves_ = 0;
  AlignedFloats floats_;
  std::vector<int32_t> rows_;
};

// A tree with kFan children a node, complete from the left: node j of a level
// stands over nodes kFan j to kFan j + kFan - 1 of the level below, the leaves
// being level 0. A node holds its children's bounding boxes.
class Tree {
 public:
  static constexpr int64_t kFan = 8;
  static constexpr int kLevels = 12;  // above the leaves; more than 2^31 rows

  // Over the first `columns` of rows [count, stride]; 1 <= count < 2^31.
  // nullptr once cancel is set; throws std::bad_alloc. One thread,
  // O(count log count).
  static std::unique_ptr<Tree> build(const float* rows, int64_t stride,
                                     int64_t count, int64_t columns,
                                     const std::atomic<bool>& cancel);

  Leaves leaves;
  int levels = 0;  // above the leaves, at least 1
  int64_t first[kLevels + 1] = {};  // node of all levels, by level
  int64_t width[kLevels + 1] = {};  // nodes of a level; [0]: leaves

  // [columns, 2, kFan]: the children's least and largest values.
  const float* boxes(int64_t node) const {
    return boxes_.get() + node * leaves.columns() * 2 * kFan;
  }

 private:
  Tree(int64_t columns, int64_t count) : leaves(columns, count) {}
  bool bound(const std::atomic<bool>& cancel);

  AlignedFloats boxes_;
};

// How far searches went.
struct TreeWork {
  int64_t leaves = 0, nodes = 0;
};

// Moves found[i] to the nearest pattern of tree and of `more`, where one is as
// near as it is; found holds the outcome of a search before or {+infinity, -1}.
// z: [rows, columns], the columns being those of tree and of more.
//
// No rounding can hide a winner. A float32 sum of the squared differences of m
// columns, in whatever order, is within a factor 1 +- (m + 3) 2^-24 of the
// exact one, and within (m + 8) 2^-124 more where products underflow, also
// when the hardware flushes denormals; a box's is no larger than that of any
// pattern inside, with the same error. So a box or a pattern is passed over
// only when its sum is above the best float64 sum so far times
// 1 + (m + 8) 2^-24, plus (m + 8) 2^-124; every other pattern's float64 sum is
// taken in column order, as the definition has it.
TreeWork search(const Tree& tree, const Leaves& more, const float* z,
                int64_t rows, Found* found);

}  // namespace fdqc
