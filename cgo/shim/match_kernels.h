// What SideIndex keeps, and the kernels that match against it. One source a
// kernel, compiled for every instruction set and chosen when it runs (Google
// Highway).
//
// Method: a float32 sweep gives a lower bound of every squared distance and
// keeps the least of each small group of patterns; direct differences in
// float64 decide among the groups whose bound is not above the best distance
// that is known.
//
// With c the centre, a = |z - c|, q = |P[:n] - c|, S = |P[n:]|^2 and T the
// exact squared distance, T = a^2 + q^2 + S - 2 (z - c).(P[:n] - c). The sweep
// computes v, the sum of N = (q^2 + S)(1 - k2) and of n products, from z - c
// and P - c rounded to float32 (unit roundoff u = 2^-24). In any order of
// summation, with one rounding a product or two, standard bounds (Higham,
// Accuracy and Stability of Numerical Algorithms, 2nd ed., section 3.1; g_m =
// m u / (1 - m u)) and 2 a q <= a^2 + q^2 give
//
//   v + a^2 <= T + (g_{n+1} + 2.1 u) a^2
//                + (2 g_{n+1} + 2.1 u + 3.1 u - k2) (q^2 + S) + underflow,
//
// where 2.1 u is what rounding z - c and P - c costs, 3.1 u what rounding q^2
// and N costs, and g_{n+1} <= (n + 1.1) u for n <= 1024. So with
//
//   k1 = (n + 5) u,  k2 = (2n + 10) u
//
// T >= v + a^2 (1 - k1) - underflow for every pattern, whatever the centre is,
// and a pattern can only be as near as a known distance T' if
//
//   v <= T' - a^2 (1 - k1) + underflow.
//
// What k1 has to spare, u a^2, is more than the roundings of a^2 and of this
// limit in float64; kSumSlack covers those of the float64 sums themselves.
//
// A box around patterns bounds all of them: with b the float32 sum of squared
// differences between z and the point of the box that is nearest to it, in n
// columns with an FMA each, b <= (1 + (n + 3) u) T + underflow, the differences
// being exact but for one rounding; so a block can only hold a pattern as near
// as T' if
//
//   b <= T' (1 + (n + 8) u) + underflow.
//
// Before any distance is known, the least v bounds the best: the same errors
// the other way are at most k1 a^2 + 2 k2 (q^2 + S), and q^2 + S <= 2 a^2 + 2 T
// (the triangle inequality), so for its pattern
//
//   T <= (max(v + a^2, 0) + (k1 + 4 k2) a^2 + underflow) (1 + 5 k2).
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>

#include "side_index.h"

// Before Highway: vectors whose size the compiler does not know cannot be in
// an array, and nothing has SSSE3 alone.
#define HWY_DISABLED_TARGETS                                               \
  (HWY_SSSE3 | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)

namespace fdqc {

class SideBoxes;  // side_boxes.h
class SideTree;   // side_tree.h

constexpr float kInfinity = std::numeric_limits<float>::infinity();
// Patterns that lie side by side, and those of the four blocks that a sweep
// may take at a time.
constexpr int64_t kBlock = 16, kStrip = 64;
// A workspace up to which the small kernel matches.
constexpr int64_t kSmallWidth = 31;
// A pattern with q^2 + S from kHuge on is infinitely far in float32; a row or
// a distance beyond kFar^(1/2) is settled in float64 alone. Between them lies
// more than the triangle inequality needs, and no product overflows.
constexpr double kHuge = 1e37, kFar = 1e35;
// More than all products of a row can lose by underflow, also where denormals
// are flushed: (4n + 16) 2^-126.
constexpr double kUnderflow = 1e-34;
constexpr double kSumSlack = 1 + 1e-12;

constexpr double slack(double roundings) { return roundings / (1 << 24); }
// Of a^2 and of q^2 + S.
constexpr double row_slack(int64_t n) {
  return slack(static_cast<double>(n + 5));
}
constexpr double pattern_slack(int64_t n) {
  return slack(static_cast<double>(2 * n + 10));
}

// Floats at an address that is a multiple of 64; zeros at first, in huge pages
// where they are many.
class AlignedFloats {
 public:
  AlignedFloats() = default;
  explicit AlignedFloats(int64_t count);  // throws std::bad_alloc

  float* get() const { return at_.get(); }
  int64_t size() const { return size_; }

 private:
  struct Free {
    void operator()(float* at) const;
  };
  std::unique_ptr<float, Free> at_;
  int64_t size_ = 0;
};

// Blocks, a strip of four and the strips one after another: [n + 1][kBlock],
// first N of each pattern, +infinity where there is none, then P[:n] - c.
struct SideIndex::Impl {
  int64_t n = 0, count = 0, room = 0;
  AlignedFloats rows;    // [room, 2n]
  AlignedFloats blocks;  // [room / kBlock][n + 1][kBlock]
  AlignedFloats centre;  // [n]
  bool tails = false;   // some row's second half may not be zero
  int64_t centred = 0;  // rows that the centre was chosen from
  int64_t fresh = 0;    // rows put since
  std::unique_ptr<SideBoxes> boxes;  // for small n and not too many rows
  std::unique_ptr<SideTree> tree;    // for many rows
};

struct MatchScratch::Impl {
  AlignedFloats z;     // -2 (z - c)
  AlignedFloats sums;  // of the wide kernel, between two steps over k
  AlignedFloats mins;  // least v of each group
  AlignedFloats bounds;               // of boxes
  std::unique_ptr<int32_t[]> listed;  // blocks
  AlignedFloats wide;  // [z; 0], zeros from n on, for a tree
  struct Row {
    double norm;  // a^2
    float limit;  // a larger v is too far
  };
  std::unique_ptr<Row[]> rows;
  int64_t room = 0;
};

// Moves found[i] to the nearest of the rows [first, last) of the side, where
// one is as near as it is; found holds a row of the side and its squared
// distance, or {+infinity, -1}. Rows of the strips at both ends may be looked
// at as well. z: [rows, n].
void match_range(const SideIndex& side, int64_t first, int64_t last,
                 const float* z, int64_t rows, Found* found,
                 MatchScratch& scratch);

// One tile: match_range where n is at most, or above, kSmallWidth.
struct Tile {
  const SideIndex::Impl& side;
  int64_t block, blocks;  // the first, a multiple of four, and how many
  const float* z;         // [rows, n]
  int64_t rows;
  Found* found;
};
void match_small(const Tile& tile, MatchScratch::Impl& scratch);
void match_wide(const Tile& tile, MatchScratch::Impl& scratch);

// All rows of the side through its boxes, which are ready, for the first rows
// of the tile: how many, because where few blocks can be skipped it stops and
// match_small is faster. tile.block and .blocks are not looked at.
int64_t match_boxes(const Tile& tile, MatchScratch::Impl& scratch);

}  // namespace fdqc
