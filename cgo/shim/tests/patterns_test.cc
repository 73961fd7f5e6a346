#include <limits>
#include <random>
#include <vector>

#include "handles.h"
#include "table.h"

namespace {

constexpr int32_t kN = 2;
constexpr int64_t kWidth = 2 * kN;

class Patterns : public ::testing::Test {
 protected:
  void SetUp() override {
    before_ = live();
    EXPECT_OK(table().patterns_new(FDQC_DEVICE_CPU, kN, &patterns_));
    ASSERT_NE(patterns_, nullptr);
  }
  void TearDown() override {
    EXPECT_OK(table().patterns_free(patterns_));
    EXPECT_EQ(live(), before_);
  }

  // Puts rows whose elements all are their id.
  fdqc_status* put(int32_t side, const std::vector<int64_t>& index,
                   const std::vector<int64_t>& ids) {
    std::vector<float> rows;
    for (const int64_t id : ids) rows.insert(rows.end(), kWidth, static_cast<float>(id));
    return table().patterns_put(patterns_, side,
                                static_cast<int64_t>(index.size()),
                                index.data(), rows.data(), ids.data());
  }

  void expect(int32_t side, const std::vector<int64_t>& ids) {
    const fdqc::PatternSide& of = patterns_->sides[side];
    ASSERT_EQ(of.count, static_cast<int64_t>(ids.size()));
    EXPECT_EQ(of.ids, ids);
    ASSERT_EQ(of.index->count(), of.count);
    for (int64_t i = 0; i < of.count; ++i) {
      for (int64_t j = 0; j < kWidth; ++j) {
        ASSERT_EQ(of.index->row(i)[j], static_cast<float>(ids[i]))
            << "element " << j << " of row " << i;
      }
    }
  }

  fdqc_patterns* patterns_ = nullptr;
  int64_t before_ = 0;
};

TEST_F(Patterns, StartEmpty) {
  expect(FDQC_SAFE, {});
  expect(FDQC_UNSAFE, {});
}

TEST_F(Patterns, AppendOverwriteAndTruncate) {
  EXPECT_OK(put(FDQC_SAFE, {0, 1, 2}, {10, 11, 12}));
  expect(FDQC_SAFE, {10, 11, 12});
  expect(FDQC_UNSAFE, {});
  EXPECT_OK(put(FDQC_SAFE, {1, 3, 0}, {21, 13, 20}));
  expect(FDQC_SAFE, {20, 21, 12, 13});
  // The later of two rows for one place stays, also within one put.
  EXPECT_OK(put(FDQC_SAFE, {4, 4, 0, 0}, {30, 31, 32, 33}));
  expect(FDQC_SAFE, {33, 21, 12, 13, 31});
  EXPECT_OK(table().patterns_truncate(patterns_, FDQC_SAFE, 2));
  expect(FDQC_SAFE, {33, 21});
  EXPECT_OK(put(FDQC_SAFE, {2}, {40}));
  expect(FDQC_SAFE, {33, 21, 40});
  EXPECT_OK(put(FDQC_SAFE, {}, {}));
  EXPECT_OK(table().patterns_truncate(patterns_, FDQC_SAFE, 0));
  expect(FDQC_SAFE, {});
}

TEST_F(Patterns, RoomGrowsByDoublingAndKeepsWhatIsThere) {
  std::vector<int64_t> ids;
  int moves = 0;
  const void* at = nullptr;
  for (int64_t i = 0; i < 5000; ++i) {
    EXPECT_OK(put(FDQC_UNSAFE, {i}, {i}));
    ids.push_back(i);
    const void* now = patterns_->sides[FDQC_UNSAFE].index->row(0);
    if (now != at) ++moves;
    at = now;
  }
  expect(FDQC_UNSAFE, ids);
  EXPECT_LE(moves, 8) << "64 rows doubled to 8192";
}

TEST_F(Patterns, AgreeWithANaiveTwin) {
  std::mt19937 random(1);
  std::vector<int64_t> twin;
  for (int64_t step = 0, id = 0; step < 2000; ++step) {
    if (random() % 10 == 0) {
      const int64_t count = random() % (twin.size() + 1);
      EXPECT_OK(table().patterns_truncate(patterns_, FDQC_SAFE, count));
      twin.resize(count);
    } else {
      std::vector<int64_t> index, ids;
      for (int64_t i = random() % 5; i > 0; --i) {
        const int64_t place = random() % (twin.size() + 1);
        if (place == static_cast<int64_t>(twin.size())) twin.push_back(0);
        twin[place] = id;
        index.push_back(place);
        ids.push_back(id++);
      }
      EXPECT_OK(put(FDQC_SAFE, index, ids));
    }
  }
  expect(FDQC_SAFE, twin);
}

TEST_F(Patterns, ARefusedPutChangesNothing) {
  EXPECT_OK(put(FDQC_SAFE, {0, 1}, {10, 11}));
  EXPECT_FAILS(put(FDQC_SAFE, {0, 3}, {20, 21}), FDQC_INVALID_ARGUMENT, "index 3 of row 1");
  EXPECT_FAILS(put(FDQC_SAFE, {0, -1}, {20, 21}), FDQC_INVALID_ARGUMENT, "index -1 of row 1");
  EXPECT_FAILS(put(FDQC_SAFE, {0, 1}, {20, -1}), FDQC_INVALID_ARGUMENT, "id -1");
  EXPECT_FAILS(put(2, {0}, {20}), FDQC_INVALID_ARGUMENT, "side 2");
  const int64_t index[] = {0, 1}, ids[] = {20, 21};
  float rows[2 * kWidth] = {};
  rows[2 * kWidth - 1] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_FAILS(table().patterns_put(patterns_, FDQC_SAFE, 2, index, rows, ids),
               FDQC_INVALID_ARGUMENT, "element 3 of row 1 is not finite");
  rows[2 * kWidth - 1] = 0;
  EXPECT_FAILS(table().patterns_put(patterns_, FDQC_SAFE, -1, index, rows, ids), FDQC_INVALID_ARGUMENT, "count -1");
  EXPECT_FAILS(table().patterns_put(patterns_, FDQC_SAFE, 2, nullptr, rows, ids), FDQC_INVALID_ARGUMENT, "NULL");
  EXPECT_FAILS(table().patterns_put(patterns_, FDQC_SAFE, 2, index, nullptr, ids), FDQC_INVALID_ARGUMENT, "NULL");
  EXPECT_FAILS(table().patterns_put(patterns_, FDQC_SAFE, 2, index, rows, nullptr), FDQC_INVALID_ARGUMENT, "NULL");
  EXPECT_FAILS(table().patterns_put(nullptr, FDQC_SAFE, 2, index, rows, ids), FDQC_INVALID_ARGUMENT, "NULL");
  EXPECT_FAILS(table().patterns_truncate(patterns_, FDQC_SAFE, 3), FDQC_INVALID_ARGUMENT, "count 3");
  EXPECT_FAILS(table().patterns_truncate(patterns_, FDQC_SAFE, -1), FDQC_INVALID_ARGUMENT, "count -1");
  expect(FDQC_SAFE, {10, 11});
}

}  // namespace
