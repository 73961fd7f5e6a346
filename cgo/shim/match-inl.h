// What both kernels share, once an instruction set (included again by
// foreach_target.h; no guard of the usual kind).
#if defined(FDQC_MATCH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FDQC_MATCH_INL_H_
#undef FDQC_MATCH_INL_H_
#else
#define FDQC_MATCH_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstring>

#include "match_kernels.h"

HWY_BEFORE_NAMESPACE();
namespace fdqc {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using Lanes = hn::CappedTag<float, kBlock>;
using Vector = hn::Vec<Lanes>;
constexpr int kLanes = static_cast<int>(hn::MaxLanes(Lanes()));
constexpr int kVectors = kBlock / kLanes;  // of a block
// Sums in registers: enough to hide the latency of an FMA, and room for what
// they are made of.
#if HWY_TARGET <= HWY_AVX3 || HWY_ARCH_ARM_A64
constexpr int kSums = 24;
#else
constexpr int kSums = 12;
#endif
// Rows that a sweep takes at a time; fewer at the end of a tile.
constexpr int kMost = kVectors > 12 ? 1 : std::min(12, kSums / kVectors);

// What follows rows at a time where fewer are left.
constexpr int fewer(int rows) { return rows > 6 ? 6 : rows == 6 ? 4 : rows / 2; }

// Blocks that `rows` rows are swept over at a time.
constexpr int blocks_at_once(int rows) {
  return rows * kVectors * 4 <= kSums   ? 4
         : rows * kVectors * 2 <= kSums ? 2
                                        : 1;
}

#if HWY_TARGET == HWY_SCALAR
template <int pairs>
HWY_INLINE void sum_squares(const SideIndex::Impl& side, const float* z,
                            const int64_t* listed, double* sums) {
  for (int i = 0; i < 2 * pairs; ++i) {
    const float* const p = side.rows.get() + listed[i] * 2 * side.n;
    double sum = 0;
    for (int64_t k = 0; k < (side.tails ? 2 : 1) * side.n; ++k) {
      const double from = k < side.n ? static_cast<double>(z[k]) : 0.0;
      const double apart = from - static_cast<double>(p[k]);
      sum += apart * apart;
    }
    sums[i] = sum;
  }
}
#else
using Double = hn::FixedTag<double, 2>;
using Doubles = hn::Vec<Double>;

HWY_INLINE Doubles squares(Doubles from, Doubles p) {
  const Doubles apart = hn::Sub(from, p);
  return hn::Mul(apart, apart);
}

// The definition: squares of differences, summed in float64 in column order.
// Two patterns in a register, and `pairs` of them, so that no sum waits for
// itself; columns two at a time, then turned.
template <int pairs>
HWY_INLINE void sum_squares(const SideIndex::Impl& side, const float* z,
                            const int64_t* listed, double* sums) {
  const Double d;
  const hn::FixedTag<float, 2> f;
  const int64_t n = side.n;
  const float* p[2 * pairs];
  for (int i = 0; i < 2 * pairs; ++i) {
    p[i] = side.rows.get() + listed[i] * 2 * n;
  }
  Doubles sum[pairs];
  for (int i = 0; i < pairs; ++i) sum[i] = hn::Zero(d);
  // A second half of zeros adds exact zeros.
  for (int half = 0; half < (side.tails ? 2 : 1); ++half) {
    int64_t k = 0;
    for (; k + 2 <= n; k += 2) {
      const Doubles from = half == 0 ? hn::PromoteTo(d, hn::LoadU(f, z + k))
                                     : hn::Zero(d);
      for (int i = 0; i < pairs; ++i) {
        const Doubles a = squares(
            from, hn::PromoteTo(d, hn::LoadU(f, p[2 * i] + k)));
        const Doubles b = squares(
            from, hn::PromoteTo(d, hn::LoadU(f, p[2 * i + 1] + k)));
        sum[i] = hn::Add(sum[i], hn::InterleaveLower(d, a, b));
        sum[i] = hn::Add(sum[i], hn::InterleaveUpper(d, a, b));
      }
    }
    if (k < n) {
      const Doubles from = hn::Set(d, half == 0 ? z[k] : 0.0);
      for (int i = 0; i < pairs; ++i) {
        HWY_ALIGN const double column[2] = {p[2 * i][k], p[2 * i + 1][k]};
        sum[i] = hn::Add(sum[i], squares(from, hn::Load(d, column)));
      }
    }
    for (int i = 0; i < 2 * pairs; ++i) p[i] += n;
  }
  for (int i = 0; i < pairs; ++i) hn::StoreU(sum[i], d, sums + 2 * i);
}
#endif

// Moves found to the best of the patterns listed, [2 * pairs], ascending. No
// branch depends on which it is: that could not be foretold.
template <int pairs>
HWY_INLINE void settle(const SideIndex::Impl& side, const float* z,
                       const int64_t* listed, Found& found) {
  double sums[2 * pairs];
  sum_squares<pairs>(side, z, listed, sums);
  double least = sums[0];
  for (int i = 1; i < 2 * pairs; ++i) least = std::min(least, sums[i]);
  unsigned is = 0;
  for (int i = 0; i < 2 * pairs; ++i) {
    is |= static_cast<unsigned>(sums[i] == least) << i;
  }
  const int64_t index = listed[hwy::Num0BitsBelowLS1Bit_Nonzero32(is)];
  if (least < found.squared ||
      (least == found.squared && index < found.index)) {
    found = {least, index};
  }
}

// The patterns first, first + kLanes and so on, kVectors of them.
HWY_INLINE void settle_group(const SideIndex::Impl& side, const float* z,
                             int64_t first, Found& found) {
  constexpr int kAtOnce = std::min(8, std::max(2, kVectors));
  for (int from = 0; from < kVectors; from += kAtOnce) {
    int64_t listed[kAtOnce];
    // The first again where there are no more: it cannot win twice.
    for (int i = 0; i < kAtOnce; ++i) {
      const int64_t p = first + (from + i) * kLanes;
      listed[i] = from + i < kVectors && p < side.count ? p : first;
    }
    settle<kAtOnce / 2>(side, z, listed, found);
  }
}

HWY_INLINE float limit_of(double squared, double norm, int64_t n) {
  if (!(norm <= kFar) || !(squared <= kFar)) return kInfinity;
  return static_cast<float>(squared * kSumSlack - norm * (1 - row_slack(n)) +
                            kUnderflow);
}

// What the distance of the pattern with this v is at most.
HWY_INLINE double farthest(float v, double norm, int64_t n) {
  const double k1 = row_slack(n), k2 = pattern_slack(n);
  return (std::max(v + norm, 0.0) + (k1 + 4 * k2) * norm + kUnderflow) *
         (1 + 5 * k2);
}

// All patterns from first on, before end.
HWY_INLINE void settle_range(const SideIndex::Impl& side, const float* z,
                             int64_t first, int64_t end, Found& found) {
  constexpr int kAtOnce = 8;
  end = std::min(end, side.count);
  for (int64_t p = first; p < end; p += kAtOnce) {
    int64_t listed[kAtOnce];
    for (int i = 0; i < kAtOnce; ++i) listed[i] = p + i < end ? p + i : p;
    settle<kAtOnce / 2>(side, z, listed, found);
  }
}

// to: z less the side's centre, times -2, [n]. A row that is too far becomes
// zeros, so that nothing overflows.
HWY_INLINE void centre_row(const SideIndex::Impl& side, const float* z,
                           const Found& found, float* to,
                           MatchScratch::Impl::Row& row) {
  const float* const centre = side.centre.get();
  const int64_t n = side.n;
  double norm = 0;
  int64_t k = 0;
#if HWY_TARGET != HWY_SCALAR
  const Double d;
  const hn::FixedTag<float, 2> f;
  Doubles norms = hn::Zero(d);
  for (; k + 2 <= n; k += 2) {
    const auto apart = hn::Sub(hn::LoadU(f, z + k), hn::LoadU(f, centre + k));
    const Doubles wide = hn::PromoteTo(d, apart);
    norms = hn::MulAdd(wide, wide, norms);
    hn::StoreU(hn::Mul(apart, hn::Set(f, -2)), f, to + k);
  }
  norm = hn::GetLane(hn::SumOfLanes(d, norms));
#endif
  for (; k < n; ++k) {
    const float apart = z[k] - centre[k];
    norm += static_cast<double>(apart) * static_cast<double>(apart);
    to[k] = -2 * apart;
  }
  row = {norm, limit_of(found.squared, norm, n)};
  if (!(norm <= kFar)) std::fill_n(to, n, 0.0f);
}

// All rows of a tile, into scratch.z and scratch.rows.
HWY_INLINE void centre_rows(const Tile& tile, MatchScratch::Impl& scratch) {
  const int64_t n = tile.side.n;
  for (int64_t r = 0; r < tile.rows; ++r) {
    centre_row(tile.side, tile.z + r * n, tile.found[r],
               scratch.z.get() + r * n, scratch.rows[r]);
  }
}

HWY_INLINE uint64_t bits_of(hn::Mask<Lanes> mask) {
  uint8_t bits[8] = {};
  hn::StoreMaskBits(Lanes(), mask, bits);
  uint64_t all;
  std::memcpy(&all, bits, sizeof all);
  return all;
}

// The minima of blocks are looked through kTogether at a time, after every
// kBlocksAtOnce.
constexpr int64_t kTogether = 8, kBlocksAtOnce = 64;
constexpr int64_t together(int64_t blocks) {
  return (blocks + kTogether - 1) / kTogether * kTogether;
}

// What a sweep leaves of one row: [together(blocks)][kLanes], the least v of a
// block's patterns lane, lane + kLanes and so on. Which of them it is cannot be
// foretold, so that there is no branch before it is found.
struct Minima {
  float* of;
  int64_t first, blocks;  // the first pattern
  float least[kBlocksAtOnce / kTogether][kLanes];  // of kTogether blocks each

  HWY_INLINE float* at(int64_t b) { return of + b * kLanes; }

  // The least of all.
  HWY_INLINE float lowest() {
    const Lanes d;
    for (int64_t b = blocks; b < together(blocks); ++b) {
      hn::StoreU(hn::Set(d, kInfinity), d, at(b));
    }
    Vector all = hn::Set(d, kInfinity);
    for (int64_t b = 0; b < blocks; b += kTogether) {
      Vector some = hn::LoadU(d, at(b));
      for (int64_t i = 1; i < kTogether; ++i) {
        some = hn::Min(some, hn::LoadU(d, at(b + i)));
      }
      hn::StoreU(some, d, least[b / kTogether]);
      all = hn::Min(all, some);
    }
    return hn::GetLane(hn::MinOfLanes(d, all));
  }

  // How many places may hold a pattern within the limit.
  HWY_INLINE int64_t within(float limit) {
    const Lanes d;
    int64_t places = 0;
    for (int64_t b = 0; b < blocks; ++b) {
      places += static_cast<int64_t>(
          hn::CountTrue(d, hn::Le(hn::LoadU(d, at(b)), hn::Set(d, limit))));
    }
    return places;
  }

  // Takes out a place that may hold a pattern within the limit: its first
  // pattern, or -1. more: there may be others.
  HWY_INLINE int64_t take(float limit, bool& more) {
    const Lanes d;
    constexpr int64_t kWord = 64 / kLanes * kTogether;  // blocks of a word
    for (int64_t b = 0; b < blocks; b += kWord) {
      uint64_t word = 0;
      for (int64_t i = 0; i < kWord && b + i < blocks; i += kTogether) {
        const Vector some = hn::LoadU(d, least[(b + i) / kTogether]);
        word |= bits_of(hn::Le(some, hn::Set(d, limit)))
                << (i / kTogether * kLanes);
      }
      if (word == 0) continue;
      const int64_t bit = hwy::Num0BitsBelowLS1Bit_Nonzero64(word);
      const int64_t lane = bit % kLanes, from = b + bit / kLanes * kTogether;
      unsigned near = 0;
      for (int64_t i = 0; i < kTogether; ++i) {
        near |= static_cast<unsigned>(at(from + i)[lane] <= limit) << i;
      }
      const int64_t block = from + hwy::Num0BitsBelowLS1Bit_Nonzero32(near);
      at(block)[lane] = kInfinity;
      float rest = at(from)[lane];
      for (int64_t i = 1; i < kTogether; ++i) {
        rest = std::min(rest, at(from + i)[lane]);
      }
      least[from / kTogether][lane] = rest;
      more = (word & (word - 1)) != 0 || rest <= limit || b + kWord < blocks;
      return first + block * kBlock + lane;
    }
    return -1;
  }
};

// Decides some rows after a sweep: z: [rows, n]; mins: [rows], those of a
// Minima. Step by step for all of them, so that no row waits for itself.
template <int rows>
HWY_INLINE void decide(const SideIndex::Impl& side, const float* z,
                       int64_t first, float* mins, int64_t blocks,
                       MatchScratch::Impl::Row* row, Found* found) {
  const int64_t n = side.n;
  Minima minima[rows];
  float lowest[rows];
  int64_t pattern[rows];
  bool more[rows] = {};
  for (int r = 0; r < rows; ++r) {
    minima[r].of = mins + r * together(blocks) * kLanes;
    minima[r].first = first;
    minima[r].blocks = blocks;
    lowest[r] = minima[r].lowest();
  }
  for (int r = 0; r < rows; ++r) {
    const double norm = row[r].norm;
    row[r].limit = std::min(row[r].limit,
                            limit_of(farthest(lowest[r], norm, n), norm, n));
  }
  for (int r = 0; r < rows; ++r) {
    if (row[r].limit < kInfinity) {
      pattern[r] = minima[r].take(row[r].limit, more[r]);
    } else {
      settle_range(side, z + r * n, first, first + blocks * kBlock, found[r]);
      pattern[r] = -1;
    }
  }
  for (int r = 0; r < rows; ++r) {
    if (pattern[r] < 0) continue;
    settle_group(side, z + r * n, pattern[r], found[r]);
    row[r].limit = std::min(row[r].limit,
                            limit_of(found[r].squared, row[r].norm, n));
  }
  // What taking one place costs, in patterns of a long range.
  const int64_t cost = n <= kSmallWidth ? 16 : 3;
  for (int r = 0; r < rows; ++r) {
    if (!more[r]) continue;
    // Duplicates, or clusters too tight for float32.
    if (minima[r].within(row[r].limit) * cost > blocks * kBlock) {
      settle_range(side, z + r * n, first, first + blocks * kBlock, found[r]);
      row[r].limit = std::min(row[r].limit,
                              limit_of(found[r].squared, row[r].norm, n));
      continue;
    }
    while (more[r] &&
           (pattern[r] = minima[r].take(row[r].limit, more[r])) >= 0) {
      settle_group(side, z + r * n, pattern[r], found[r]);
      row[r].limit = std::min(row[r].limit,
                              limit_of(found[r].squared, row[r].norm, n));
    }
  }
}

// acc[r][v] becomes N, then takes in columns [from, to). blocks: `at_once`
// blocks of [n + 1][kBlock]; z: column k of row r at z[k * step + r * stride].
template <int rows, int at_once>
struct Sums {
  static constexpr int kWide = at_once * kVectors;
  Vector of[rows][kWide];

  HWY_INLINE void norms(const float* blocks, int64_t n) {
    const Lanes d;
    for (int v = 0; v < kWide; ++v) {
      const Vector norm = hn::Load(d, at(blocks, n, v));
      for (int r = 0; r < rows; ++r) of[r][v] = norm;
    }
  }

  // mins: [rows][together(blocks)][kLanes], from the first of these blocks on.
  HWY_INLINE void store_minima(float* mins, int64_t blocks) const {
    const Lanes d;
    for (int r = 0; r < rows; ++r) {
      for (int b = 0; b < at_once; ++b) {
        Vector least = of[r][b * kVectors];
        for (int v = 1; v < kVectors; ++v) {
          least = hn::Min(least, of[r][b * kVectors + v]);
        }
        hn::Store(least, d, mins + (r * together(blocks) + b) * kLanes);
      }
    }
  }

  HWY_INLINE void column(const float* blocks, int64_t n, int64_t k,
                         const float* z, int64_t stride) {
    const Lanes d;
    Vector p[kWide];
    for (int v = 0; v < kWide; ++v) {
      p[v] = hn::Load(d, at(blocks, n, v) + (k + 1) * kBlock);
    }
    for (int r = 0; r < rows; ++r) {
      const Vector x = hn::Set(d, z[r * stride]);
      for (int v = 0; v < kWide; ++v) {
        of[r][v] = hn::MulAdd(x, p[v], of[r][v]);
      }
    }
  }

  static HWY_INLINE const float* at(const float* blocks, int64_t n, int v) {
    return blocks + v / kVectors * (n + 1) * kBlock + v % kVectors * kLanes;
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace fdqc
HWY_AFTER_NAMESPACE();

#endif
