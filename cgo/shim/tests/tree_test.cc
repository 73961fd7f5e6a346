// The tree against the definition (validator specification, section 2, step
// 7), on every instruction set of this machine.
#include "tree.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "reference.h"
#include "targets.h"

namespace fdqc {
namespace {

using reference::Source;
using Values = std::vector<float>;

const std::atomic<bool> kGo{false};
const Found kNothing{std::numeric_limits<double>::infinity(), -1};

// rows [count, n] and z [n]; no second halves.
Found definition(const Values& rows, int64_t n, const float* z) {
  Values whole(2 * rows.size(), 0.0f);
  for (size_t i = 0; i < rows.size(); ++i) {
    whole[i / n * 2 * n + i % n] = rows[i];
  }
  const reference::Winner best = reference::nearest(z, n, whole);
  return {best.squared, best.row};
}

struct Scene {
  const char* name;
  void (*fill)(Source&, int64_t n, Values& rows, Values& z);
};

void normal(Source& s, float middle, float spread, Values& to) {
  for (float& value : to) value = middle + spread * s.normal();
}

// In clusters: a pattern's cluster depends on its row, a row's on chance.
void clusters(Source& s, int64_t n, float spread, Values& rows, Values& z) {
  constexpr int64_t kMany = 7;
  const Values middles = s.normals(kMany * n, 1);
  for (Values* to : {&rows, &z}) {
    for (size_t i = 0; i < to->size(); ++i) {
      const int64_t of = static_cast<int64_t>(i) / n % kMany;
      (*to)[i] = middles[of * n + i % n] + spread * s.normal();
    }
  }
}

const Scene kScenes[] = {
    {"normal",
     [](Source& s, int64_t, Values& rows, Values& z) {
       normal(s, 0, 1, rows);
       normal(s, 0, 1, z);
     }},
    {"rows far away",
     [](Source& s, int64_t, Values& rows, Values& z) {
       normal(s, 0, 1, rows);
       normal(s, 100, 10, z);
     }},
    {"a tight cluster far from the origin",
     [](Source& s, int64_t, Values& rows, Values& z) {
       normal(s, 1000, 1e-4f, rows);
       normal(s, 1000, 1e-4f, z);
     }},
    {"tight clusters",
     [](Source& s, int64_t n, Values& rows, Values& z) {
       clusters(s, n, 1e-4f, rows, z);
     }},
    {"few points, again and again",
     [](Source& s, int64_t n, Values& rows, Values& z) {
       clusters(s, n, 0, rows, z);
     }},
    {"a grid",
     [](Source& s, int64_t, Values& rows, Values& z) {
       for (float& value : rows) value = static_cast<float>(s.below(3));
       for (float& value : z) value = 0.5f * static_cast<float>(s.below(5));
     }},
    // Only float64 tells which is nearest: float32 sums differ by rounding.
    {"all around, nearly as far",
     [](Source& s, int64_t n, Values& rows, Values& z) {
       normal(s, 0, 1, rows);
       for (size_t i = 0; i < rows.size(); i += n) {
         double norm = 0;
         for (int64_t k = 0; k < n; ++k) {
           norm += static_cast<double>(rows[i + k]) *
                   static_cast<double>(rows[i + k]);
         }
         for (int64_t k = 0; k < n; ++k) {
           rows[i + k] = static_cast<float>(
               static_cast<double>(rows[i + k]) / std::sqrt(norm));
         }
       }
       normal(s, 0, 1e-9f, z);
     }},
    {"one line",
     [](Source& s, int64_t n, Values& rows, Values& z) {
       for (Values* to : {&rows, &z}) {
         for (size_t i = 0; i < to->size(); i += n) {
           std::fill_n(to->begin() + i, n, s.normal());
         }
       }
     }},
    {"huge",
     [](Source& s, int64_t, Values& rows, Values& z) {
       normal(s, 0, 1e37f, rows);
       normal(s, 0, 1e37f, z);
     }},
    {"sums where float32 ends",
     [](Source& s, int64_t, Values& rows, Values& z) {
       normal(s, 0, 5e18f, rows);
       normal(s, 0, 5e18f, z);
     }},
    {"at the end of float32",
     [](Source& s, int64_t, Values& rows, Values& z) {
       for (float& value : rows) value = s.below(2) != 0 ? 3e38f : -3e38f;
       for (float& value : z) value = s.below(2) != 0 ? 3e38f : -3e38f;
     }},
    {"denormals",
     [](Source& s, int64_t, Values& rows, Values& z) {
       normal(s, 0, 1e-42f, rows);
       normal(s, 0, 1e-42f, z);
     }},
    {"squares of a few denormal steps",
     [](Source& s, int64_t, Values& rows, Values& z) {
       normal(s, 0, 1e-22f, rows);
       normal(s, 0, 1e-22f, z);
     }},
    {"all zero", [](Source&, int64_t, Values&, Values&) {}},
};

class TreeScene : public testing::TestWithParam<Scene> {};

// Around the sizes of leaves and nodes, and where a level begins.
TEST_P(TreeScene, WinnerIsTheFloat64Definition) {
  for (const int64_t n : {2, 3, 8, 16, 17, 64}) {
    for (const int64_t count :
         {1, 2, 31, 32, 33, 64, 255, 256, 257, 258, 1000, 2048, 2049, 2500}) {
      constexpr int64_t kRows = 8;
      Source source(static_cast<uint32_t>(n * 10000 + count));
      Values rows(count * n), z(kRows * n);
      GetParam().fill(source, n, rows, z);
      std::copy_n(&rows[source.below(count) * n], n, z.begin());
      const auto tree = Tree::build(rows.data(), n, count, n, kGo);
      const Leaves none(n, 0);
      std::vector<Found> want(kRows);
      for (int64_t i = 0; i < kRows; ++i) {
        want[i] = definition(rows, n, &z[i * n]);
      }
      on_each_target([&](const std::string& target) {
        std::vector<Found> found(kRows, kNothing);
        search(*tree, none, z.data(), kRows, found.data());
        for (int64_t i = 0; i < kRows; ++i) {
          ASSERT_EQ(found[i].index, want[i].index)
              << target << ", n " << n << ", " << count << " patterns, row "
              << i << ": squared distance wanted " << want[i].squared
              << ", got " << found[i].squared;
          ASSERT_EQ(found[i].squared, want[i].squared) << target;
        }
      });
      if (HasFatalFailure()) return;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Scenes, TreeScene, testing::ValuesIn(kScenes), [](const auto& info) {
      std::string name = info.param.name;
      for (char& c : name) c = std::isalnum(c) != 0 ? c : '_';
      return name;
    });

// Every pattern is taken away, the nearest of one row first: the next is found
// each time, at last none.
TEST(Tree, TombstonesAreNotFound) {
  const int64_t n = 4, count = 300;
  Source source(3);
  Values rows = source.normals(count * n, 1), z = source.normals(n, 1);
  std::copy_n(&rows[0], n, &rows[200 * n]);  // one of them twice
  const auto tree = Tree::build(rows.data(), n, count, n, kGo);
  const Leaves none(n, 0);
  on_each_target([&](const std::string& target) {
    Values left = rows;
    const auto again = Tree::build(rows.data(), n, count, n, kGo);
    for (int64_t gone = 0; gone < count; ++gone) {
      Found found = kNothing;
      search(*again, none, z.data(), 1, &found);
      const Found want = definition(left, n, z.data());
      ASSERT_EQ(found.index, want.index) << target << ", " << gone << " gone";
      int64_t place = 0;
      while (again->leaves.rows()[place] != found.index) ++place;
      again->leaves.clear(place);
      left[found.index * n] = 3e38f;  // farther than all others
    }
    Found found = kNothing;
    search(*again, none, z.data(), 1, &found);
    ASSERT_EQ(found.index, -1) << target;
  });
}

TEST(Tree, WhatIsKnownStaysUnlessThereIsANearerOrLowerOne) {
  const int64_t n = 2;
  const Values rows = {1, 0, 1, 0}, z = {0, 0};
  const auto tree = Tree::build(rows.data(), n, 2, n, kGo);
  Leaves more(n, 40);
  more.fill(39, 5, rows.data());
  const struct {
    Found known, want;
  } cases[] = {{{0.5, 77}, {0.5, 77}}, {{1, 0}, {1, 0}},  {{1, 77}, {1, 0}},
               {{2, 0}, {1, 0}},       {kNothing, {1, 0}}};
  on_each_target([&](const std::string& target) {
    for (const auto& one : cases) {
      Found found = one.known;
      search(*tree, more, z.data(), 1, &found);
      EXPECT_EQ(found.index, one.want.index) << target;
      EXPECT_EQ(found.squared, one.want.squared) << target;
    }
    tree->leaves.clear(0), tree->leaves.clear(1);
    Found found = kNothing;
    search(*tree, more, z.data(), 1, &found);
    EXPECT_EQ(found.index, 5) << target;
    tree->leaves.fill(0, 0, rows.data());
    tree->leaves.fill(1, 1, rows.data());
  });
}

TEST(Tree, LooksAtFewPatternsOfMany) {
  const int64_t n = 3, count = 20000;
  Source source(9);
  const Values rows = source.normals(count * n, 1);
  const Values z = source.normals(n, 1);
  const auto tree = Tree::build(rows.data(), n, count, n, kGo);
  Found found = kNothing;
  const TreeWork work = search(*tree, Leaves(n, 0), z.data(), 1, &found);
  EXPECT_LT(work.leaves, 30) << "of " << tree->leaves.leaves() << " leaves";
}

TEST(Tree, IsNotBuiltOnceCancelled) {
  const std::atomic<bool> stop{true};
  const Values rows(1000 * 2, 1.0f);
  EXPECT_EQ(Tree::build(rows.data(), 2, 1000, 2, stop), nullptr);
}

}  // namespace
}  // namespace fdqc
