// The nearest pattern, exactly as step 7 of the specification defines it.
#include <ATen/ops/from_blob.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "match.h"
#include "match_direct.h"
#include "reference.h"
#include "tiles.h"

namespace fdqc {
namespace {

using reference::Floats;
using reference::Source;

at::Tensor matrix(const Floats& from, int64_t rows, int64_t columns) {
  return at::from_blob(const_cast<float*>(from.data()), {rows, columns},
                       at::kFloat);
}

void expect_exact(const Floats& z, int64_t n, const Floats& patterns,
                  const std::string& what) {
  const int64_t rows = static_cast<int64_t>(z.size()) / n;
  const int64_t count = static_cast<int64_t>(patterns.size()) / (2 * n);
  const NoAutograd guard;
  const PreparedSide side = prepare(matrix(patterns, count, 2 * n), n);
  const Nearest got = nearest(side, matrix(z, rows, n));
  for (int64_t i = 0; i < rows; ++i) {
    const reference::Winner want =
        reference::nearest(z.data() + i * n, n, patterns);
    ASSERT_EQ(got.index.const_data_ptr<int64_t>()[i], want.row)
        << what << ": n " << n << ", " << count << " patterns, row " << i
        << ", distance wanted " << want.distance << ", got "
        << got.distance.const_data_ptr<float>()[i];
    const float distance = got.distance.const_data_ptr<float>()[i];
    if (want.distance > 3.4e38) {
      ASSERT_EQ(distance, std::numeric_limits<float>::infinity()) << what;
    } else {
      ASSERT_NEAR(distance, want.distance,
                  1e-5 * want.distance + 1e-45) << what << ", row " << i;
    }
  }
}

// Fills patterns [count, 2n] and rows [rows, n].
struct Scene {
  const char* name;
  std::function<void(Source&, int64_t n, Floats& patterns, Floats& z)> fill;
};

void cluster(Source& source, int64_t n, float at, float spread,
             Floats& patterns, Floats& z) {
  for (size_t i = 0; i < patterns.size(); ++i) {
    const bool head = static_cast<int64_t>(i) % (2 * n) < n;
    patterns[i] = head ? at + spread * source.normal() : 0.0f;
  }
  for (float& value : z) value = at + spread * source.normal();
}

const Scene kScenes[] = {
    {"random",
     [](Source& s, int64_t n, Floats& p, Floats& z) {
       cluster(s, n, 0, 1, p, z);
     }},
    {"tight cluster at the origin",
     [](Source& s, int64_t n, Floats& p, Floats& z) {
       cluster(s, n, 0, 1e-4f, p, z);
     }},
    {"tight cluster far away",
     [](Source& s, int64_t n, Floats& p, Floats& z) {
       cluster(s, n, 1e3f, 1e-4f, p, z);
     }},
    {"several tight clusters",
     [](Source& s, int64_t n, Floats& p, Floats& z) {
       cluster(s, n, 0, 1e-4f, p, z);
       for (size_t i = 0; i < p.size(); ++i) {
         if (static_cast<int64_t>(i) % (2 * n) < n) {
           p[i] += static_cast<float>(i / (2 * n) % 3);
         }
       }
       for (size_t i = 0; i < z.size(); ++i) {
         z[i] += static_cast<float>(i / n % 4);
       }
     }},
    {"duplicates and exact ties",
     [](Source& s, int64_t, Floats& p, Floats& z) {
       for (float& value : p) value = static_cast<float>(s.below(2));
       for (float& value : z) value = static_cast<float>(s.below(2));
     }},
    {"second half in use",
     [](Source& s, int64_t, Floats& p, Floats& z) {
       for (float& value : p) value = s.normal();
       for (float& value : z) value = s.normal();
     }},
    {"rows that are patterns",
     [](Source& s, int64_t n, Floats& p, Floats& z) {
       cluster(s, n, 0, 1, p, z);
       const int64_t count = static_cast<int64_t>(p.size()) / (2 * n);
       for (size_t i = 0; i * n < z.size(); ++i) {
         const int64_t from = s.below(count);
         std::copy_n(p.begin() + from * 2 * n, n, z.begin() + i * n);
       }
     }},
    {"huge 1e30",
     [](Source& s, int64_t n, Floats& p, Floats& z) {
       cluster(s, n, 0, 1e30f, p, z);
     }},
    {"at the end of float32",
     [](Source& s, int64_t n, Floats& p, Floats& z) {
       for (size_t i = 0; i < p.size(); ++i) {
         const bool head = static_cast<int64_t>(i) % (2 * n) < n;
         p[i] = head ? (s.below(2) ? 3e38f : -3e38f) : 0.0f;
       }
       for (float& value : z) value = s.below(2) ? 3e38f : -3e38f;
     }},
    {"norms where float32 ends",
     [](Source& s, int64_t n, Floats& p, Floats& z) {
       cluster(s, n, 0, 5e18f, p, z);
     }},
    {"huge among small",
     [](Source& s, int64_t n, Floats& p, Floats& z) {
       cluster(s, n, 0, 1, p, z);
       for (size_t i = 0; i < p.size(); i += 7 * 2 * n) p[i] = 1e30f;
       for (size_t i = 0; i < z.size(); i += 5 * n) z[i] = 2e19f;
     }},
    {"denormals",
     [](Source& s, int64_t n, Floats& p, Floats& z) {
       cluster(s, n, 0, 1e-42f, p, z);
     }},
    {"squares that underflow",
     [](Source& s, int64_t n, Floats& p, Floats& z) {
       cluster(s, n, 0, 1e-20f, p, z);
     }},
    {"squares of a few denormal steps",
     [](Source& s, int64_t n, Floats& p, Floats& z) {
       cluster(s, n, 0, 2e-22f, p, z);
     }},
    {"all zero", [](Source&, int64_t, Floats&, Floats&) {}},
};

class MatchScene : public testing::TestWithParam<Scene> {};

TEST_P(MatchScene, WinnerIsTheFloat64Definition) {
  struct Size {
    int64_t n, patterns, rows;
  };
  for (const Size size : {Size{4, 1, 3}, {4, 2000, 40}, {8, 15, 600},
                          {8, 16, 1}, {8, 17, 300}, {8, 1000, 1},
                          {8, 1000, 256}, {8, 5003, 200}, {12, 333, 70},
                          {384, 1000, 30}, {384, 7, 2}, {1024, 150, 9}}) {
    Source source(static_cast<uint32_t>(size.n * 31 + size.patterns));
    Floats patterns(size.patterns * 2 * size.n, 0.0f);
    Floats z(size.rows * size.n, 0.0f);
    GetParam().fill(source, size.n, patterns, z);
    expect_exact(z, size.n, patterns, GetParam().name);
    if (HasFatalFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Scenes, MatchScene, testing::ValuesIn(kScenes), [](const auto& info) {
      std::string name = info.param.name;
      for (char& c : name) c = std::isalnum(c) ? c : '_';
      return name;
    });

TEST(Match, NoPatterns) {
  const Floats z(3 * 8, 1.0f);
  expect_exact(z, 8, {}, "no patterns");
}

TEST(Match, ThousandsOfEqualPatterns) {
  const int64_t n = 8, count = 100000;
  Floats patterns(count * 2 * n, 0.0f);
  for (int64_t i = 0; i < count; ++i) {
    std::fill_n(patterns.begin() + i * 2 * n, n, 0.25f);
  }
  Source source(3);
  expect_exact(source.normals(2 * n, 1), n, patterns, "equal patterns");
  // The nearest is one of many in the last chunk.
  patterns[(count - 5) * 2 * n] = patterns[(count - 3) * 2 * n] = 0.5f;
  Floats z(2 * n, 0.25f);
  for (int64_t i = 0; i < 2; ++i) z[i * n] = 0.75f;
  expect_exact(z, n, patterns, "two better among equal");
}

TEST(Match, MergeKeepsTheLowestOfEquals) {
  const NoAutograd guard;
  const auto longs = [](std::vector<int64_t> from) {
    return at::from_blob(from.data(), {static_cast<int64_t>(from.size())},
                         at::kLong).clone();
  };
  const auto doubles = [](std::vector<double> from) {
    return at::from_blob(from.data(), {static_cast<int64_t>(from.size())},
                         at::kDouble).clone();
  };
  Best best(3, at::kCPU);
  best.merge(doubles({4, 2, 2, 9}), longs({7, 6, 5, 1}), longs({0, 0, 0, 2}));
  best.merge(doubles({2, 9, 8}), longs({9, 0, 3}), longs({0, 2, 2}));
  const Nearest got = best.answer();
  const int64_t* index = got.index.const_data_ptr<int64_t>();
  EXPECT_EQ(index[0], 5);
  EXPECT_EQ(index[1], -1);
  EXPECT_EQ(index[2], 3);
  EXPECT_FLOAT_EQ(got.distance.const_data_ptr<float>()[2], std::sqrt(8.0f));
}

}  // namespace
}  // namespace fdqc
