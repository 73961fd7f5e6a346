// The walk through a tree, compiled once for each vector instruction set and
// chosen at run time.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tree_search.cc"
#include <hwy/foreach_target.h>  // before highway.h
//
#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>

#include "tree.h"

HWY_BEFORE_NAMESPACE();
namespace fdqc {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

constexpr int64_t kLeaf = Leaves::kLeaf, kFan = Tree::kFan;
using Lanes = hn::CappedTag<float, kFan>;

struct Entry {
  float bound;    // no sum in it is smaller, but for rounding
  uint32_t node;  // in its level
  uint32_t level;
};

// Of one row through the tree, depth first, nearer children first.
class Walk {
 public:
  Walk(const Tree& tree, const Leaves& more, const float* z, Found& found,
       TreeWork& work)
      : tree_(tree), z_(z), columns_(more.columns()),
        slope_(std::ldexp(static_cast<double>(columns_ + 8), -24)),
        least_(std::ldexp(static_cast<double>(columns_ + 8), -124)),
        found_(found), limit_(limit_of(found.squared, 1)) {
    for (int64_t i = 0; i < more.leaves(); ++i) scan(more, i);
    stack_[top_++] = {0, 0, static_cast<uint32_t>(tree.levels)};
    while (top_ > 0) {
      const Entry at = stack_[--top_];
      if (at.bound > limit_) continue;
      if (at.level == 0) {
        scan(tree.leaves, at.node);
        ++work.leaves;
      } else {
        open(at);
        ++work.nodes;
      }
    }
  }

 private:
  // The largest float32 sum that can win against `squared`: a float64 sum
  // (times = 1), or a float32 one that is off by as much itself (2).
  float limit_of(double squared, int times) const {
    if (!(squared < kHuge)) return kInfinity;  // may not fit a float32
    return static_cast<float>(squared * (1 + times * slope_) +
                              (2 * times - 1) * least_);
  }

  void scan(const Leaves& leaves, int64_t leaf) {
    const Lanes d;
    const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
    const float* const p = leaves.leaf(leaf);
    HWY_ALIGN float sums[kLeaf];
    auto least = hn::Set(d, kInfinity);
    for (int64_t i = 0; i < kLeaf; i += 4 * lanes) {
      auto a = hn::Zero(d), b = a, c = a, e = a;
      for (int64_t k = 0; k < columns_; ++k) {
        const auto z = hn::Set(d, z_[k]);
        const float* const from = p + k * kLeaf + i;
        const auto da = hn::Sub(z, hn::Load(d, from));
        const auto db = hn::Sub(z, hn::Load(d, from + lanes));
        const auto dc = hn::Sub(z, hn::Load(d, from + 2 * lanes));
        const auto de = hn::Sub(z, hn::Load(d, from + 3 * lanes));
        a = hn::MulAdd(da, da, a);
        b = hn::MulAdd(db, db, b);
        c = hn::MulAdd(dc, dc, c);
        e = hn::MulAdd(de, de, e);
      }
      hn::Store(a, d, sums + i);
      hn::Store(b, d, sums + i + lanes);
      hn::Store(c, d, sums + i + 2 * lanes);
      hn::Store(e, d, sums + i + 3 * lanes);
      least = hn::Min(least, hn::Min(hn::Min(a, b), hn::Min(c, e)));
    }
    const float nearest = hn::GetLane(hn::MinOfLanes(d, least));
    if (nearest > limit_) return;
    limit_ = std::min(limit_, limit_of(static_cast<double>(nearest), 2));
    for (int64_t i = 0; i < kLeaf; ++i) {
      if (!(sums[i] > limit_)) decide(leaves, leaf, i);
    }
  }

  // The definition.
  void decide(const Leaves& leaves, int64_t leaf, int64_t i) {
    const float* const p = leaves.leaf(leaf) + i;
    double sum = 0;
    for (int64_t k = 0; k < columns_; ++k) {
      const double d =
          static_cast<double>(z_[k]) - static_cast<double>(p[k * kLeaf]);
      sum += d * d;
    }
    const int64_t row = leaves.rows()[leaf * kLeaf + i];
    if (sum < found_.squared ||
        (sum == found_.squared && row < found_.index)) {
      found_ = {sum, row};
      limit_ = std::min(limit_, limit_of(sum, 1));
    }
  }

  // Lays the children that can hold the winner onto the stack, the nearest on
  // top.
  void open(const Entry& at) {
    const Lanes d;
    const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
    const float* const box = tree_.boxes(tree_.first[at.level] + at.node);
    HWY_ALIGN float sums[kFan];
    uint32_t near = 0;
    for (int64_t i = 0; i < kFan; i += lanes) {
      auto sum = hn::Zero(d);
      for (int64_t k = 0; k < columns_; ++k) {
        const float* const least = box + k * 2 * kFan + i;
        const auto z = hn::Set(d, z_[k]);
        const auto below = hn::Sub(hn::Load(d, least), z);
        const auto above = hn::Sub(z, hn::Load(d, least + kFan));
        const auto gap = hn::Max(hn::Max(below, above), hn::Zero(d));
        sum = hn::MulAdd(gap, gap, sum);
      }
      hn::Store(sum, d, sums + i);
      uint8_t bits[8] = {};
      hn::StoreMaskBits(d, hn::Le(sum, hn::Set(d, limit_)), bits);
      near |= uint32_t{bits[0]} << i;
    }
    const int64_t child = int64_t{at.node} * kFan;
    const int64_t there = tree_.width[at.level - 1] - child;
    if (there < kFan) near &= (1u << there) - 1;
    const int bottom = top_;
    for (; near != 0; near &= near - 1) {
      const uint32_t i = hwy::Num0BitsBelowLS1Bit_Nonzero32(near);
      const Entry entry{sums[i], static_cast<uint32_t>(child) + i,
                        at.level - 1};
      prefetch(entry);
      int to = top_++;
      for (; to > bottom && stack_[to - 1].bound < entry.bound; --to) {
        stack_[to] = stack_[to - 1];
      }
      stack_[to] = entry;
    }
  }

  void prefetch(const Entry& at) const {
    constexpr int64_t kMost = 1024, kLine = 64;  // bytes
    const bool leaf = at.level == 0;
    const float* const from =
        leaf ? tree_.leaves.leaf(at.node)
             : tree_.boxes(tree_.first[at.level] + at.node);
    const int64_t floats = columns_ * (leaf ? kLeaf : 2 * kFan);
    const int64_t bytes =
        std::min(kMost, floats * static_cast<int64_t>(sizeof(float)));
    for (int64_t i = 0; i < bytes; i += kLine) {
      hwy::Prefetch(reinterpret_cast<const char*>(from) + i);
    }
  }

  const Tree& tree_;
  const float* const z_;
  const int64_t columns_;
  const double slope_, least_;
  Found& found_;
  float limit_;  // float32 sums above it cannot win
  int top_ = 0;
  Entry stack_[Tree::kLevels * kFan];
};

TreeWork walk(const Tree& tree, const Leaves& more, const float* z,
              int64_t rows, Found* found) {
  TreeWork work;
  for (int64_t i = 0; i < rows; ++i) {
    Walk(tree, more, z + i * more.columns(), found[i], work);
  }
  return work;
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace fdqc
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fdqc {
namespace {

HWY_EXPORT(walk);

}  // namespace

TreeWork search(const Tree& tree, const Leaves& more, const float* z,
                int64_t rows, Found* found) {
  return HWY_DYNAMIC_DISPATCH(walk)(tree, more, z, rows, found);
}

}  // namespace fdqc
#endif
