#include "tree.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace fdqc {
namespace {

constexpr int32_t kNoRow = std::numeric_limits<int32_t>::max();
constexpr int64_t kLeaf = Leaves::kLeaf;

// Cuts patterns into leaves: every part is halved, at a multiple of what one
// child holds, across the column in which it varies most.
class Partition {
 public:
  Partition(const float* rows, int64_t stride, int64_t count, int64_t columns,
            const std::atomic<bool>& cancel)
      : rows_(rows), stride_(stride), columns_(columns), cancel_(cancel),
        keys_(count) {
    for (int64_t i = 0; i < count; ++i) keys_[i].row = static_cast<int32_t>(i);
  }

  // Orders positions [from, to) for nodes whose children hold `unit` each;
  // false when cancelled.
  bool cut(int64_t from, int64_t to, int64_t unit) {
    if (cancel_.load(std::memory_order_relaxed)) return false;
    while (to - from <= unit) {
      if (unit == kLeaf) return true;
      unit /= Tree::kFan;
    }
    const int64_t units = (to - from + unit - 1) / unit;
    const int64_t middle = from + units / 2 * unit;
    const int64_t column = widest(from, to);
    for (int64_t i = from; i < to; ++i) {
      keys_[i].value = rows_[keys_[i].row * stride_ + column];
    }
    std::nth_element(keys_.begin() + from, keys_.begin() + middle,
                     keys_.begin() + to);
    return cut(from, middle, unit) && cut(middle, to, unit);
  }

  int32_t row(int64_t position) const { return keys_[position].row; }

 private:
  struct Key {
    float value;
    int32_t row;
    // Equal patterns lie in the order of their rows.
    bool operator<(const Key& other) const {
      return value != other.value ? value < other.value : row < other.row;
    }
  };

  // The column of the largest variance among some of the patterns.
  int64_t widest(int64_t from, int64_t to) const {
    constexpr int64_t kSample = 256;
    const int64_t step = (to - from + kSample - 1) / kSample;
    int64_t best = 0;
    double most = -1;
    for (int64_t k = 0; k < columns_; ++k) {
      double sum = 0, squares = 0;
      const double origin =
          static_cast<double>(rows_[keys_[from].row * stride_ + k]);
      int64_t taken = 0;
      for (int64_t i = from; i < to; i += step, ++taken) {
        const double x =
            static_cast<double>(rows_[keys_[i].row * stride_ + k]) - origin;
        sum += x;
        squares += x * x;
      }
      const double varies = squares - sum * sum / static_cast<double>(taken);
      if (varies > most) most = varies, best = k;
    }
    return best;
  }

  const float* const rows_;
  const int64_t stride_, columns_;
  const std::atomic<bool>& cancel_;
  std::vector<Key> keys_;
};

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
  int64_t unit = kLeaf;
  while (unit * kFan < count) unit *= kFan;
  Partition parts(rows, stride, count, columns, cancel);
  if (!parts.cut(0, count, unit)) return nullptr;
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
