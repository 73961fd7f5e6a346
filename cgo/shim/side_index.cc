#include "side_index.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

#include "match_kernels.h"
#include "side_boxes.h"
#include "side_tree.h"

namespace fdqc {

namespace {

// Rows that the centre is the median of: so few that an outlier does not move
// it and that it costs little beside what follows.
constexpr int64_t kSample = 63;
// Floats of a tile's rows: they and the sums stay in the second cache.
constexpr int64_t kTileFloats = 48 * 1024;
constexpr int64_t kTileRows = 240;  // a multiple of what a sweep takes

}  // namespace

AlignedFloats::AlignedFloats(int64_t count) : size_(count) {
  constexpr size_t kLine = 64, kHugePage = size_t{2} << 20;
  const size_t bytes = static_cast<size_t>(count) * sizeof(float);
  const size_t align = bytes >= kHugePage ? kHugePage : kLine;
  const size_t whole = (bytes + align - 1) / align * align;
  if (count == 0) return;
  at_.reset(static_cast<float*>(std::aligned_alloc(align, whole)));
  if (at_ == nullptr) throw std::bad_alloc();
  // Advice: without huge pages it is only slower.
  if (align == kHugePage) madvise(at_.get(), whole, MADV_HUGEPAGE);
  std::memset(at_.get(), 0, bytes);
}

void AlignedFloats::Free::operator()(float* at) const { std::free(at); }

namespace {

float* column_of(const SideIndex::Impl& side, int64_t index) {
  return side.blocks.get() + index / kBlock * (side.n + 1) * kBlock +
         index % kBlock;
}

// What matching derives from one row.
void derive(SideIndex::Impl& side, int64_t index) {
  const int64_t n = side.n;
  const float* const row = side.rows.get() + index * 2 * n;
  const float* const centre = side.centre.get();
  float* const to = column_of(side, index);
  double norm = 0, tail = 0;
  for (int64_t k = 0; k < n; ++k) {
    const float apart = row[k] - centre[k];
    norm += static_cast<double>(apart) * static_cast<double>(apart);
    to[(k + 1) * kBlock] = apart;
  }
  for (int64_t k = n; k < 2 * n; ++k) {
    tail += static_cast<double>(row[k]) * static_cast<double>(row[k]);
  }
  if (tail != 0) side.tails = true;
  norm += tail;
  if (norm < kHuge) {
    to[0] = static_cast<float>(norm * (1 - pattern_slack(n)));
    return;
  }
  to[0] = kInfinity;
  for (int64_t k = 0; k < n; ++k) to[(k + 1) * kBlock] = 0;
}

// No pattern from index on to the end of its strip.
void clear_strip(SideIndex::Impl& side, int64_t index) {
  for (; index % kStrip != 0; ++index) *column_of(side, index) = kInfinity;
}

// Chooses the centre again and derives everything from it. The centre is only
// conditioning: bounds hold whatever it is, but are wide when it is far away.
void recentre(SideIndex::Impl& side) {
  const int64_t sample = std::min(side.count, kSample);
  for (int64_t k = 0; k < side.n; ++k) {
    float column[kSample];
    for (int64_t i = 0; i < sample; ++i) {
      column[i] =
          side.rows.get()[i * side.count / sample * 2 * side.n + k];
    }
    std::nth_element(column, column + sample / 2, column + sample);
    side.centre.get()[k] = column[sample / 2];
  }
  side.tails = false;
  for (int64_t i = 0; i < side.count; ++i) derive(side, i);
  side.centred = side.count;
  side.fresh = 0;
}

}  // namespace

SideIndex::SideIndex(int64_t n) : impl_(std::make_unique<Impl>()) {
  impl_->n = n;
  impl_->centre = AlignedFloats(n);
  impl_->boxes = std::make_unique<SideBoxes>();
  impl_->tree = std::make_unique<SideTree>();
}
SideIndex::~SideIndex() = default;

int64_t SideIndex::n() const { return impl_->n; }
int64_t SideIndex::count() const { return impl_->count; }
const float* SideIndex::row(int64_t index) const {
  return impl_->rows.get() + index * 2 * impl_->n;
}

void SideIndex::reserve(int64_t count) {
  Impl& side = *impl_;
  if (count <= side.room) return;
  const int64_t least = std::max(count, 2 * side.room);
  const int64_t room = (least + kStrip - 1) / kStrip * kStrip;
  AlignedFloats rows(room * 2 * side.n), blocks(room * (side.n + 1));
  if (side.room > 0) {
    std::copy_n(side.rows.get(), side.count * 2 * side.n, rows.get());
    std::copy_n(side.blocks.get(), side.room * (side.n + 1), blocks.get());
  }
  side.rows = std::move(rows);
  side.blocks = std::move(blocks);
  side.room = room;
}

void SideIndex::put(int64_t index, const float* row) noexcept {
  Impl& side = *impl_;
  std::copy_n(row, 2 * side.n, side.rows.get() + index * 2 * side.n);
  if (index == side.count) {
    if (index % kStrip == 0) {
      *column_of(side, index) = kInfinity;
      clear_strip(side, index + 1);
    }
    ++side.count;
  }
  // As often as the number of rows doubles or all are others: what that costs
  // is O(n) a row.
  if (++side.fresh > side.centred) {
    recentre(side);
    side.boxes->clear();
  } else {
    derive(side, index);
    side.boxes->put(side, index);
  }
  side.tree->put(index, row, side.n);
}

void SideIndex::assign(const float* rows, int64_t count) {
  reserve(count);
  Impl& side = *impl_;
  std::copy_n(rows, count * 2 * side.n, side.rows.get());
  side.count = count;
  if (count > 0) recentre(side);
  clear_strip(side, count);
  side.boxes->clear();
  side.tree->clear();
}

void SideIndex::truncate(int64_t count) noexcept {
  Impl& side = *impl_;
  side.count = count;
  side.centred = std::min(side.centred, count);
  clear_strip(side, count);
  side.boxes->truncate(side, count);
  side.tree->truncate(count);
}

void SideIndex::refresh() noexcept {
  impl_->boxes->refresh(*impl_);
  impl_->tree->refresh(*impl_);
}

MatchScratch::MatchScratch() : impl_(std::make_unique<Impl>()) {}
MatchScratch::~MatchScratch() = default;

namespace {

// How many rows a tile has, and room for them.
int64_t tile_rows(MatchScratch::Impl& scratch, int64_t n, int64_t rows) {
  // What a kernel keeps of a row: the minima of at most 64 blocks, and the
  // sums of up to four.
  constexpr int64_t kMins = 64 * kBlock, kSums = 4 * kBlock;
  const int64_t fit = std::max<int64_t>(kTileFloats / n / 24 * 24, 24);
  rows = std::min({fit, kTileRows, rows});
  const auto grow = [](AlignedFloats& floats, int64_t size) {
    if (floats.size() < size) floats = AlignedFloats(size);
  };
  grow(scratch.z, (rows + 1) * n);
  grow(scratch.mins, rows * kMins);
  grow(scratch.sums, rows * kSums);
  if (scratch.room < rows) {
    scratch.rows = std::make_unique<MatchScratch::Impl::Row[]>(rows);
    scratch.room = rows;
  }
  return rows;
}

}  // namespace

void match_range(const SideIndex& side, int64_t first, int64_t last,
                 const float* z, int64_t rows, Found* found,
                 MatchScratch& scratch) {
  if (first >= last) return;
  const SideIndex::Impl& of = side.impl();
  const int64_t block = first / kStrip * (kStrip / kBlock);
  const int64_t blocks = (last + kBlock - 1) / kBlock - block;
  const int64_t most = tile_rows(scratch.impl(), of.n, rows);
  for (int64_t i = 0; i < rows; i += most) {
    const Tile tile{of,       block, blocks, z + i * of.n,
                    std::min(most, rows - i), found + i};
    if (of.n <= kSmallWidth) {
      match_small(tile, scratch.impl());
    } else {
      match_wide(tile, scratch.impl());
    }
  }
}

namespace {

void nearest_of(const SideIndex& side, const float* z, int64_t rows,
                Found* found, MatchScratch& scratch) {
  std::fill_n(found, rows,
              Found{std::numeric_limits<double>::infinity(), -1});
  const SideTree& tree = *side.impl().tree;
  const SideBoxes& boxes = *side.impl().boxes;
  if (boxes.ready() && tree.covered() == 0) {
    const int64_t n = side.n(), most = tile_rows(scratch.impl(), n, rows);
    for (int64_t i = 0; i < rows;) {
      const int64_t some = std::min(most, rows - i);
      const Tile tile{side.impl(), 0, 0, z + i * n, some, found + i};
      const int64_t done = match_boxes(tile, scratch.impl());
      if (done < some) {
        match_range(side, 0, side.count(), z + (i + done) * n, some - done,
                    found + i + done, scratch);
      }
      i += some;
    }
    return;
  }
  match_range(side, tree.covered(), side.count(), z, rows, found, scratch);
  if (tree.covered() == 0) return;
  tree.match(z, side.n(), rows, found, scratch.impl());
}

}  // namespace

void nearest(const SideIndex& safe_side, const SideIndex& unsafe_side,
             const float* z, int64_t rows, Found* safe, Found* unsafe,
             MatchScratch& scratch) {
  nearest_of(safe_side, z, rows, safe, scratch);
  nearest_of(unsafe_side, z, rows, unsafe, scratch);
}

}  // namespace fdqc
