#include "tree.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "partition.h"

namespace fdqc {
namespace {

constexpr int32_t kNoRow = std::numeric_limits<int32_t>::max();
constexpr int64_t kLeaf = Leaves::kLeaf;

}  // namespace

Leaves::Leaves(int64_t columns, int64_t room)
    : columns_(columns),
      floats_((room + kLeaf - 1) / kLeaf * kLeaf * columns),
      rows_((room + kLeaf - 1) / kLeaf * kLeaf, kNoRow) {
  for (int64_t i = 0; i < places(); ++i) clear(i);
}

void Leaves::fill(int64_t place, int32_t row, const float* pattern) noexcept {
  float* const to = floats_.get() + place / kLeaf * kLeaf * columns_ +
                    place % kLeaf;
  for (int64_t k = 0; k < columns_; ++k) to[k * kLeaf] = pattern[k];
  rows_[place] = row;
  leaves_ = std::max(leaves_, place / kLeaf + 1);
}

void Leaves::clear(int64_t place) noexcept {
  floats_.get()[place / kLeaf * kLeaf * columns_ + place % kLeaf] = kInfinity;
  rows_[place] = kNoRow;
}

std::unique_ptr<Tree> Tree::build(const float* rows, int64_t stride,
                                  int64_t count, int64_t columns,
                                  const std::atomic<bool>& cancel) {
  Partition parts(rows, stride, count, columns, cancel);
  if (!parts.cut(kLeaf, kFan)) return nullptr;
  std::unique_ptr<Tree> tree(new Tree(columns, count));
  for (int64_t i = 0; i < count; ++i) {
    if (i % kLeaf == 0 && cancel.load(std::memory_order_relaxed)) {
      return nullptr;
    }
    tree->leaves.fill(i, parts.row(i), rows + parts.row(i) * stride);
  }
  return tree->bound(cancel) ? std::move(tree) : nullptr;
}

// Boxes from the bottom up; false when cancelled.
bool Tree::bound(const std::atomic<bool>& cancel) {
  width[0] = leaves.leaves();
  int64_t nodes = 0;
  do {
    const int64_t below = width[levels++];
    first[levels] = nodes;
    width[levels] = (below + kFan - 1) / kFan;
    nodes += width[levels];
  } while (width[levels] > 1);
  const int64_t columns = leaves.columns();
  boxes_ = AlignedFloats(nodes * columns * 2 * kFan);
  for (int level = 1; level <= levels; ++level) {
    for (int64_t child = 0; child < width[level] * kFan; ++child) {
      if (cancel.load(std::memory_order_relaxed)) return false;
      float* const box =
          boxes_.get() +
          (first[level] + child / kFan) * columns * 2 * kFan + child % kFan;
      for (int64_t k = 0; k < columns; ++k) {
        float least = kInfinity, largest = -kInfinity;
        if (child < width[level - 1]) {
          // A leaf's patterns come first in it.
          const bool leaf = level == 1;
          const float* const lows =
              leaf ? leaves.leaf(child) + k * kLeaf
                   : boxes(first[level - 1] + child) + k * 2 * kFan;
          const float* const highs = leaf ? lows : lows + kFan;
          const int32_t* const in = leaves.rows() + child * kLeaf;
          for (int64_t i = 0; i < (leaf ? kLeaf : kFan); ++i) {
            if (leaf && in[i] == kNoRow) break;
            least = std::min(least, lows[i]);
            largest = std::max(largest, highs[i]);
          }
        }
        box[k * 2 * kFan] = least;
        box[k * 2 * kFan + kFan] = largest;
      }
    }
  }
  return true;
}

}  // namespace fdqc
