// The nearest patterns on every instruction set of this machine, against the
// definition written down (validator specification, section 2, step 7).
#include "match_kernels.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "reference.h"
#include "side_boxes.h"
#include "side_index.h"
#include "targets.h"

namespace fdqc {
namespace {

using reference::Source;
using Values = std::vector<float>;

// Both sides as they should be: rows one after another.
struct Twin {
  int64_t n;
  Values rows;
};

Found definition(const Twin& side, const float* z) {
  const reference::Winner best = reference::nearest(z, side.n, side.rows);
  return {best.squared, best.row};
}

void expect_exact(const SideIndex& safe, const SideIndex& unsafe,
                  const Twin& safe_twin, const Twin& unsafe_twin,
                  const Values& z, const std::string& what) {
  const int64_t n = safe.n(), rows = static_cast<int64_t>(z.size()) / n;
  std::vector<Found> got[2] = {std::vector<Found>(rows),
                               std::vector<Found>(rows)};
  MatchScratch scratch;
  nearest(safe, unsafe, z.data(), rows, got[0].data(), got[1].data(), scratch);
  for (int64_t i = 0; i < rows; ++i) {
    for (int side = 0; side < 2; ++side) {
      const Found want =
          definition(side == 0 ? safe_twin : unsafe_twin, &z[i * n]);
      const Found& found = got[side][i];
      ASSERT_EQ(found.index, want.index)
          << what << ": n " << n << ", " << safe.count() << " and "
          << unsafe.count() << " patterns, row " << i << " of " << rows
          << ", side " << side << ": squared distance wanted "
          << want.squared << ", got " << found.squared;
      ASSERT_EQ(found.squared, want.squared)
          << what << ": n " << n << ", row " << i << " of " << rows
          << ", side " << side << ", pattern " << want.index;
    }
  }
}

// Fills patterns [count, 2n] and rows [rows, n].
struct Scene {
  const char* name;
  std::function<void(Source&, int64_t n, Values& patterns, Values& z)> fill;
};

void clusters(Source& source, int64_t n, int64_t many, float apart,
              float spread, Values& patterns, Values& z) {
  Values middles(many * n);
  for (float& value : middles) value = apart * source.normal();
  for (size_t i = 0; i * n < patterns.size(); ++i) {
    const float* const middle = &middles[source.below(many) * n];
    for (int64_t k = 0; k < n && i % 2 == 0; ++k) {
      patterns[i * n + k] = middle[k] + spread * source.normal();
    }
  }
  for (size_t i = 0; i * n < z.size(); ++i) {
    const float* const middle = &middles[source.below(many) * n];
    for (int64_t k = 0; k < n; ++k) {
      z[i * n + k] = middle[k] + spread * source.normal();
    }
  }
}

const Scene kScenes[] = {
    {"random",
     [](Source& s, int64_t n, Values& p, Values& z) {
       clusters(s, n, 1, 0, 1, p, z);
     }},
    {"a tight cluster far away",
     [](Source& s, int64_t n, Values& p, Values& z) {
       clusters(s, n, 1, 1e3f, 1e-4f, p, z);
     }},
    {"tight clusters",
     [](Source& s, int64_t n, Values& p, Values& z) {
       clusters(s, n, 4, 1, 1e-4f, p, z);
     }},
    {"clusters as wide as the bound",
     [](Source& s, int64_t n, Values& p, Values& z) {
       clusters(s, n, 4, 1, 1e-3f, p, z);
     }},
    {"few points, again and again",
     [](Source& s, int64_t n, Values& p, Values& z) {
       clusters(s, n, 20, 1, 0, p, z);
     }},
    {"exact ties",
     [](Source& s, int64_t, Values& p, Values& z) {
       for (float& value : p) value = static_cast<float>(s.below(2));
       for (float& value : z) value = static_cast<float>(s.below(2));
     }},
    {"second halves in use",
     [](Source& s, int64_t, Values& p, Values& z) {
       for (float& value : p) value = s.normal();
       for (float& value : z) value = s.normal();
     }},
    {"one second half in use",
     [](Source& s, int64_t n, Values& p, Values& z) {
       clusters(s, n, 1, 0, 1, p, z);
       if (!p.empty()) p.back() = 0.25f;
     }},
    {"rows that are patterns",
     [](Source& s, int64_t n, Values& p, Values& z) {
       clusters(s, n, 1, 0, 1, p, z);
       const int64_t count = static_cast<int64_t>(p.size()) / (2 * n);
       for (size_t i = 0; count > 0 && i * n < z.size(); ++i) {
         std::copy_n(&p[s.below(count) * 2 * n], n, &z[i * n]);
       }
     }},
    {"huge",
     [](Source& s, int64_t n, Values& p, Values& z) {
       clusters(s, n, 1, 0, 1e37f, p, z);
     }},
    {"at the end of float32",
     [](Source& s, int64_t n, Values& p, Values& z) {
       clusters(s, n, 1, 0, 0, p, z);
       for (size_t i = 0; i < p.size(); ++i) {
         const bool head = static_cast<int64_t>(i) % (2 * n) < n;
         if (head) p[i] = s.below(2) ? 3e38f : -3e38f;
       }
       for (float& value : z) value = s.below(2) ? 3e38f : -3e38f;
     }},
    {"norms where float32 ends",
     [](Source& s, int64_t n, Values& p, Values& z) {
       clusters(s, n, 3, 1e18f, 1e17f, p, z);
     }},
    {"huge among small",
     [](Source& s, int64_t n, Values& p, Values& z) {
       clusters(s, n, 1, 0, 1, p, z);
       for (size_t i = 0; i < p.size(); i += 7 * 2 * n) p[i] = 1e30f;
       for (size_t i = 0; i < z.size(); i += 5 * n) z[i] = 2e19f;
     }},
    {"denormals",
     [](Source& s, int64_t n, Values& p, Values& z) {
       clusters(s, n, 1, 0, 1e-42f, p, z);
     }},
    {"squares that underflow",
     [](Source& s, int64_t n, Values& p, Values& z) {
       clusters(s, n, 1, 0, 1e-20f, p, z);
     }},
    {"squares of a few denormal steps",
     [](Source& s, int64_t n, Values& p, Values& z) {
       clusters(s, n, 1, 0, 2e-22f, p, z);
     }},
    // Without a slack for |z - c|^2 the nearest is missed here: what the sums
    // round is as large as what the patterns differ by.
    {"patterns a few roundings apart, far from row and centre",
     [](Source& s, int64_t n, Values& p, Values& z) {
       clusters(s, n, 1, 0, 1e-3f, p, z);
       Values middle(n);
       for (float& value : middle) value = s.normal();
       const auto about = [&](int64_t k) {
         return middle[k] * (1 + std::ldexp(s.below(7) - 3.0f, -23));
       };
       const int64_t count = static_cast<int64_t>(p.size()) / (2 * n);
       for (int64_t i = 0; i < count; i += 3) {
         for (int64_t k = 0; k < n; ++k) p[i * 2 * n + k] = about(k);
       }
       for (size_t i = 0; i < z.size(); ++i) {
         z[i] = middle[i % n] * (30 + 1e-3f * s.normal());
       }
     }},
    // Without a slack for |P - c|^2 it is missed here: each column's median is
    // zero, and all patterns are one unit away but for rounding.
    {"patterns all around, nearly as far",
     [](Source& s, int64_t n, Values& p, Values& z) {
       const int64_t count = static_cast<int64_t>(p.size()) / (2 * n);
       for (int64_t i = 0; i < count; ++i) {
         const float angle = s.normal();
         const int64_t k = s.below(n);
         p[i * 2 * n + k] = std::sin(angle);
         p[i * 2 * n + (k + 1) % n] = std::cos(angle);
       }
       for (float& value : z) value = 3e-7f * s.normal();
     }},
    // Boxes that are single points, all as far as the nearest but for rounding.
    {"points on the axes, each many times",
     [](Source& s, int64_t n, Values& p, Values& z) {
       const int64_t count = static_cast<int64_t>(p.size()) / (2 * n);
       for (int64_t i = 0; i < count; ++i) {
         p[i * 2 * n + s.below(n)] = s.below(2) ? 1.0f : -1.0f;
       }
       for (size_t i = n; i < z.size(); ++i) z[i] = 1e-8f * s.normal();
     }},
    {"all zero", [](Source&, int64_t, Values&, Values&) {}},
};

struct Size {
  int64_t n, safe, unsafe, rows;
};

// Every width, count and number of rows at which a kernel ends otherwise.
const Size kSizes[] = {
    {2, 1000, 0, 70},  {3, 17, 64, 13},    {7, 63, 4097, 5},
    {8, 0, 0, 3},      {8, 1, 15, 1},      {8, 16, 17, 2},
    {8, 1000, 1000, 3}, {8, 4097, 65, 4},  {8, 1000, 129, 7},
    {16, 1000, 300, 70}, {31, 200, 130, 27}, {13, 513, 700, 6},
    {31, 1100, 600, 5}, {32, 200, 64, 26},
    {33, 128, 17, 3},  {191, 70, 1, 12},   {193, 65, 40, 25},
    {384, 1000, 100, 11}, {384, 64, 0, 1}, {1024, 150, 16, 9}};

class SideIndexScene : public testing::TestWithParam<Scene> {};

TEST_P(SideIndexScene, WinnerIsTheFloat64Definition) {
  for (const Size& size : kSizes) {
    const int64_t n = size.n;
    Source source(static_cast<uint32_t>(n * 31 + size.safe + size.rows));
    Values both((size.safe + size.unsafe) * 2 * n, 0.0f);
    Values z(size.rows * n, 0.0f);
    GetParam().fill(source, n, both, z);
    const auto middle = both.begin() + size.safe * 2 * n;
    const Twin safe_twin{n, Values(both.begin(), middle)};
    const Twin unsafe_twin{n, Values(middle, both.end())};
    SideIndex safe(n), unsafe(n);
    safe.assign(safe_twin.rows.data(), size.safe);
    unsafe.assign(unsafe_twin.rows.data(), size.unsafe);
    for (const bool boxes : {false, true}) {
      if (boxes) {
        safe.refresh();
        unsafe.refresh();
        const bool many = n <= kSmallWidth && size.safe >= SideBoxes::kLeast;
        ASSERT_EQ(safe.impl().boxes->ready(), many) << "n " << n;
      }
      on_each_target([&](const std::string& target) {
        expect_exact(safe, unsafe, safe_twin, unsafe_twin, z,
                     std::string(GetParam().name) + ", " + target +
                         (boxes ? ", boxes" : ", sweep"));
      });
      if (HasFatalFailure()) return;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Scenes, SideIndexScene, testing::ValuesIn(kScenes), [](const auto& info) {
      std::string name = info.param.name;
      for (char& c : name) c = std::isalnum(c) ? c : '_';
      return name;
    });

TEST(Targets, EveryNumberOfRows) {
  const int64_t n = 8;
  Source source(5);
  Twin twin{n, source.normals(200 * 2 * n, 1)};
  SideIndex side(n), wide(40);
  side.assign(twin.rows.data(), 200);
  Twin wide_twin{40, source.normals(100 * 2 * 40, 1)};
  wide.assign(wide_twin.rows.data(), 100);
  for (int64_t rows = 1; rows <= 70; ++rows) {
    const Values z = source.normals(rows * n, 1);
    const Values wide_z = source.normals(rows * 40, 1);
    on_each_target([&](const std::string& target) {
      expect_exact(side, side, twin, twin, z, target);
      expect_exact(wide, wide, wide_twin, wide_twin, wide_z, target);
    });
    if (HasFatalFailure()) return;
  }
}

// What is recorded and evicted, against a twin that is only a list of rows.
TEST(Targets, RowsChangeInPlace) {
  for (const int64_t n : {2, 8, 13, 40}) {
    Source source(static_cast<uint32_t>(n));
    SideIndex side(n);
    Twin twin{n, {}};
    const SideIndex none(n);
    const Twin no_rows{n, {}};
    float scale = 1;
    for (int step = 0; step < 1500; ++step) {
      const int64_t count = side.count();
      if (source.below(40) == 0) {
        const int64_t to = source.below(8) == 0 ? 0 : source.below(count + 1);
        side.truncate(to);
        twin.rows.resize(to * 2 * n);
      } else {
        if (source.below(100) == 0) scale = scale == 1 ? 1e-3f : 1;
        const bool append = count == 0 || source.below(3) > 0;
        const int64_t index = append ? count : source.below(count);
        Values row = source.normals(2 * n, scale);
        // At times the centre is far from all that follow.
        for (float& value : row) value += scale == 1 ? 0.0f : 50.0f;
        if (source.below(4) > 0) std::fill_n(row.begin() + n, n, 0.0f);
        side.reserve(index + 1);
        side.put(index, row.data());
        if (append) twin.rows.resize((count + 1) * 2 * n);
        std::copy(row.begin(), row.end(), twin.rows.begin() + index * 2 * n);
      }
      ASSERT_EQ(side.count() * 2 * n, static_cast<int64_t>(twin.rows.size()));
      if (step % 10 != 0) continue;
      for (int64_t i = 0; i < side.count() * 2 * n; ++i) {
        ASSERT_EQ(side.row(0)[i], twin.rows[i]) << "n " << n << ", step "
                                                << step << ", element " << i;
      }
      Values z = source.normals(3 * n, scale);
      for (float& value : z) value += scale == 1 ? 0.0f : 50.0f;
      on_each_target([&](const std::string& target) {
        expect_exact(side, none, twin, no_rows, z,
                     target + ", step " + std::to_string(step));
      });
      if (HasFatalFailure()) return;
    }
  }
}

// The same with blocks in an order: made when it is due, and kept while rows are
// put, appended and dropped.
TEST(Targets, BoxesFollowTheRows) {
  for (const int64_t n : {2, 8, 16, 21}) {
    Source source(static_cast<uint32_t>(7 * n));
    SideIndex side(n);
    Twin twin{n, {}};
    const SideIndex none(n);
    const Twin no_rows{n, {}};
    const auto row = [&] {
      Values one = source.normals(2 * n, 1);
      // Four clusters, so that most blocks are passed over.
      one[0] += 20.0f * source.below(2);
      one[1] += 20.0f * source.below(2);
      if (source.below(4) > 0) std::fill_n(one.begin() + n, n, 0.0f);
      return one;
    };
    for (int64_t i = 0; i < 900; ++i) {
      const Values one = row();
      twin.rows.insert(twin.rows.end(), one.begin(), one.end());
    }
    side.assign(twin.rows.data(), 900);
    int64_t in_boxes = 0;
    for (int step = 0; step < 2000; ++step) {
      const int64_t count = side.count();
      if (source.below(50) == 0) {
        const int64_t to = count - source.below(30);
        side.truncate(to);
        twin.rows.resize(to * 2 * n);
      } else {
        const int64_t index = source.below(3) == 0 ? count
                                                   : source.below(count);
        const Values one = row();
        side.reserve(index + 1);
        side.put(index, one.data());
        twin.rows.resize(side.count() * 2 * n);
        std::copy(one.begin(), one.end(), twin.rows.begin() + index * 2 * n);
      }
      if (source.below(20) == 0) side.refresh();
      if (step % 40 != 0) continue;
      in_boxes += side.impl().boxes->ready();
      Values z;
      for (int i = 0; i < 6; ++i) {
        const Values one = row();
        z.insert(z.end(), one.begin(), one.begin() + n);
      }
      on_each_target([&](const std::string& target) {
        expect_exact(side, none, twin, no_rows, z,
                     target + ", step " + std::to_string(step));
      });
      if (HasFatalFailure()) return;
    }
    // Not while the centre was another.
    EXPECT_GT(in_boxes, 40) << "n " << n;
  }
}

TEST(SideIndex, BoxesAreLeftOutWhereRowsAreFewOrMany) {
  SideIndex side(4);
  Source source(3);
  const auto ready = [&](int64_t count) {
    const Values rows = source.normals(count * 8, 1);
    side.assign(rows.data(), count);
    side.refresh();
    return side.impl().boxes->ready();
  };
  EXPECT_FALSE(ready(SideBoxes::kLeast - 1));
  EXPECT_TRUE(ready(SideBoxes::kLeast));
  EXPECT_TRUE(ready(SideBoxes::kMost));
  side.truncate(SideBoxes::kLeast - 1);
  side.refresh();
  EXPECT_FALSE(side.impl().boxes->ready());
  EXPECT_FALSE(ready(SideBoxes::kMost + 1));
}

TEST(Targets, ARangeOnlyImprovesWhatIsKnown) {
  const int64_t n = 8, count = 1000, rows = 9;
  Source source(11);
  Twin twin{n, source.normals(count * 2 * n, 1)};
  SideIndex side(n);
  side.assign(twin.rows.data(), count);
  const Values z = source.normals(rows * n, 1);
  on_each_target([&](const std::string& target) {
    std::vector<Found> found(
        rows, {std::numeric_limits<double>::infinity(), -1});
    MatchScratch scratch;
    for (const int64_t first : {700, 130, 300, 0}) {
      const int64_t last = first == 700   ? count
                           : first == 300 ? 700
                                          : first == 130 ? 300 : 130;
      match_range(side, first, last, z.data(), rows, found.data(), scratch);
    }
    for (int64_t i = 0; i < rows; ++i) {
      const Found want = definition(twin, &z[i * n]);
      ASSERT_EQ(found[i].index, want.index) << target << ", row " << i;
      ASSERT_EQ(found[i].squared, want.squared) << target << ", row " << i;
    }
  });
}

// A known distance is the bound: nothing farther replaces it.
TEST(Targets, NothingFartherReplacesWhatIsKnown) {
  const int64_t n = 8;
  SideIndex side(n);
  const Values row(2 * n, 1.0f), z(n, 0.0f);
  side.assign(row.data(), 1);
  on_each_target([&](const std::string& target) {
    MatchScratch scratch;
    Found found{0.5, 77};
    match_range(side, 0, 1, z.data(), 1, &found, scratch);
    ASSERT_EQ(found.index, 77) << target;
    ASSERT_EQ(found.squared, 0.5) << target;
  });
}

TEST(SideIndex, NoRoomChangesNothing) {
  SideIndex side(8);
  const Values row(16, 2.0f);
  side.reserve(1);
  side.put(0, row.data());
  const float* const before = side.row(0);
  EXPECT_THROW(side.reserve(int64_t{1} << 50), std::bad_alloc);
  EXPECT_EQ(side.count(), 1);
  EXPECT_EQ(side.row(0), before);
  EXPECT_EQ(side.row(0)[15], 2.0f);
}

}  // namespace
}  // namespace fdqc
