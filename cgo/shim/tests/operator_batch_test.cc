// The batch calls of the C ABI: arguments, rows that are refused, states, and
// the operator through the dispatcher.
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/from_blob.h>
#include <gtest/gtest.h>

#include <cstring>
#include <functional>

#include "handles_of.h"
#include "operator.h"

namespace fdqc {
namespace {

using reference::Floats;
using reference::Model;
using reference::Source;

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr uint32_t kRefused = FDQC_REQUIRES_APPROVAL |
                              FDQC_REQUIRES_HUMAN_APPROVAL |
                              FDQC_DECISION_BLOCK;

void expect_refused(const fdqc_verdict& v, uint32_t status, int64_t row) {
  EXPECT_EQ(v.row_status, status) << "row " << row;
  EXPECT_EQ(v.flags, kRefused) << "row " << row;
  for (const float value :
       {v.risk_score, v.raw_risk, v.base_risk, v.entropy, v.coherence,
        v.novelty, v.safe_similarity, v.unsafe_similarity, v.safe_distance,
        v.unsafe_distance}) {
    EXPECT_TRUE(std::isnan(value)) << "row " << row;
  }
  EXPECT_EQ(v.nearest_safe, -1) << "row " << row;
  EXPECT_EQ(v.nearest_unsafe, -1) << "row " << row;
}

bool same(const fdqc_verdict& a, const fdqc_verdict& b) {
  return a.flags == b.flags && a.row_status == b.row_status &&
         a.nearest_safe == b.nearest_safe &&
         a.nearest_unsafe == b.nearest_unsafe &&
         std::fabs(a.entropy - b.entropy) < 2e-6 &&
         std::fabs(a.base_risk - b.base_risk) < 2e-6;
}

// A batch with refused rows is the batch without them, their resets taken
// over by the next row of the slot.
TEST(BatchCall, RefusedRowsAreAsIfNotThere) {
  Source source(21);
  const Model model = reference::model(source, 8, 50, 50, 1.0f);
  const int64_t count = 9000, slots = 5;
  Floats z = source.normals(count * 8, 1);
  std::vector<int32_t> slot(count);
  std::vector<uint8_t> flags(count, 0);
  std::vector<uint32_t> status(count, FDQC_ROW_OK);
  for (int64_t i = 0; i < count; ++i) {
    slot[i] = static_cast<int32_t>(source.below(slots));
    if (source.below(50) == 0) flags[i] |= FDQC_ROW_RESET;
    switch (source.below(9)) {
      case 0:
        flags[i] |= FDQC_ROW_SKIP;
        status[i] = FDQC_ROW_SKIPPED;
        if (source.below(2) == 0) z[i * 8 + 3] = kNaN;
        break;
      case 1:
        z[i * 8 + source.below(8)] = source.below(2) ? kNaN : -kInf;
        status[i] = FDQC_ROW_NOT_FINITE;
        break;
      default:
        break;
    }
  }
  // Slot 4 ends with a reset that no row takes over.
  for (int64_t i = count - 1;; --i) {
    if (slot[i] != 4) continue;
    flags[i] = FDQC_ROW_SKIP | FDQC_ROW_RESET;
    status[i] = FDQC_ROW_SKIPPED;
    break;
  }

  Floats kept_z;
  std::vector<int32_t> kept_slot;
  std::vector<uint8_t> kept_flags;
  std::vector<bool> due(slots, false);
  for (int64_t i = 0; i < count; ++i) {
    const bool reset = (flags[i] & FDQC_ROW_RESET) != 0 || due[slot[i]];
    due[slot[i]] = reset && status[i] != FDQC_ROW_OK;
    if (status[i] != FDQC_ROW_OK) continue;
    kept_z.insert(kept_z.end(), z.begin() + i * 8, z.begin() + i * 8 + 8);
    kept_slot.push_back(slot[i]);
    kept_flags.push_back(reset ? FDQC_ROW_RESET : 0);
  }
  const Handles plain(model), mixed(model);
  Batch without(plain, model, kept_z.data(),
                static_cast<int64_t>(kept_slot.size()));
  without.batch.slots = kept_slot.data();
  without.batch.row_flags = kept_flags.data();
  const auto want = without.judge();
  Batch with(mixed, model, z.data(), count);
  with.batch.slots = slot.data();
  with.batch.row_flags = flags.data();
  const auto got = with.judge();

  size_t next = 0;
  for (int64_t i = 0; i < count; ++i) {
    if (status[i] != FDQC_ROW_OK) {
      expect_refused(got[i], status[i], i);
    } else {
      ASSERT_TRUE(same(got[i], want[next++])) << "row " << i;
    }
  }
  for (int32_t s = 0; s < slots; ++s) {
    const Floats a = mixed.state(s), b = due[s] ? model.real : plain.state(s);
    for (int j = 0; j < 8; ++j) EXPECT_NEAR(a[j], b[j], 1e-6) << "slot " << s;
  }
  EXPECT_TRUE(due[4]);
}

TEST(BatchCall, RefusedRowsOnly) {
  Source source(22);
  const Model model = reference::model(source, 8, 5, 5, 1.0f);
  const Handles handles(model);
  const Floats z(3 * 8, kNaN);
  const auto got = Batch(handles, model, z.data(), 3).judge();
  for (int64_t i = 0; i < 3; ++i) {
    expect_refused(got[i], FDQC_ROW_NOT_FINITE, i);
  }
  EXPECT_EQ(handles.state(0), model.real);
}

TEST(BatchCall, SegmentsOfSeveralWidths) {
  Source source(23);
  const Model model = reference::model(source, 8, 40, 40, 1.0f);
  Handles handles(model);
  struct Part {
    int32_t width;
    int64_t count;
  };
  std::vector<Floats> rows;
  std::vector<fdqc_segment> segments;
  std::vector<double> exact;  // the workspace rows
  int64_t count = 0;
  for (const Part part : {Part{8, 300}, {1, 20}, {4096, 40}, {8, 1},
                          {384, 5000}, {17, 3}}) {
    rows.push_back(source.normals(part.width * part.count, 1));
    fdqc_projection* projection = nullptr;
    Floats weight, bias;
    if (part.width != 8) {
      weight = source.normals(8 * part.width,
                              1 / std::sqrt(static_cast<float>(part.width)));
      bias = source.normals(8, 0.1f);
      projection = handles.project_from(part.width, weight, bias);
    }
    segments.push_back(
        {rows.back().data(), projection, part.count, part.width, 0});
    for (int64_t i = 0; i < part.count; ++i) {
      for (int64_t k = 0; k < 8; ++k) {
        double sum = projection == nullptr ? rows.back()[i * 8 + k] : bias[k];
        for (int64_t j = 0; projection != nullptr && j < part.width; ++j) {
          sum += static_cast<double>(weight[k * part.width + j]) *
                 rows.back()[i * part.width + j];
        }
        exact.push_back(sum);
      }
    }
    count += part.count;
  }
  Batch batch(handles, model, nullptr, count);
  batch.batch.segments = segments.data();
  batch.batch.segment_count = static_cast<int64_t>(segments.size());
  Floats z(count * 8);
  std::vector<uint32_t> status(count, 99);
  ASSERT_EQ(take(api::project(&batch.batch, z.data(), status.data())), "");
  for (int64_t i = 0; i < count * 8; ++i) {
    ASSERT_NEAR(z[i], exact[i], 2e-5) << "row " << i / 8;
    ASSERT_EQ(status[i / 8], FDQC_ROW_OK);
  }
  EXPECT_EQ(handles.state(0), model.real) << "project moved a state";
  const auto got = batch.judge();
  const Handles narrow(model);
  const auto want = Batch(narrow, model, z.data(), count).judge();
  for (int64_t i = 0; i < count; ++i) {
    ASSERT_NEAR(got[i].base_risk, want[i].base_risk, 1e-5) << "row " << i;
    ASSERT_NEAR(got[i].safe_distance, want[i].safe_distance,
                1e-4 * want[i].safe_distance) << "row " << i;
  }
}

TEST(BatchCall, WorkspaceRowsThatOverflow) {
  Source source(24);
  const Model model = reference::model(source, 8, 5, 5, 1.0f);
  Handles handles(model);
  const Floats weight(8 * 16, 1.0f), bias(8, 0.0f);
  Floats rows = source.normals(4 * 16, 1);
  std::fill_n(rows.begin() + 16, 16, 3e38f);
  rows[2 * 16] = kInf;
  Batch batch(handles, model, rows.data(), 4);
  batch.segment.width = 16;
  batch.segment.projection = handles.project_from(16, weight, bias);
  const auto got = batch.judge();
  EXPECT_EQ(got[0].row_status, FDQC_ROW_OK);
  expect_refused(got[1], FDQC_ROW_OVERFLOW, 1);
  expect_refused(got[2], FDQC_ROW_NOT_FINITE, 2);
  EXPECT_EQ(got[3].row_status, FDQC_ROW_OK);
  Floats z(4 * 8);
  std::vector<uint32_t> status(4);
  ASSERT_EQ(take(api::project(&batch.batch, z.data(), status.data())), "");
  EXPECT_EQ(status[1], FDQC_ROW_OVERFLOW);
  EXPECT_EQ(status[2], FDQC_ROW_NOT_FINITE);
  EXPECT_TRUE(std::isnan(z[8])) << "a refused workspace row is NaN";
}

TEST(BatchCall, RowsWithNoScore) {
  Source source(25);
  Model model = reference::model(source, 4, 5, 0, 1.0f);
  // Infinite terms of both signs from a state that is finite.
  std::fill(model.tensors[0].begin(), model.tensors[0].end(), 1e20f);
  for (size_t i = 0; i < model.tensors[2].size(); ++i) {
    model.tensors[2][i] = i % 2 == 0 ? 1e20f : -1e20f;
  }
  const Handles handles(model);
  const Floats z(2 * 4, 1e30f);
  const auto got = Batch(handles, model, z.data(), 2).judge();
  expect_refused(got[0], FDQC_ROW_NO_SCORE, 0);
  expect_refused(got[1], FDQC_ROW_NO_SCORE, 1);
  EXPECT_GT(handles.state(0)[0], 1e29f) << "the state moves all the same";
}

TEST(BatchCall, ChangedPatternsAreSeen) {
  Source source(26);
  Model model = reference::model(source, 8, 2000, 10, 1.0f);
  Handles handles(model);
  const Floats z = source.normals(64 * 8, 1);
  const Batch batch(handles, model, z.data(), 64);
  batch.judge();
  const int64_t at = 1234, id = 77;
  Floats row(16, 0.0f);
  std::copy_n(z.begin() + 5 * 8, 8, row.begin());
  ASSERT_EQ(take(api::patterns_put(handles.patterns, FDQC_SAFE, 1, &at,
                                   row.data(), &id)), "");
  EXPECT_EQ(batch.judge()[5].nearest_safe, 77);
  EXPECT_EQ(batch.judge()[5].safe_distance, 0.0f);
  ASSERT_EQ(take(api::patterns_truncate(handles.patterns, FDQC_SAFE, 1000)),
            "");
  EXPECT_LT(batch.judge()[5].nearest_safe, 2000);
  EXPECT_GT(batch.judge()[5].safe_distance, 0.0f);
  ASSERT_EQ(take(api::patterns_truncate(handles.patterns, FDQC_SAFE, 0)), "");
  EXPECT_EQ(batch.judge()[5].nearest_safe, -1);
  EXPECT_EQ(batch.judge()[5].safe_distance, kInf);
}

struct Bad {
  const char* says;  // part of the message
  std::function<void(Batch&)> spoil;
};

TEST(BatchCall, BadArgumentsAreNamedAndChangeNothing) {
  Source source(27);
  const Model model = reference::model(source, 8, 5, 5, 1.0f);
  Handles handles(model);
  const Model other = reference::model(source, 12, 0, 0, 1.0f);
  const Handles wide(other);
  fdqc_projection* projection = handles.project_from(
      16, Floats(8 * 16, 0.1f), Floats(8, 0.0f));
  const Floats z = source.normals(2 * 4096, 1);
  const std::vector<int32_t> negative = {0, -1}, large = {0, 1000000};
  const std::vector<uint8_t> unknown = {0, 8};
  const Bad bad[] = {
      {"no segments", [](Batch& b) { b.batch.segments = nullptr; }},
      {"no segments", [](Batch& b) { b.batch.segment_count = 0; }},
      {"1 to 65536", [](Batch& b) { b.batch.count = 0; }},
      {"1 to 65536", [](Batch& b) { b.batch.count = 65537; }},
      {"rows", [](Batch& b) { b.batch.count = 3; }},
      {"rows", [](Batch& b) { b.segment.count = 3; }},
      {"rows", [](Batch& b) { b.segment.count = -1; }},
      {"rows is NULL", [](Batch& b) { b.segment.rows = nullptr; }},
      {"width", [](Batch& b) { b.segment.width = 0; }},
      {"width", [](Batch& b) { b.segment.width = 4097; }},
      {"no projection", [](Batch& b) { b.segment.width = 16; }},
      {"projection is from", [&](Batch& b) {
         b.segment.projection = projection;
       }},
      {"weights is NULL", [](Batch& b) { b.batch.weights = nullptr; }},
      {"patterns is NULL", [](Batch& b) { b.batch.patterns = nullptr; }},
      {"states is NULL", [](Batch& b) { b.batch.states = nullptr; }},
      {"weights for n", [&](Batch& b) { b.batch.weights = wide.weights; }},
      {"patterns for n", [&](Batch& b) { b.batch.patterns = wide.patterns; }},
      {"slot -1", [&](Batch& b) { b.batch.slots = negative.data(); }},
      {"slot 1000000", [&](Batch& b) { b.batch.slots = large.data(); }},
      {"unknown", [&](Batch& b) { b.batch.row_flags = unknown.data(); }},
      {"tier", [](Batch& b) { b.batch.policy.tier = 6; }},
      {"tier", [](Batch& b) { b.batch.policy.tier = -1; }},
      {"state update", [](Batch& b) { b.batch.policy.state_update = 2; }},
      {"safe_mode", [](Batch& b) { b.batch.policy.safe_mode = 2; }},
      {"threshold", [](Batch& b) { b.batch.policy.block_threshold = kNaN; }},
  };
  for (const Bad& one : bad) {
    Batch batch(handles, model, z.data(), 2);
    one.spoil(batch);
    std::vector<fdqc_verdict> out(2);
    std::memset(out.data(), 0x5a, sizeof(fdqc_verdict) * 2);
    const auto before = out;
    fdqc_status* status = api::validate(&batch.batch, out.data());
    ASSERT_NE(status, nullptr) << one.says;
    EXPECT_EQ(status->code, FDQC_INVALID_ARGUMENT) << status->message;
    EXPECT_NE(std::string(status->message).find(one.says), std::string::npos)
        << "got: " << status->message << ", wanted: " << one.says;
    free_status(status);
    EXPECT_EQ(std::memcmp(out.data(), before.data(), sizeof(fdqc_verdict) * 2),
              0) << one.says;
    EXPECT_EQ(handles.state(0), model.real) << one.says;
  }
  EXPECT_NE(take(api::validate(nullptr, nullptr)), "");
  EXPECT_NE(take(api::project(nullptr, nullptr, nullptr)), "");
}

TEST(Dispatcher, TheOperatorGivesTheVerdicts) {
  Source source(28);
  const Model model = reference::model(source, 8, 300, 200, 1.0f);
  const int64_t count = 500;
  const Floats z = source.normals(count * 8, 1);
  const Handles handles(model);
  const auto want = Batch(handles, model, z.data(), count).judge();

  const auto tensor = [](const Floats& from, at::IntArrayRef shape) {
    return at::from_blob(const_cast<float*>(from.data()), shape, at::kFloat);
  };
  const at::Tensor none = tensor(z, {0});
  const at::Tensor real = tensor(model.real, {1, 8}).clone();
  std::vector<at::Tensor> detector;
  const std::vector<std::vector<int64_t>> shapes = {{64, 16}, {64}, {32, 64},
                                                    {32},     {1, 32}, {1}};
  for (int i = 0; i < 6; ++i) {
    detector.push_back(tensor(model.tensors[i], shapes[i]));
  }
  const auto op = c10::Dispatcher::singleton().findSchemaOrThrow(
      "fdqc::validate", "");
  torch::jit::Stack stack;
  torch::jit::push(stack, std::vector<at::Tensor>{tensor(z, {count, 8})},
                   std::vector<at::Tensor>{none},
                   std::vector<at::Tensor>{none}, real, real[0].clone(),
                   tensor(model.imag, {8}), c10::IValue(), c10::IValue(),
                   detector, tensor(model.safe, {300, 16}),
                   tensor(model.unsafe, {200, 16}), 0.7, 0.85, 0.8,
                   int64_t{FDQC_TIER_GAMMA}, true, true, false);
  auto wrong = stack;
  wrong[3] = c10::IValue(tensor(model.real, {2, 4}));
  op.callBoxed(stack);
  ASSERT_EQ(stack.size(), 5u);
  const at::Tensor scores = stack[0].toTensor(), nearest = stack[1].toTensor();
  const at::Tensor flags = stack[2].toTensor();
  for (int64_t i = 0; i < count; ++i) {
    ASSERT_EQ(flags[i].item<int32_t>(), static_cast<int32_t>(want[i].flags));
    ASSERT_EQ(scores[i][0].item<float>(), want[i].risk_score);
    ASSERT_EQ(scores[i][8].item<float>(), want[i].safe_distance);
    ASSERT_EQ(nearest[i][0].item<int64_t>() + 1000, want[i].nearest_safe);
  }
  const Floats after = handles.state(0);
  for (int64_t j = 0; j < 8; ++j) {
    EXPECT_EQ(stack[4].toTensor()[0][j].item<float>(), after[j]);
    EXPECT_EQ(real[0][j].item<float>(), model.real[j]) << "the input moved";
  }
  EXPECT_THROW(op.callBoxed(wrong), InvalidArgument);
}

}  // namespace
}  // namespace fdqc
