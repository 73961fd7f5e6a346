// The scan against the recurrence row by row.
#include <ATen/ops/from_blob.h>
#include <gtest/gtest.h>

#include "reference.h"
#include "scan.h"
#include "tiles.h"

namespace fdqc {
namespace {

using reference::Floats;
using reference::Source;

struct Case {
  const char* name;
  int64_t rows, n, slots;
  int reset_every;   // about; 0: never
  bool by_turns;     // slots one after another, else random
  bool empty_moves;  // slot 0 only, told by an empty list
};

class Scan : public testing::TestWithParam<Case> {};

void expect_recurrence(const Case& c) {
  Source source(static_cast<uint32_t>(c.rows + c.slots));
  const Floats u = source.normals(c.rows * c.n, 1);
  Floats states = source.normals(c.slots * c.n, 3);
  const Floats loaded = source.normals(c.n, 2);
  std::vector<ScanRow> moves;
  for (int64_t i = 0; i < c.rows && !c.empty_moves; ++i) {
    const int64_t slot = c.by_turns ? i % c.slots : source.below(c.slots);
    moves.push_back({static_cast<int32_t>(slot),
                     c.reset_every > 0 && source.below(c.reset_every) == 0});
  }

  std::vector<double> want_states(states.begin(), states.end());
  std::vector<double> want(c.rows * c.n), scale(c.rows * c.n);
  std::vector<double> seen(want_states.size());
  for (size_t i = 0; i < seen.size(); ++i) seen[i] = std::fabs(states[i]);
  for (int64_t i = 0; i < c.rows; ++i) {
    const int64_t slot = moves.empty() ? 0 : moves[i].slot;
    for (int64_t j = 0; j < c.n; ++j) {
      double& s = want_states[slot * c.n + j];
      double& most = seen[slot * c.n + j];
      if (!moves.empty() && moves[i].reset) {
        s = loaded[j];
        most = std::fabs(s);
      }
      const double x = u[i * c.n + j];
      s = 0.9 * s + 0.1 * x;
      // What the terms of the sum amount to, cancellation left out.
      most = 0.9 * most + 0.1 * std::fabs(x);
      want[i * c.n + j] = s;
      scale[i * c.n + j] = most;
    }
  }

  const NoAutograd guard;
  const at::Tensor state = at::from_blob(states.data(), {c.slots, c.n},
                                         at::kFloat);
  const at::Tensor got =
      scan(at::from_blob(const_cast<float*>(u.data()), {c.rows, c.n},
                         at::kFloat),
           moves, state,
           at::from_blob(const_cast<float*>(loaded.data()), {c.n}, at::kFloat))
          .contiguous();
  for (int64_t i = 0; i < c.rows * c.n; ++i) {
    ASSERT_NEAR(got.const_data_ptr<float>()[i], want[i], 1e-6 * scale[i])
        << "row " << i / c.n << ", element " << i % c.n;
  }
  for (size_t i = 0; i < states.size(); ++i) {
    ASSERT_NEAR(states[i], want_states[i], 1e-6 * std::max(seen[i], 1e-3))
        << "state of slot " << i / c.n;
  }
}

TEST_P(Scan, EqualsTheRecurrence) { expect_recurrence(GetParam()); }

const Case kCases[] = {
    {"one row", 1, 8, 1, 0, false, true},
    {"one slot", 4096, 8, 1, 0, false, true},
    {"one slot told", 1000, 8, 1, 0, false, false},
    {"one slot block and a row", 65, 4, 1, 0, false, true},
    {"one slot largest batch", 65536, 8, 1, 0, false, true},
    {"resets", 1000, 12, 1, 30, false, false},
    {"resets everywhere", 300, 8, 1, 1, false, false},
    {"rare resets", 4096, 8, 1, 500, false, false},
    {"two slots by turns", 999, 8, 2, 0, true, false},
    {"many slots", 4096, 8, 100, 0, false, false},
    {"many slots and resets", 5000, 8, 37, 20, false, false},
    {"a row a slot", 3000, 8, 3000, 0, true, false},
    {"a row a slot with resets", 3000, 4, 3000, 2, true, false},
    {"more slots than rows", 100, 8, 5000, 3, false, false},
    {"wide", 700, 384, 3, 50, false, false},
    {"widest", 200, 1024, 1, 0, false, true},
    {"largest batch of many slots", 65536, 4, 10000, 100, false, false},
};

INSTANTIATE_TEST_SUITE_P(
    Cases, Scan, testing::ValuesIn(kCases), [](const auto& info) {
      std::string name = info.param.name;
      for (char& c : name) c = std::isalnum(c) ? c : '_';
      return name;
    });

TEST(ScanOf, LargeValuesDoNotOverflow) {
  const NoAutograd guard;
  Floats u(200 * 4, 3.4e38f), state(4, 3.4e38f), loaded(4, 0.0f);
  const at::Tensor got =
      scan(at::from_blob(u.data(), {200, 4}, at::kFloat), {},
           at::from_blob(state.data(), {1, 4}, at::kFloat),
           at::from_blob(loaded.data(), {4}, at::kFloat));
  EXPECT_TRUE(got.isfinite().all().item<bool>());
}

TEST(ScanOf, TheInputIsNotChanged) {
  const NoAutograd guard;
  Floats u(100 * 4, 1.0f), state(2 * 4, 1.0f), loaded(4, 5.0f);
  scan(at::from_blob(u.data(), {100, 4}, at::kFloat),
       std::vector<ScanRow>(100, ScanRow{1, false}),
       at::from_blob(state.data(), {2, 4}, at::kFloat),
       at::from_blob(loaded.data(), {4}, at::kFloat));
  EXPECT_EQ(u, Floats(100 * 4, 1.0f));
  EXPECT_EQ(loaded, Floats(4, 5.0f));
  EXPECT_EQ(Floats(state.begin(), state.begin() + 4), Floats(4, 1.0f))
      << "the state of a slot that no row names";
}

}  // namespace
}  // namespace fdqc
