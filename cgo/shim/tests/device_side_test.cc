// One side of the memory on a device: what puts leave there.
#include "device_side.h"

#include <ATen/ops/from_blob.h>
#include <c10/util/Exception.h>
#include <gtest/gtest.h>

#include <cmath>

#include "match.h"
#include "pretended.h"
#include "reference.h"

namespace fdqc {
namespace {

using reference::Floats;
using reference::Source;

constexpr int64_t kN = 3;

// The rows are the twin's, what fills the last group is infinitely far, and the
// bounds find the nearest pattern.
void expect_twin(const DeviceSide& side, const Floats& twin, Source& source) {
  const PreparedSide view = side.view();
  const int64_t count = static_cast<int64_t>(twin.size()) / (2 * kN);
  ASSERT_EQ(view.count, count);
  ASSERT_EQ(Floats(view.rows.const_data_ptr<float>(),
                   view.rows.const_data_ptr<float>() + count * 2 * kN),
            twin);
  for (int64_t i = count; i < view.lower.size(0); ++i) {
    ASSERT_TRUE(std::isinf(
        view.lower.const_data_ptr<float>()[i * (kN + 1) + kN])) << "row " << i;
  }
  const NoAutograd guard;
  const Floats z = source.normals(4 * kN, 2);
  const Nearest got = nearest(
      view, at::from_blob(const_cast<float*>(z.data()), {4, kN}, at::kFloat));
  for (int64_t i = 0; i < 4; ++i) {
    ASSERT_EQ(got.index.const_data_ptr<int64_t>()[i],
              reference::nearest(z.data() + i * kN, kN, twin).row);
  }
}

TEST(DeviceSide, AgreesWithANaiveTwin) {
  const Pretended pretended;
  const NoAutograd guard;
  Source source(1);
  DeviceSide side(kN, at::kCPU);
  Floats twin;
  for (int step = 0; step < 600; ++step) {
    const int64_t have = static_cast<int64_t>(twin.size()) / (2 * kN);
    if (source.below(10) == 0) {
      const int64_t count = source.below(have + 1);
      side.truncate(count);
      twin.resize(count * 2 * kN);
    } else {
      std::vector<int64_t> index;
      Floats rows;
      // Now and then far from all others, so that the centre has to move.
      const float at = source.below(20) == 0 ? 1e4f : 0;
      int64_t after = have;
      for (int64_t k = source.below(6); k > 0; --k) {
        const int64_t place = source.below(after + 1);
        if (place == after) twin.resize(++after * 2 * kN);
        index.push_back(place);
        for (int64_t j = 0; j < 2 * kN; ++j) {
          const float value =
              j >= kN && source.below(3) > 0 ? 0 : at + source.normal();
          rows.push_back(value);
          twin[place * 2 * kN + j] = value;
        }
      }
      side.put(static_cast<int64_t>(index.size()), index.data(), rows.data());
    }
    expect_twin(side, twin, source);
    if (HasFatalFailure()) return;
  }
}

TEST(DeviceSide, APutWritesItsRowsInPlace) {
  const Pretended pretended;
  const NoAutograd guard;
  Source source(2);
  DeviceSide side(kN, at::kCPU);
  const Floats rows = source.normals(100 * 2 * kN, 1);
  std::vector<int64_t> index(100);
  for (int64_t i = 0; i < 100; ++i) index[i] = i;
  side.put(100, index.data(), rows.data());
  const PreparedSide before = side.view();
  const at::Tensor lower = before.lower.clone();
  const int64_t place = 42;
  side.put(1, &place, rows.data());
  const PreparedSide after = side.view();
  EXPECT_EQ(after.rows.const_data_ptr(), before.rows.const_data_ptr());
  EXPECT_EQ(after.lower.const_data_ptr(), before.lower.const_data_ptr());
  EXPECT_EQ(after.centre.const_data_ptr(), before.centre.const_data_ptr());
  for (int64_t i = 0; i < 100; ++i) {
    EXPECT_EQ(after.lower[i].equal(lower[i]), i != 42) << "row " << i;
  }
  EXPECT_TRUE(after.lower[42].equal(lower[0])) << "the same row, derived again";
}

TEST(DeviceSide, WithoutMemoryNothingChanges) {
  Pretended pretended;
  const NoAutograd guard;
  Source source(3);
  DeviceSide side(kN, at::kCPU);
  const Floats rows = source.normals(10 * 2 * kN, 1);
  std::vector<int64_t> index(10);
  for (int64_t i = 0; i < 10; ++i) index[i] = i;
  side.put(5, index.data(), rows.data());
  pretended.fail("memory:9");
  EXPECT_THROW(side.put(10, index.data(), rows.data()), c10::OutOfMemoryError);
  expect_twin(side, Floats(rows.begin(), rows.begin() + 5 * 2 * kN), source);
}

}  // namespace
}  // namespace fdqc
