// Narrow workspaces: all columns of a row are taken in at once.
#include "match_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "match_small.cc"
#include <hwy/foreach_target.h>  // before highway.h
//
#include "match-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fdqc {
namespace HWY_NAMESPACE {

// A pointer that the compiler cannot know: it would keep the rows spread over
// registers' width in memory, to load them again at four times the cost.
HWY_INLINE const float* again(const float* at) {
  asm("" : "+r"(at));
  return at;
}

// width is n, or 0 where the compiler does not know it.
// z: [rows, n]; mins: [rows][together(blocks)][kLanes].
template <int width, int rows>
void sweep(const SideIndex::Impl& side, int64_t block, int64_t blocks,
           const float* z, float* mins) {
  const int64_t n = width > 0 ? width : side.n;
  constexpr int kAtOnce = blocks_at_once(rows);
  const float* p = side.blocks.get() + block * (n + 1) * kBlock;
  for (int64_t b = 0; b < blocks; b += kAtOnce) {
    const float* const from = rows > 1 ? again(z) : z;
    Sums<rows, kAtOnce> sums;
    sums.norms(p, n);
    for (int64_t k = 0; k < n; ++k) sums.column(p, n, k, from + k, n);
    sums.store_minima(mins + b * kLanes, blocks);
    p += kAtOnce * (n + 1) * kBlock;
  }
}

// Sweeps and decides `rows` rows at a time, then the rest with fewer.
template <int width, int rows>
void match(const Tile& tile, int64_t block, int64_t blocks, int64_t from,
           MatchScratch::Impl& scratch) {
  const int64_t n = tile.side.n;
  for (; from + rows <= tile.rows; from += rows) {
    sweep<width, rows>(tile.side, block, blocks, scratch.z.get() + from * n,
                       scratch.mins.get());
    decide<rows>(tile.side, tile.z + from * n, block * kBlock,
                 scratch.mins.get(), blocks, &scratch.rows[from],
                 tile.found + from);
  }
  if constexpr (rows > 1) {
    if (from < tile.rows) {
      match<width, fewer(rows)>(tile, block, blocks, from, scratch);
    }
  }
}

template <int width>
void match_width(const Tile& tile, MatchScratch::Impl& scratch) {
  for (int64_t b = 0; b < tile.blocks; b += kBlocksAtOnce) {
    match<width, kMost>(tile, tile.block + b,
                        std::min(kBlocksAtOnce, tile.blocks - b), 0, scratch);
  }
}

void match_small(const Tile& tile, MatchScratch::Impl& scratch) {
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

HWY_EXPORT(match_small);

void match_small(const Tile& tile, MatchScratch::Impl& scratch) {
  HWY_DYNAMIC_DISPATCH(match_small)(tile, scratch);
}

}  // namespace fdqc
#endif
