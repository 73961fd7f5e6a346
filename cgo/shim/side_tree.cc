#include "side_tree.h"

#include <sys/resource.h>

#include <algorithm>
#include <limits>
#include <utility>

namespace fdqc {
namespace {

// Patterns that the sweep compares a row with while a search takes one step:
// bench/tree_bench prints it. Measured (AVX2, Zen 1) where a search takes many
// steps and a tree must prove itself: 70 to 120 while the patterns stay in the
// last cache, 160 to 270 from about 8 MiB on.
int64_t step_patterns(int64_t count, int64_t columns) {
  constexpr int64_t kCached = (8 << 20) / int64_t{sizeof(float)};
  return count * columns < kCached ? 128 : 256;
}
// Rows that a tree is tried with before it is taken into use.
constexpr int64_t kSamples = 64;
// What may have changed before a tree is built again: as many rows as a search
// looks at anyway, and a part of all, so that building costs O(log count) a
// row put.
constexpr int64_t kChanged = 512, kChangedPart = 64;

int64_t changes_allowed(int64_t rows) {
  return std::max(kChanged, rows / kChangedPart);
}

// One builder in the process.
std::atomic<bool> building{false};

// Whether searches among the tree's own patterns, each without itself, take
// less time than a sweep.
bool pays(Tree& tree, const std::vector<int32_t>& place, const float* rows,
          const std::atomic<bool>& cancel) {
  const int64_t count = static_cast<int64_t>(place.size());
  const int64_t columns = tree.leaves.columns();
  const Leaves none(columns, 0);
  TreeWork work;
  for (int64_t i = 0; i < kSamples && !cancel.load(); ++i) {
    const int64_t row = i * count / kSamples;
    const float* const at = rows + row * columns;
    Found found{std::numeric_limits<double>::infinity(), -1};
    tree.leaves.clear(place[row]);
    const TreeWork one = search(tree, none, at, 1, &found);
    tree.leaves.fill(place[row], static_cast<int32_t>(row), at);
    work.leaves += one.leaves;
    work.nodes += one.nodes;
  }
  return (work.leaves + work.nodes) * step_patterns(count, columns) <
         kSamples * count;
}

}  // namespace

SideTree::Use::Use(std::unique_ptr<Tree> from, int64_t rows)
    : tree(std::move(from)),
      more(tree->leaves.columns(), 2 * changes_allowed(rows)),
      covered(rows),
      place(rows) {
  for (int64_t i = 0; i < rows; ++i) {
    place[tree->leaves.rows()[i]] = static_cast<int32_t>(i);
  }
}

// Row index is another now; false where there is no place for it.
bool SideTree::Use::move(int64_t index, const float* row, int64_t n) noexcept {
  const int64_t columns = tree->leaves.columns();
  for (int64_t k = columns; k < 2 * n; ++k) {
    if (row[k] != 0) return false;
  }
  int32_t& at = place[index];
  if (at >= 0) {
    if (put == more.places()) return false;
    tree->leaves.clear(at);
    at = ~static_cast<int32_t>(put++);
  }
  more.fill(~at, static_cast<int32_t>(index), row);
  return true;
}

void SideTree::Use::drop(int64_t count) noexcept {
  for (; covered > count; --covered, ++dropped) {
    const int32_t at = place[covered - 1];
    if (at >= 0) {
      tree->leaves.clear(at);
    } else {
      more.clear(~at);
    }
  }
}

SideTree::Build::Build(const SideIndex::Impl& side, int64_t width)
    : count(side.count), columns(width), rows(side.count * width),
      changed(side.count), kept(side.count) {
  for (int64_t i = 0; i < count; ++i) {
    std::copy_n(side.rows.get() + i * 2 * side.n, columns,
                rows.get() + i * columns);
  }
  thread = std::thread([this] { run(); });
}

SideTree::Build::~Build() {
  cancel.store(true);
  thread.join();
}

void SideTree::Build::run() noexcept {
  // Batches come first; where that is not allowed they share.
  setpriority(PRIO_PROCESS, 0, 10);
  try {
    auto tree = Tree::build(rows.get(), columns, count, columns, cancel);
    if (tree != nullptr) {
      auto use = std::make_unique<Use>(std::move(tree), count);
      if (pays(*use->tree, use->place, rows.get(), cancel)) {
        made = std::move(use);
      }
    }
  } catch (...) {
    made = nullptr;  // for want of memory
  }
  done.store(true);
  building.store(false);
}

SideTree::~SideTree() = default;

void SideTree::put(int64_t index, const float* row, int64_t n) noexcept {
  if (build_ != nullptr && index < build_->count) build_->changed[index] = 1;
  if (index < covered() && !use_->move(index, row, n)) use_ = nullptr;
}

void SideTree::truncate(int64_t count) noexcept {
  if (build_ != nullptr) build_->kept = std::min(build_->kept, count);
  if (use_ != nullptr) use_->drop(count);
  if (count < kLeast) use_ = nullptr;
}

void SideTree::clear() noexcept {
  truncate(0);
  if (build_ != nullptr) build_->cancel.store(true);
  due_ = kLeast;
}

void SideTree::finish() noexcept {
  while (build_ != nullptr && !build_->done.load()) std::this_thread::yield();
}

// What happened to the rows while the tree was built happens to it.
void SideTree::adopt(const SideIndex::Impl& side) {
  const std::unique_ptr<Build> build = std::move(build_);
  if (build->cancel.load()) return;
  if (build->made == nullptr) {
    due_ = 2 * build->count;
    return;
  }
  due_ = kLeast;
  build->made->drop(build->kept);
  for (int64_t i = 0; i < build->kept; ++i) {
    if (build->changed[i] != 0 &&
        !build->made->move(i, side.rows.get() + i * 2 * side.n, side.n)) {
      return;
    }
  }
  use_ = std::move(build->made);
}

void SideTree::refresh(const SideIndex::Impl& side) noexcept {
  if (build_ != nullptr) {
    if (!build_->done.load()) return;
    adopt(side);
  }
  const int64_t most = std::numeric_limits<int32_t>::max() - Leaves::kLeaf;
  if (side.count < due_ || side.count > most) return;
  if (use_ != nullptr &&
      use_->put + use_->dropped + side.count - use_->covered <=
          changes_allowed(side.count)) {
    return;
  }
  if (building.exchange(true)) return;
  try {
    build_ = std::make_unique<Build>(side, (side.tails ? 2 : 1) * side.n);
  } catch (...) {
    building.store(false);
    due_ = 2 * side.count;
  }
}

void SideTree::match(const float* z, int64_t n, int64_t rows, Found* found,
                     MatchScratch::Impl& scratch) const {
  const int64_t columns = use_->tree->leaves.columns();
  if (columns == n) {
    search(*use_->tree, use_->more, z, rows, found);
    return;
  }
  if (scratch.wide.size() < columns) scratch.wide = AlignedFloats(columns);
  for (int64_t i = 0; i < rows; ++i) {
    std::copy_n(z + i * n, n, scratch.wide.get());
    search(*use_->tree, use_->more, scratch.wide.get(), 1, found + i);
  }
}

}  // namespace fdqc
