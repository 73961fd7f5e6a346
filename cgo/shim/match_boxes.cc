// Narrow workspaces where patterns lie beside their neighbours: a row is
// compared with the blocks whose boxes are not too far.
#include "match_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "match_boxes.cc"
#include <hwy/foreach_target.h>  // before highway.h
//
#include "match-inl.h"
#include "side_boxes.h"

HWY_BEFORE_NAMESPACE();
namespace fdqc {
namespace HWY_NAMESPACE {

using Ints = hn::RebindToSigned<Lanes>;

// Rows taken at a time, so that no step waits for the one before it; blocks
// that a row is compared with at a time, for the same reason.
constexpr int kRows = 4, kAtOnce = 2;
// A sweep over several rows at a time is faster where a row is compared with
// more than this part of the blocks, in 64ths.
constexpr int64_t kPays = 48;

// Where a block lies in SideBoxes::derived().
constexpr int32_t block_size(int64_t n) {
  return static_cast<int32_t>((n + 2) * kBlock);
}

// The squared distance of each row to each box, and two blocks whose boxes are
// near: the nearest, and the nearest in another lane. z: [rows, n]; bounds:
// [rows, step]. width is n, or 0 where the compiler does not know it.
template <int width, int rows>
HWY_INLINE void bound(const SideBoxes& boxes, int64_t columns, const float* z,
                      float* bounds, int64_t step,
                      int32_t (&nearest)[rows][kAtOnce]) {
  const Lanes d;
  const Ints di;
  const int64_t n = width > 0 ? width : columns;
  // Registers of a group of kBlock boxes that are taken at a time.
  constexpr int kWide = std::min(2, kVectors);
  const auto ahead = hn::Set(di, block_size(n) * kLanes);
  auto offsets = hn::Mul(hn::Iota(di, 0), hn::Set(di, block_size(n)));
  Vector least[rows];
  hn::Vec<Ints> at[rows];
  for (int r = 0; r < rows; ++r) {
    least[r] = hn::Set(d, kInfinity);
    at[r] = offsets;
  }
  for (int64_t b = 0; b < boxes.blocks(); b += kWide * kLanes) {
    const float* box =
        boxes.boxes() + b / kBlock * 2 * n * kBlock + b % kBlock;
    Vector sum[rows][kWide];
    for (auto& of : sum) {
      for (Vector& one : of) one = hn::Zero(d);
    }
    for (int64_t k = 0; k < n; ++k, box += 2 * kBlock) {
      for (int r = 0; r < rows; ++r) {
        const Vector x = hn::Set(d, z[r * n + k]);
        for (int w = 0; w < kWide; ++w) {
          const Vector low = hn::Load(d, box + w * kLanes);
          const Vector high = hn::Load(d, box + kBlock + w * kLanes);
          const Vector apart = hn::Sub(x, hn::Min(hn::Max(x, low), high));
          sum[r][w] = hn::MulAdd(apart, apart, sum[r][w]);
        }
      }
    }
    for (int w = 0; w < kWide; ++w) {
      for (int r = 0; r < rows; ++r) {
        const Vector one = sum[r][w];
        hn::Store(one, d, bounds + r * step + b + w * kLanes);
        const auto nearer = hn::RebindMask(di, hn::Lt(one, least[r]));
        at[r] = hn::IfThenElse(nearer, offsets, at[r]);
        least[r] = hn::Min(least[r], one);
      }
      offsets = hn::Add(offsets, ahead);
    }
  }
  for (int r = 0; r < rows; ++r) {
    HWY_ALIGN int32_t all[kLanes];
    hn::Store(at[r], di, all);
    for (int32_t& block : nearest[r]) {
      const auto is = hn::Eq(least[r], hn::MinOfLanes(d, least[r]));
      block = all[hn::FindKnownFirstTrue(d, is)];
      least[r] = hn::IfThenElse(is, hn::Set(d, kInfinity), least[r]);
    }
  }
}

// Lists the blocks whose boxes are not too far; to has room for kBlock more.
// Highway's Compress would do it where the processor is quick at it, which not
// all with AVX2 are.
HWY_INLINE int64_t list(const float* bounds, int64_t blocks, int64_t n,
                        float limit, int32_t* to) {
  const Lanes d;
  const Vector most = hn::Set(d, limit);
  const int32_t size = block_size(n);
  int64_t count = 0;
  for (int64_t from = 0; from < blocks; from += 64) {
    const int64_t end = std::min(from + 64, blocks);
    uint64_t word = 0;
    for (int64_t b = from; b < end; b += kLanes) {
      const auto near = hn::Le(hn::Load(d, bounds + b), most);
      word |= bits_of(near) << (b - from);
    }
    const auto more = static_cast<int64_t>(hwy::PopCount(word));
    // Some at a time, so that their number is easier to foretell.
    for (int64_t i = 0; i < more; i += 4) {
      for (int64_t k = 0; k < 4; ++k) {
        const auto bit = static_cast<int64_t>(
            hwy::Num0BitsBelowLS1Bit_Nonzero64(word | uint64_t{1} << 63));
        to[count + i + k] = static_cast<int32_t>(from + bit) * size;
        word &= word - 1;
      }
    }
    count += more;
  }
  return count;
}

// The least v of a block's patterns lane, lane + kLanes and so on.
HWY_INLINE Vector least_of(const Vector (&sums)[kVectors]) {
  Vector least = sums[0];
  for (int v = 1; v < kVectors; ++v) least = hn::Min(least, sums[v]);
  return least;
}

// The minima of many blocks, lane by lane.
struct Best {
  Vector least, second;  // of all, and of the others
  hn::Vec<Ints> at;      // the block of the least

  HWY_INLINE void clear() {
    least = second = hn::Set(Lanes(), kInfinity);
    at = hn::Zero(Ints());
  }
  HWY_INLINE void take(Vector one, int32_t block) {
    const Ints di;
    const auto less = hn::RebindMask(di, hn::Lt(one, least));
    second = hn::Min(second, hn::Max(one, least));
    at = hn::IfThenElse(less, hn::Set(di, block), at);
    least = hn::Min(least, one);
  }
};

// z: [n], centred; listed: a multiple of kAtOnce.
template <int width>
HWY_INLINE Best compare(const SideBoxes& boxes, int64_t columns,
                        const int32_t* listed, int64_t count, const float* z) {
  const Lanes d;
  const int64_t n = width > 0 ? width : columns;
  Best best;
  best.clear();
  Vector x[width > 0 ? width : 1];
  for (int k = 0; k < width; ++k) x[k] = hn::Set(d, z[k]);
  for (int64_t i = 0; i < count; i += kAtOnce) {
    const float* p[kAtOnce];
    Vector sum[kAtOnce][kVectors];
    for (int b = 0; b < kAtOnce; ++b) {
      p[b] = boxes.derived() + listed[i + b];
      for (int v = 0; v < kVectors; ++v) {
        sum[b][v] = hn::Load(d, p[b] + v * kLanes);
      }
    }
    for (int64_t k = 0; k < n; ++k) {
      const Vector to = width > 0 ? x[k] : hn::Set(d, z[k]);
      for (int b = 0; b < kAtOnce; ++b) {
        for (int v = 0; v < kVectors; ++v) {
          const Vector of = hn::Load(d, p[b] + (k + 1) * kBlock + v * kLanes);
          sum[b][v] = hn::MulAdd(to, of, sum[b][v]);
        }
      }
    }
    for (int b = 0; b < kAtOnce; ++b) best.take(least_of(sum[b]), listed[i + b]);
  }
  return best;
}

// The patterns at `many` places of a block, `step` apart.
template <int many>
HWY_INLINE void settle_places(const SideIndex::Impl& side, const float* z,
                              const float* block, int64_t first, int64_t step,
                              Found& found) {
  int32_t rows[kBlock];
  std::memcpy(rows, block + (side.n + 1) * kBlock, sizeof rows);
  int64_t listed[many], some = -1;
  for (int i = many - 1; i >= 0; --i) {
    listed[i] = rows[first + i * step];
    some = listed[i] >= 0 ? listed[i] : some;
  }
  if (some < 0) return;
  // The first again where there is none: it cannot win twice.
  for (int64_t& row : listed) row = row >= 0 ? row : some;
  settle<many / 2>(side, z, listed, found);
}

// The patterns lane, lane + kLanes and so on of a block.
HWY_INLINE void settle_lane(const SideIndex::Impl& side, const float* z,
                            const float* block, int64_t lane, Found& found) {
  constexpr int kMany = std::max(2, std::min(8, kVectors));
  // One place where a register holds a block: it is taken twice.
  constexpr int64_t kStep = kVectors == 1 ? 0 : kLanes;
  for (int v = 0; v < kVectors; v += kMany) {
    settle_places<kMany>(side, z, block, lane + v * kLanes, kStep, found);
  }
}

HWY_INLINE void settle_block(const SideIndex::Impl& side, const float* z,
                             const float* block, Found& found) {
  for (int64_t from = 0; from < kBlock; from += 8) {
    settle_places<8>(side, z, block, from, 1, found);
  }
}

// One row where float32 does not tell which pattern is the nearest.
void settle_listed(const Tile& tile, const float* z, const float* centred,
                   const int32_t* listed, int64_t count,
                   MatchScratch::Impl::Row& row, Found& found) {
  const Lanes d;
  const int64_t n = tile.side.n;
  for (int64_t i = 0; i < count; ++i) {
    const float* const p = tile.side.boxes->derived() + listed[i];
    Vector sum[kVectors];
    for (int v = 0; v < kVectors; ++v) sum[v] = hn::Load(d, p + v * kLanes);
    for (int64_t k = 0; k < n; ++k) {
      for (int v = 0; v < kVectors; ++v) {
        const Vector of = hn::Load(d, p + (k + 1) * kBlock + v * kLanes);
        sum[v] = hn::MulAdd(hn::Set(d, centred[k]), of, sum[v]);
      }
    }
    uint64_t near = bits_of(hn::Le(least_of(sum), hn::Set(d, row.limit)));
    if (near == 0) continue;
    // Four lanes cost what a block does.
    if (hwy::PopCount(near) >= 4) {
      settle_block(tile.side, z, p, found);
    } else {
      for (; near != 0; near &= near - 1) {
        const auto lane = hwy::Num0BitsBelowLS1Bit_Nonzero64(near);
        settle_lane(tile.side, z, p, static_cast<int64_t>(lane), found);
      }
    }
    row.limit = std::min(row.limit, limit_of(found.squared, row.norm, n));
  }
}

HWY_INLINE float box_limit(double squared, int64_t n) {
  if (!(squared <= kFar)) return kInfinity;
  return static_cast<float>(squared * (1 + slack(static_cast<double>(n + 8))) +
                            kUnderflow);
}

// Rows [from, from + rows) of the tile; how many blocks they were compared
// with.
template <int width, int rows>
int64_t match(const Tile& tile, int64_t from, MatchScratch::Impl& scratch) {
  const Lanes d;
  const SideBoxes& boxes = *tile.side.boxes;
  const int64_t n = tile.side.n, blocks = boxes.blocks();
  const int64_t step = box_room(blocks);
  float* const bounds = scratch.bounds.get();
  int32_t* const listed = scratch.listed.get();
  const float* const z = tile.z + from * n;
  const float* const centred = scratch.z.get() + from * n;
  MatchScratch::Impl::Row* const row = &scratch.rows[from];
  Found* const found = tile.found + from;

  int32_t nearest[rows][kAtOnce];
  bound<width, rows>(boxes, n, z, bounds, step, nearest);
  int64_t visited = 0, counts[rows];
  float least[rows];
  for (int r = 0; r < rows; ++r) {
    const Best best =
        compare<width>(boxes, n, nearest[r], kAtOnce, centred + r * n);
    least[r] = hn::GetLane(hn::MinOfLanes(d, best.least));
  }
  for (int r = 0; r < rows; ++r) {
    // A row that is too far for float32 is compared with every pattern.
    const float limit =
        row[r].norm <= kFar ? box_limit(farthest(least[r], row[r].norm, n), n)
                            : kInfinity;
    counts[r] = list(bounds + r * step, blocks, n, limit, listed + r * step);
    visited += counts[r];
  }
  Best best[rows];
  for (int r = 0; r < rows; ++r) {
    int32_t* const mine = listed + r * step;
    mine[counts[r]] = boxes.none(n);
    best[r] = compare<width>(boxes, n, mine,
                             (counts[r] + kAtOnce - 1) / kAtOnce * kAtOnce,
                             centred + r * n);
  }
  for (int r = 0; r < rows; ++r) {
    least[r] = hn::GetLane(hn::MinOfLanes(d, best[r].least));
    const double most = farthest(least[r], row[r].norm, n);
    row[r].limit = std::min(row[r].limit, limit_of(most, row[r].norm, n));
  }
  for (int r = 0; r < rows; ++r) {
    const auto limit = hn::Set(d, row[r].limit);
    const uint64_t near = bits_of(hn::Le(best[r].least, limit));
    const bool sure = (near & (near - 1)) == 0 &&
                      hn::AllFalse(d, hn::Le(best[r].second, limit));
    if (!sure) {
      settle_listed(tile, z + r * n, centred + r * n, listed + r * step,
                    counts[r], row[r], found[r]);
    } else if (near != 0) {
      HWY_ALIGN int32_t at[kLanes];
      hn::Store(best[r].at, Ints(), at);
      const auto lane = hwy::Num0BitsBelowLS1Bit_Nonzero64(near);
      settle_lane(tile.side, z + r * n, boxes.derived() + at[lane],
                  static_cast<int64_t>(lane), found[r]);
    }
  }
  return visited;
}

template <int width>
int64_t match_width(const Tile& tile, MatchScratch::Impl& scratch) {
  int64_t done = 0;
  for (; done + kRows <= tile.rows; done += kRows) {
    if (match<width, kRows>(tile, done, scratch) * 64 >
        tile.side.boxes->blocks() * kRows * kPays) {
      return done + kRows;
    }
  }
  for (; done < tile.rows; ++done) match<width, 1>(tile, done, scratch);
  return done;
}

int64_t match_boxes(const Tile& tile, MatchScratch::Impl& scratch) {
  const int64_t room = kRows * box_room(tile.side.boxes->blocks());
  if (scratch.bounds.size() < room) {
    scratch.listed = std::make_unique<int32_t[]>(room);
    scratch.bounds = AlignedFloats(room);
  }
  centre_rows(tile, scratch);
  switch (tile.side.n) {
    case 8: return match_width<8>(tile, scratch);
    case 16: return match_width<16>(tile, scratch);
    default: return match_width<0>(tile, scratch);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace fdqc
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fdqc {

HWY_EXPORT(match_boxes);

int64_t match_boxes(const Tile& tile, MatchScratch::Impl& scratch) {
  return HWY_DYNAMIC_DISPATCH(match_boxes)(tile, scratch);
}

}  // namespace fdqc
#endif
