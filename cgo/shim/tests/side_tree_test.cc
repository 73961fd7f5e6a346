// A side that is matched through a tree, while it changes, against a twin that
// is only a list of rows.
#include "side_tree.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "reference.h"
#include "side_index.h"

namespace fdqc {
namespace {

using reference::Source;
using Values = std::vector<float>;

constexpr int64_t kMany = SideTree::kLeast + 1000;

int64_t covered(const SideIndex& side) { return side.impl().tree->covered(); }

// The tree that is due is built and in use.
void settle(SideIndex& side) {
  side.refresh();
  side.impl().tree->finish();
  side.refresh();
}

// Rows near few points, many of them the same: ties and duplicates.
Values near_points(Source& source, int64_t n, int64_t count) {
  Values points(50 * n), rows(count * 2 * n, 0.0f);
  Source of(77);
  for (float& value : points) value = of.normal();
  for (int64_t i = 0; i < count; ++i) {
    const float spread = source.below(3) == 0 ? 0 : 0.1f;
    const int64_t point = source.below(50);
    for (int64_t k = 0; k < n; ++k) {
      rows[i * 2 * n + k] = points[point * n + k] + spread * source.normal();
    }
  }
  return rows;
}

class Pair {
 public:
  Pair(int64_t n, Values rows) : n(n), twin(std::move(rows)), side(n) {
    side.assign(twin.data(), count());
  }

  int64_t count() const {
    return static_cast<int64_t>(twin.size()) / (2 * n);
  }

  void put(int64_t index, const Values& row) {
    if (index == count()) twin.resize(twin.size() + 2 * n);
    std::copy(row.begin(), row.end(), twin.begin() + index * 2 * n);
    side.reserve(count());
    side.put(index, row.data());
  }

  void truncate(int64_t to) {
    twin.resize(to * 2 * n);
    side.truncate(to);
  }

  void expect_exact(Source& source, int64_t rows, const std::string& what) {
    const SideIndex none(n);
    const Values from = near_points(source, n, rows);
    Values z(rows * n);
    for (int64_t i = 0; i < rows; ++i) {
      std::copy_n(&from[i * 2 * n], n, &z[i * n]);
    }
    std::vector<Found> found(rows), nothing(rows);
    MatchScratch scratch;
    nearest(side, none, z.data(), rows, found.data(), nothing.data(), scratch);
    for (int64_t i = 0; i < rows; ++i) {
      const reference::Winner want = reference::nearest(&z[i * n], n, twin);
      ASSERT_EQ(found[i].index, want.row)
          << what << ": " << covered(side) << " of " << count()
          << " rows in the tree, row " << i << ": wanted " << want.squared
          << ", got " << found[i].squared;
      ASSERT_EQ(found[i].squared, want.squared) << what;
      ASSERT_EQ(nothing[i].index, -1) << what;
    }
  }

  const int64_t n;
  Values twin;
  SideIndex side;
};

TEST(SideTree, ManyRowsAreMatchedThroughATree) {
  for (const int64_t n : {2, 8, 20}) {
    Source source(1);
    Pair pair(n, near_points(source, n, kMany));
    EXPECT_EQ(covered(pair.side), 0);
    settle(pair.side);
    EXPECT_EQ(covered(pair.side), kMany) << "n " << n;
    pair.expect_exact(source, 20, "n " + std::to_string(n));
  }
}

TEST(SideTree, FewRowsAreNot) {
  Source source(1);
  Pair pair(8, near_points(source, 8, SideTree::kLeast - 1));
  settle(pair.side);
  EXPECT_EQ(covered(pair.side), 0);
}

// In so many directions a tree tells nothing: a sweep is faster.
TEST(SideTree, IsNotUsedWhereItDoesNotPay) {
  Source source(1);
  Pair pair(24, source.patterns(kMany, 24, 1));
  settle(pair.side);
  EXPECT_EQ(covered(pair.side), 0);
  pair.expect_exact(source, 3, "no tree");
}

TEST(SideTree, RowsChangeInEveryStateOfIt) {
  for (const int64_t n : {2, 8}) {
    Source source(static_cast<uint32_t>(n));
    Pair pair(n, near_points(source, n, kMany));
    int64_t with = 0, without = 0;
    for (int step = 0; step < 150; ++step) {
      // A build goes on over some steps, or is finished in one.
      if (source.below(3) == 0) pair.side.refresh();
      if (source.below(6) == 0) settle(pair.side);
      const int64_t changes = source.below(200);
      const Values rows = near_points(source, n, changes);
      for (int64_t i = 0; i < changes; ++i) {
        const bool append = source.below(3) == 0;
        // Some rows again and again.
        const int64_t among = source.below(2) == 0 ? 50 : pair.count();
        const int64_t index = append ? pair.count() : source.below(among);
        pair.put(index, Values(rows.begin() + i * 2 * n,
                               rows.begin() + (i + 1) * 2 * n));
      }
      if (source.below(5) == 0) {
        pair.truncate(pair.count() - source.below(300));
      }
      (covered(pair.side) > 0 ? with : without) += 1;
      pair.expect_exact(source, 4, "step " + std::to_string(step));
      if (HasFatalFailure()) return;
    }
    EXPECT_GT(with, 20);
    EXPECT_GT(without, 0);
  }
}

// What changed between the copy and the adoption.
TEST(SideTree, ChangesWhileItIsBuiltAreInIt) {
  const int64_t n = 4;
  Source source(4);
  Pair pair(n, near_points(source, n, kMany));
  pair.side.refresh();
  pair.side.impl().tree->finish();
  const Values rows = near_points(source, n, 300);
  for (int64_t i = 0; i < 100; ++i) {
    pair.put(i * 50, Values(&rows[i * 2 * n], &rows[(i + 1) * 2 * n]));
  }
  pair.truncate(kMany - 700);
  for (int64_t i = 100; i < 300; ++i) {
    pair.put(pair.count(), Values(&rows[i * 2 * n], &rows[(i + 1) * 2 * n]));
  }
  pair.side.refresh();
  EXPECT_EQ(covered(pair.side), kMany - 700);
  pair.expect_exact(source, 100, "adopted");
}

TEST(SideTree, IsBuiltAgainAfterManyChanges) {
  const int64_t n = 4;
  Source source(5);
  Pair pair(n, near_points(source, n, kMany));
  settle(pair.side);
  const Values rows = near_points(source, n, 2000);
  for (int64_t i = 0; i < 2000; ++i) {
    pair.put(pair.count(), Values(&rows[i * 2 * n], &rows[(i + 1) * 2 * n]));
  }
  settle(pair.side);
  EXPECT_EQ(covered(pair.side), kMany + 2000);
  // More than what there are places for: compared one by one again.
  for (int64_t i = 0; i < 2000; ++i) {
    pair.put(i, Values(&rows[i * 2 * n], &rows[(i + 1) * 2 * n]));
  }
  EXPECT_EQ(covered(pair.side), 0);
  pair.expect_exact(source, 10, "changed");
  settle(pair.side);
  EXPECT_EQ(covered(pair.side), pair.count());
  pair.expect_exact(source, 10, "built again");
}

TEST(SideTree, SecondHalvesCount) {
  const int64_t n = 3;
  Source source(6);
  Pair pair(n, near_points(source, n, kMany));
  settle(pair.side);
  ASSERT_EQ(covered(pair.side), kMany);
  Values row(pair.twin.begin(), pair.twin.begin() + 2 * n);
  row[n] = 0.01f;
  pair.put(pair.count(), row);
  pair.expect_exact(source, 20, "appended");
  pair.put(7, row);
  pair.expect_exact(source, 20, "put");
  settle(pair.side);
  EXPECT_EQ(covered(pair.side), pair.count());
  pair.expect_exact(source, 20, "in the tree");
}

TEST(SideTree, OtherRowsAllAtOnce) {
  const int64_t n = 4;
  Source source(7);
  Pair pair(n, near_points(source, n, kMany));
  pair.side.refresh();
  pair.twin = near_points(source, n, kMany + 5);
  pair.side.assign(pair.twin.data(), kMany + 5);
  settle(pair.side);
  pair.expect_exact(source, 10, "assigned while it was built");
  settle(pair.side);
  EXPECT_EQ(covered(pair.side), kMany + 5);
  pair.expect_exact(source, 10, "built");
}

int64_t threads() {
  const std::filesystem::directory_iterator tasks("/proc/self/task");
  return std::distance(begin(tasks), end(tasks));
}

// Sides that go away while trees are built leave nothing behind, and never
// more than one thread: two where one is about to end.
TEST(SideTree, GoesAwayWhileItIsBuilt) {
  const int64_t n = 8;
  Source source(8);
  const Values rows = near_points(source, n, 100000);
  const int64_t before = threads();
  {
    std::vector<std::unique_ptr<SideIndex>> sides;
    for (int i = 0; i < 5; ++i) {
      sides.push_back(std::make_unique<SideIndex>(n));
      sides.back()->assign(rows.data(), 100000);
    }
    for (const auto& side : sides) side->refresh();
    EXPECT_LE(threads(), before + 2);
  }
  Pair pair(n, rows);
  settle(pair.side);
  EXPECT_EQ(covered(pair.side), 100000);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
// In a process of its own: here malloc may have room left from other tests.
[[noreturn]] void without_memory() {
  const int64_t n = 8;
  Source source(9);
  Pair pair(n, near_points(source, n, 100000));
  rlimit before;
  int64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  bool limited = getrlimit(RLIMIT_AS, &before) == 0;
  rlimit tight = before;
  tight.rlim_cur = pages * 4096 + (1 << 20);
  limited = limited && setrlimit(RLIMIT_AS, &tight) == 0;
  settle(pair.side);
  limited = limited && setrlimit(RLIMIT_AS, &before) == 0;
  const bool built = covered(pair.side) != 0;
  pair.expect_exact(source, 3, "no memory");
  std::exit(!limited ? 2 : built ? 3 : testing::Test::HasFailure() ? 4 : 0);
}

TEST(SideTree, WithoutMemoryRowsAreComparedOneByOne) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(without_memory(), testing::ExitedWithCode(0), "");
}
#endif

}  // namespace
}  // namespace fdqc
