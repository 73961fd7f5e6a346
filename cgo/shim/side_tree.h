// When a side is matched through a tree: built in the background, in use from
// the next batch on, right at every moment in between. No LibTorch in here.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "match_kernels.h"
#include "tree.h"

namespace fdqc {

// A tree holds the first rows of a side as they were when it was begun. Rows
// put since are tombstones in it and lie in a few leaves beside it; rows
// appended since are compared with one by one. One thread of the process
// builds at a time. What cannot be built (no memory, no thread) is not there:
// matching goes on without.
//
// Memory beside the side's rows: 4 columns + 12 bytes a row for a tree in use,
// and twice that and 8 bytes more a row while one is built; columns is n, or
// 2n where a second half is not zero.
class SideTree {
 public:
  // Fewer rows than that are swept over in less time than a tree saves; with
  // more it is measured for each tree whether it pays, so that the crossover
  // depends on n and on the rows. On one thread (AVX2, Zen 1, bench/tree_bench)
  // a tree was faster from 2,000 rows on at n = 4 and 5,000 at n = 8 where all
  // are normal, and from 1,000 and 2,000 in clusters; with rows normal in 16
  // columns never, which is what is measured. Rows put meanwhile cost a little
  // more, hence the larger number.
  static constexpr int64_t kLeast = 8192;

  SideTree() = default;
  ~SideTree();
  SideTree(const SideTree&) = delete;
  SideTree& operator=(const SideTree&) = delete;

  // To be told after each change of the side: a row was put; rows were dropped;
  // all rows are others. O(n) a row.
  void put(int64_t index, const float* row, int64_t n) noexcept;
  void truncate(int64_t count) noexcept;
  void clear() noexcept;

  // Takes into use what was built, and begins to build where that is due: a
  // copy of the rows. Never waits.
  void refresh(const SideIndex::Impl& side) noexcept;

  // Waits for what is being built; the next refresh takes it into use.
  void finish() noexcept;

  // Rows [0, covered()) are matched by match, the others are not; 0 without a
  // tree.
  int64_t covered() const { return use_ == nullptr ? 0 : use_->covered; }

  // As search does.
  void match(const float* z, int64_t n, int64_t rows, Found* found,
             MatchScratch::Impl& scratch) const;

 private:
  // A tree in use.
  struct Use {
    Use(std::unique_ptr<Tree> from, int64_t rows);

    std::unique_ptr<Tree> tree;
    Leaves more;      // rows put since
    int64_t put = 0;  // places of more in use
    int64_t covered;
    int64_t dropped = 0;
    // [rows] place of each in the tree; from ~0 downwards, in more.
    std::vector<int32_t> place;

    bool move(int64_t index, const float* row, int64_t n) noexcept;
    void drop(int64_t count) noexcept;
  };

  struct Build {
    Build(const SideIndex::Impl& side, int64_t columns);
    ~Build();
    void run() noexcept;

    const int64_t count, columns;
    AlignedFloats rows;  // [count, columns], as they were
    std::unique_ptr<Use> made;
    // What has happened to the rows meanwhile; not the thread's.
    std::vector<uint8_t> changed;  // [count]
    int64_t kept;                  // none of the rows before it was dropped
    std::atomic<bool> cancel{false}, done{false};
    std::thread thread;
  };

  void adopt(const SideIndex::Impl& side);

  std::unique_ptr<Use> use_;
  std::unique_ptr<Build> build_;
  int64_t due_ = kLeast;  // rows from which on a tree is tried
};

}  // namespace fdqc
