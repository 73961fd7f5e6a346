// One side of the pattern memory as the CPU kernel matches against it: the
// rows themselves, and what matching derives from them, both changed in place.
// No LibTorch in here.
#pragma once

#include <cstdint>
#include <memory>

namespace fdqc {

// Written by one thread at a time, never while a batch reads it (the gate of
// fdqc.h sees to that); any number of threads may match at once.
class SideIndex {
 public:
  // n is the workspace dimension, 2 to 1024.
  explicit SideIndex(int64_t n);
  ~SideIndex();
  SideIndex(const SideIndex&) = delete;
  SideIndex& operator=(const SideIndex&) = delete;

  int64_t n() const;
  int64_t count() const;
  const float* row(int64_t index) const;  // [2n], float32

  // Room for `count` rows: the only thing that can fail (std::bad_alloc), and
  // then nothing has changed.
  void reserve(int64_t count);

  // Row `index` becomes `row` ([2n], finite); index may be count(), to append.
  // O(n) in the mean, whatever the count is: what matching derives from the
  // rows is made again once their number has doubled or as many were put.
  // There must be room.
  void put(int64_t index, const float* row) noexcept;

  // The rows become `rows` ([count, 2n], finite), in one go; fails as reserve
  // does.
  void assign(const float* rows, int64_t count);

  // Drops the rows from count on.
  void truncate(int64_t count) noexcept;

  // Once a batch, under the gate: many rows are matched through a tree, which
  // a thread builds in the background; here it is begun, which copies the rows,
  // and taken into use. Without these calls every row is compared with all.
  void refresh() noexcept;

  struct Impl;
  const Impl& impl() const { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

// The nearest pattern of one row.
struct Found {
  double squared;  // |[z; 0] - P|^2, +infinity with no pattern
  int64_t index;   // row of the side, -1 with no pattern
};

// Memory that matching needs in one thread; grown once, then used again.
class MatchScratch {
 public:
  MatchScratch();
  ~MatchScratch();
  MatchScratch(const MatchScratch&) = delete;
  MatchScratch& operator=(const MatchScratch&) = delete;

  struct Impl;
  Impl& impl() { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

// z: [rows, n] float32, row-major, finite. For each row and side the pattern
// with the least squared direct difference, summed in float64 in column order,
// ties to the lowest row (validator specification, section 2, step 7), on every
// path. Both sides in one sweep; safe and unsafe are [rows].
void nearest(const SideIndex& safe_side, const SideIndex& unsafe_side,
             const float* z, int64_t rows, Found* safe, Found* unsafe,
             MatchScratch& scratch);

}  // namespace fdqc
