// The composite implementation, which serves every device but the CPU, and the
// CPU kernel give the same verdicts.
#include <ATen/ops/from_blob.h>
#include <gtest/gtest.h>

#include <numeric>

#include "handles_of.h"
#include "operator.h"
#include "pool.h"
#include "rows_of.h"
#include "score.h"

namespace fdqc {
namespace {

at::Tensor tensor(const Floats& from, at::IntArrayRef shape) {
  return at::from_blob(const_cast<float*>(from.data()), shape, at::kFloat);
}

// What a model is to the composite, on the CPU.
Inputs inputs(const Model& model) {
  const int64_t n = model.n;
  Inputs in;
  in.state_real = tensor(model.real, {1, n}).clone();
  in.loaded_real = tensor(model.real, {n});
  in.state_imag = tensor(model.imag, {n});
  const std::vector<std::vector<int64_t>> shapes = {
      {64, 2 * n}, {64}, {32, 64}, {32}, {1, 32}, {1}};
  for (int i = 0; i < 6; ++i) {
    in.detector.push_back(tensor(model.tensors[i], shapes[i]));
  }
  in.policy = model.policy;
  return in;
}

PreparedSide side(const Floats& rows, int64_t n) {
  const int64_t count = static_cast<int64_t>(rows.size()) / (2 * n);
  return prepare(tensor(rows, {count, 2 * n}), n);
}

int64_t id(int64_t row, int64_t first) { return row < 0 ? -1 : first + row; }

void expect_same(const Outputs& want, const std::vector<fdqc_verdict>& got,
                 const std::string& what) {
  const float* s = want.scores.const_data_ptr<float>();
  const int64_t* p = want.nearest.const_data_ptr<int64_t>();
  for (size_t i = 0; i < got.size(); ++i, s += kScoreColumns, p += 2) {
    const fdqc_verdict& v = got[i];
    const std::string row = what + ", row " + std::to_string(i);
    // The operator tells workspace rows apart, not where they come from.
    uint32_t status = v.row_status;
    if (status == FDQC_ROW_NOT_FINITE) status = FDQC_ROW_OVERFLOW;
    ASSERT_EQ(status, static_cast<uint32_t>(want.row_status[i])) << row;
    ASSERT_EQ(v.flags,
              static_cast<uint32_t>(want.flags.const_data_ptr<int32_t>()[i]))
        << row;
    ASSERT_EQ(v.nearest_safe, id(p[0], 1000)) << row;
    ASSERT_EQ(v.nearest_unsafe, id(p[1], 2000000)) << row;
    if (status != FDQC_ROW_OK) continue;
    ASSERT_NEAR(v.raw_risk, s[kRawRisk], 1e-5) << row;
    ASSERT_NEAR(v.base_risk, s[kBaseRisk], 1e-5) << row;
    ASSERT_NEAR(v.entropy, s[kEntropy], 2e-6) << row;
    ASSERT_NEAR(v.coherence, s[kCoherence], 2e-6) << row;
    ASSERT_EQ(v.novelty, s[kNovelty]) << row;
    ASSERT_EQ(v.safe_similarity, s[kSafeSimilarity]) << row;
    ASSERT_EQ(v.unsafe_similarity, s[kUnsafeSimilarity]) << row;
    ASSERT_EQ(v.safe_distance, s[kSafeDistance]) << row;
    ASSERT_EQ(v.unsafe_distance, s[kUnsafeDistance]) << row;
  }
}

TEST(Composite, EqualsTheKernel) {
  for (const int threads : {1, 3}) {
    Pool::instance().resize(threads);
    for (const int64_t n : {2, 3, 8, 12, 31, 32, 384}) {
      for (int tier = FDQC_TIER_ALPHA; tier <= FDQC_TIER_OMEGA; ++tier) {
        const int64_t count = n > 64 ? 40 : 300;
        Source source(static_cast<uint32_t>(n * 10 + tier));
        Model model =
            reference::model(source, n, tier == 1 ? 0 : 40, 30, 0.6f);
        model.policy.tier = tier;
        model.policy.safe_mode = tier & 1;
        model.policy.require_human_approval = tier >> 1 & 1;
        model.policy.state_update = tier >> 2 & 1;
        Floats z = rows_around(source, model, count);
        z[5 * n + 1] = std::numeric_limits<float>::quiet_NaN();
        std::vector<uint8_t> flags(count, 0);
        for (uint8_t& flag : flags) {
          flag = static_cast<uint8_t>(source.below(40) < 8 ? source.below(8)
                                                           : 0);
        }
        Inputs in = inputs(model);
        in.segments = {{tensor(z, {count, n}), {}, {}}};
        in.count = count;
        in.row_flags = flags.data();
        const PreparedSide safe = side(model.safe, n);
        const PreparedSide unsafe = side(model.unsafe, n);
        in.sides[FDQC_SAFE] = &safe;
        in.sides[FDQC_UNSAFE] = &unsafe;
        const Outputs want = validate(in);
        const Handles handles(model);
        Batch batch(handles, model, z.data(), count);
        batch.batch.row_flags = flags.data();
        const std::string what =
            "n " + std::to_string(n) + ", tier " + std::to_string(tier);
        expect_same(want, batch.judge(), what);
        if (HasFatalFailure()) return;
        const Floats state = handles.state(0);
        for (int64_t j = 0; j < n; ++j) {
          ASSERT_NEAR(state[j], want.states[0][j].item<float>(), 1e-6) << what;
        }
      }
    }
  }
  Pool::instance().resize(1);
}

}  // namespace
}  // namespace fdqc
