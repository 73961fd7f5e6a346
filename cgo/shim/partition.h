// Patterns put in an order in which near ones are neighbours. No LibTorch in
// here.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

namespace fdqc {

// Halves the patterns again and again, each part across the column in which it
// varies most (a k-d tree: Friedman, Bentley and Finkel, ACM Transactions on
// Mathematical Software 3, 1977). One thread, O(count log count).
class Partition {
 public:
  // The first `columns` of rows [count, stride], count < 2^31; row(i) is i at
  // first. Throws std::bad_alloc.
  Partition(const float* rows, int64_t stride, int64_t count, int64_t columns,
            const std::atomic<bool>& cancel);

  // Orders all into leaves of `leaf`, complete from the left. Parts are halved
  // at multiples of leaf * fan^i, the largest first: fan leaves, and fan groups
  // of them, and so on, follow one another. false once cancel is set.
  bool cut(int64_t leaf, int64_t fan);

  int32_t row(int64_t position) const { return keys_[position].row; }

 private:
  struct Key {
    float value;
    int32_t row;
    // Equal patterns lie in the order of their rows.
    bool operator<(const Key& other) const {
      return value != other.value ? value < other.value : row < other.row;
    }
  };

  bool cut(int64_t from, int64_t to, int64_t unit, int64_t leaf, int64_t fan);
  int64_t widest(int64_t from, int64_t to) const;

  const float* const rows_;
  const int64_t stride_, columns_;
  const std::atomic<bool>& cancel_;
  std::vector<Key> keys_;
};

}  // namespace fdqc
