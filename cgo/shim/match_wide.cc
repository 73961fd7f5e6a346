// Wide workspaces: a matrix product whose minima are taken in registers.
#include "match_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "match_wide.cc"
#include <hwy/foreach_target.h>  // before highway.h
//
#include "match-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fdqc {
namespace HWY_NAMESPACE {

// Columns of a step: those of one block stay in the first cache while the
// rows of the tile pass by.
constexpr int64_t kColumns = 192;
// z: groups of [n][rows]; sums: [groups * rows][blocks at once][kBlock];
// mins: [groups * rows][together(blocks)][kLanes].
template <int rows>
void sweep(const SideIndex::Impl& side, int64_t block, int64_t blocks,
           const float* z, int64_t groups, float* sums_of, float* mins) {
  const Lanes d;
  constexpr int kAtOnce = blocks_at_once(rows);
  using S = Sums<rows, kAtOnce>;
  const int64_t n = side.n, size = (n + 1) * kBlock;
  for (int64_t b = 0; b < blocks; b += kAtOnce) {
    const float* const p = side.blocks.get() + (block + b) * size;
    for (int64_t k0 = 0; k0 < n; k0 += kColumns) {
      const int64_t k1 = std::min(k0 + kColumns, n);
      for (int64_t g = 0; g < groups; ++g) {
        S sums;
        float* const kept = sums_of + g * rows * kAtOnce * kBlock;
        if (k0 == 0) {
          sums.norms(p, n);
        } else {
          for (int r = 0; r < rows; ++r) {
            for (int v = 0; v < S::kWide; ++v) {
              sums.of[r][v] = hn::Load(d, kept + (r * S::kWide + v) * kLanes);
            }
          }
        }
        const float* const zs = z + g * rows * n;
        for (int64_t k = k0; k < k1; ++k) {
          sums.column(p, n, k, zs + k * rows, 1);
        }
        if (k1 < n) {
          for (int r = 0; r < rows; ++r) {
            for (int v = 0; v < S::kWide; ++v) {
              hn::Store(sums.of[r][v], d, kept + (r * S::kWide + v) * kLanes);
            }
          }
          continue;
        }
        sums.store_minima(
            mins + (g * rows * together(blocks) + b) * kLanes, blocks);
      }
    }
  }
}

// Rows [from, tile.rows) in groups of `rows`, then the rest in smaller ones.
template <int rows>
void match(const Tile& tile, int64_t from, MatchScratch::Impl& scratch) {
  const int64_t n = tile.side.n, groups = (tile.rows - from) / rows;
  const int64_t some = groups * rows;
  float* const z = scratch.z.get() + (from + 1) * n;  // one row is in between
  for (int64_t i = 0; i < some; ++i) {
    float* const row = scratch.z.get();
    centre_row(tile.side, tile.z + (from + i) * n, tile.found[from + i], row,
               scratch.rows[from + i]);
    float* const to = z + i / rows * rows * n + i % rows;
    for (int64_t k = 0; k < n; ++k) to[k * rows] = row[k];
  }
  for (int64_t b = 0; b < tile.blocks && some > 0; b += kBlocksAtOnce) {
    const int64_t block = tile.block + b;
    const int64_t blocks = std::min(kBlocksAtOnce, tile.blocks - b);
    sweep<rows>(tile.side, block, blocks, z, groups, scratch.sums.get(),
                scratch.mins.get());
    for (int64_t i = from; i < from + some; i += rows) {
      decide<rows>(
          tile.side, tile.z + i * n, block * kBlock,
          scratch.mins.get() + (i - from) * together(blocks) * kLanes, blocks,
          &scratch.rows[i], tile.found + i);
    }
  }
  if constexpr (rows > 1) {
    if (from + some < tile.rows) match<fewer(rows)>(tile, from + some, scratch);
  }
}

void match_wide(const Tile& tile, MatchScratch::Impl& scratch) {
  match<kMost>(tile, 0, scratch);
}

}  // namespace HWY_NAMESPACE
}  // namespace fdqc
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fdqc {

HWY_EXPORT(match_wide);

void match_wide(const Tile& tile, MatchScratch::Impl& scratch) {
  HWY_DYNAMIC_DISPATCH(match_wide)(tile, scratch);
}

}  // namespace fdqc
#endif
