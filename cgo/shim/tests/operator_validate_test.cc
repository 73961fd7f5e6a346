// Whole verdicts against the specification, row by row.
#include <gtest/gtest.h>

#include "handles_of.h"
#include "pool.h"
#include "rows_of.h"

namespace fdqc {
namespace {

using reference::Floats;
using reference::Model;
using reference::Source;

void expect_all(const Model& model, const Floats& z, const std::string& what) {
  const int64_t count = static_cast<int64_t>(z.size()) / model.n;
  const Handles handles(model);
  const Batch batch(handles, model, z.data(), count);
  const std::vector<fdqc_verdict> got = batch.judge();
  std::vector<double> state(model.real.begin(), model.real.end());
  for (int64_t i = 0; i < count; ++i) {
    expect_row(model, z.data() + i * model.n, state, got[i], false,
               what + ", row " + std::to_string(i));
    if (testing::Test::HasFatalFailure()) return;
  }
  const Floats after = handles.state(0);
  for (int64_t j = 0; j < model.n; ++j) {
    EXPECT_NEAR(after[j], state[j], 1e-6) << what << ", element " << j;
  }
}

TEST(Validate, EveryPolicy) {
  uint32_t decisions = 0;
  for (int tier = FDQC_TIER_ALPHA; tier <= FDQC_TIER_OMEGA; ++tier) {
    for (int bits = 0; bits < 8; ++bits) {
      Source source(static_cast<uint32_t>(100 + tier));
      Model model = reference::model(source, 8, 30, 30, 0.7f);
      model.policy.tier = tier;
      model.policy.safe_mode = bits & 1;
      model.policy.require_human_approval = bits >> 1 & 1;
      model.policy.state_update = bits >> 2 & 1;
      const Floats z = rows_around(source, model, 120);
      const std::string what =
          "tier " + std::to_string(tier) + ", bits " + std::to_string(bits);
      expect_all(model, z, what);
      if (HasFatalFailure()) return;
      const Handles handles(model);
      for (const fdqc_verdict& v :
           Batch(handles, model, z.data(), 120).judge()) {
        decisions |= v.flags;
      }
    }
  }
  EXPECT_EQ(decisions, 2047u) << "not every flag was met";
}

TEST(Validate, EverySize) {
  struct Size {
    int64_t n, safe, unsafe, rows;
  };
  for (const Size size :
       {Size{4, 0, 0, 50}, {4, 3, 0, 50}, {8, 0, 0, 1}, {8, 1, 0, 70},
        {8, 0, 1, 70}, {8, 0, 500, 200}, {8, 1000, 1000, 300},
        {12, 40, 60, 130}, {384, 0, 20, 40}, {384, 300, 200, 80},
        {1024, 10, 10, 20}}) {
    for (const int update : {FDQC_STATE_ROW, FDQC_STATE_FIRST_ELEMENT}) {
      Source source(static_cast<uint32_t>(size.n + size.safe));
      Model model =
          reference::model(source, size.n, size.safe, size.unsafe, 0.5f);
      model.policy.state_update = update;
      model.policy.safe_mode = model.policy.require_human_approval = 0;
      expect_all(model, rows_around(source, model, size.rows),
                 "n " + std::to_string(size.n) + ", " +
                     std::to_string(size.safe) + "+" +
                     std::to_string(size.unsafe) + " patterns");
      if (HasFatalFailure()) return;
    }
  }
}

TEST(Validate, ConfiguredThresholds) {
  Source source(5);
  Model model = reference::model(source, 8, 10, 10, 0.4f);
  for (const float entropy : {-1.0f, 0.5f, 2.0f}) {
    for (const float collapse : {0.0f, 0.014f, 1.0f}) {
      for (const float block : {0.0f, 0.65f, 1.2f}) {
        model.policy.entropy_threshold = entropy;
        model.policy.collapse_threshold = collapse;
        model.policy.block_threshold = block;
        expect_all(model, rows_around(source, model, 60),
                   "thresholds " + std::to_string(entropy) + " " +
                       std::to_string(collapse) + " " + std::to_string(block));
        if (HasFatalFailure()) return;
      }
    }
  }
}

void expect_same(const std::vector<fdqc_verdict>& a,
                 const std::vector<fdqc_verdict>& b, const std::string& what) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    const std::string row = what + ", row " + std::to_string(i);
    ASSERT_EQ(a[i].row_status, b[i].row_status) << row;
    ASSERT_EQ(a[i].nearest_safe, b[i].nearest_safe) << row;
    ASSERT_EQ(a[i].nearest_unsafe, b[i].nearest_unsafe) << row;
    ASSERT_EQ(a[i].safe_distance, b[i].safe_distance) << row;
    ASSERT_EQ(a[i].unsafe_distance, b[i].unsafe_distance) << row;
    ASSERT_NEAR(a[i].entropy, b[i].entropy, 2e-6) << row;
    ASSERT_NEAR(a[i].coherence, b[i].coherence, 2e-6) << row;
    ASSERT_NEAR(a[i].raw_risk, b[i].raw_risk, 1e-5) << row;
  }
}

TEST(Validate, AnySplitGivesTheSame) {
  Source source(9);
  Model model = reference::model(source, 8, 200, 100, 1.0f);
  const int64_t count = 65536;
  const Floats z = rows_around(source, model, count);
  const Handles whole(model);
  const std::vector<fdqc_verdict> want =
      Batch(whole, model, z.data(), count).judge();
  for (const int64_t size : {1, 7, 4096}) {
    const Handles handles(model);
    const int64_t rows = size == 1 ? 2000 : count;
    std::vector<fdqc_verdict> got;
    for (int64_t from = 0; from < rows; from += size) {
      const auto part = Batch(handles, model, z.data() + from * 8,
                              std::min(size, rows - from)).judge();
      got.insert(got.end(), part.begin(), part.end());
    }
    expect_same(got, {want.begin(), want.begin() + rows},
                "batches of " + std::to_string(size));
    if (HasFatalFailure()) return;
  }
}

TEST(Validate, AnyNumberOfThreadsGivesTheSame) {
  Source source(10);
  Model model = reference::model(source, 12, 700, 20, 1.0f);
  const Floats z = rows_around(source, model, 3000);
  std::vector<fdqc_verdict> first;
  for (const int threads : {1, 2, 5}) {
    Pool::instance().resize(threads);
    const Handles handles(model);
    const auto got = Batch(handles, model, z.data(), 3000).judge();
    if (first.empty()) first = got;
    expect_same(got, first, std::to_string(threads) + " threads");
  }
  Pool::instance().resize(1);
}

TEST(Validate, SessionsAreIndependent) {
  Source source(11);
  Model model = reference::model(source, 8, 20, 20, 1.0f);
  const int64_t count = 5000, slots = 60;
  const Floats z = rows_around(source, model, count);
  std::vector<int32_t> slot(count);
  std::vector<uint8_t> flags(count, 0);
  for (int64_t i = 0; i < count; ++i) {
    slot[i] = static_cast<int32_t>(source.below(slots));
    if (source.below(40) == 0) flags[i] |= FDQC_ROW_RESET;
    if (source.below(3) == 0) flags[i] |= FDQC_ROW_NO_ALLOW;
  }
  model.policy.safe_mode = model.policy.require_human_approval = 0;
  const Handles handles(model);
  Batch batch(handles, model, z.data(), count);
  batch.batch.slots = slot.data();
  batch.batch.row_flags = flags.data();
  const std::vector<fdqc_verdict> got = batch.judge();
  std::vector<std::vector<double>> states(
      slots, std::vector<double>(model.real.begin(), model.real.end()));
  for (int64_t i = 0; i < count; ++i) {
    std::vector<double>& state = states[slot[i]];
    if ((flags[i] & FDQC_ROW_RESET) != 0) {
      state.assign(model.real.begin(), model.real.end());
    }
    expect_row(model, z.data() + i * 8, state, got[i],
               (flags[i] & FDQC_ROW_NO_ALLOW) != 0,
               "row " + std::to_string(i));
    if (HasFatalFailure()) return;
  }
  for (int64_t s = 0; s < slots; ++s) {
    const Floats after = handles.state(static_cast<int32_t>(s));
    for (int64_t j = 0; j < 8; ++j) ASSERT_NEAR(after[j], states[s][j], 1e-6);
  }
}

}  // namespace
}  // namespace fdqc
