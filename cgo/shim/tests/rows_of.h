// Rows for the tests of verdicts, and what a verdict must be by the
// specification.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "reference.h"

namespace fdqc {

using reference::Floats;
using reference::Model;
using reference::Source;

// Compares a verdict with the specification, given the state before the row,
// which moves.
inline void expect_row(const Model& model, const float* z,
                std::vector<double>& state, const fdqc_verdict& got,
                bool no_allow, const std::string& what) {
  reference::move(model, z, state);
  const reference::Judged want = reference::judge(model, z, state);
  ASSERT_EQ(got.row_status, FDQC_ROW_OK) << what;
  ASSERT_NEAR(got.entropy, want.entropy, 2e-6) << what;
  ASSERT_NEAR(got.coherence, want.coherence, 2e-6) << what;
  ASSERT_NEAR(got.base_risk, want.base_risk, 1e-5) << what;
  ASSERT_EQ(got.nearest_safe,
            want.safe.row < 0 ? -1 : 1000 + want.safe.row) << what;
  ASSERT_EQ(got.nearest_unsafe,
            want.unsafe.row < 0 ? -1 : 2000000 + want.unsafe.row) << what;
  if (want.safe.row < 0) {
    ASSERT_EQ(got.safe_distance, want.safe.distance) << what;
  } else {
    ASSERT_NEAR(got.safe_distance, want.safe.distance,
                1e-5 * want.safe.distance) << what;
  }
  if (want.unsafe.row < 0) {
    ASSERT_EQ(got.unsafe_distance, want.unsafe.distance) << what;
  } else {
    ASSERT_NEAR(got.unsafe_distance, want.unsafe.distance,
                1e-5 * want.unsafe.distance) << what;
  }
  const reference::Decision decision = reference::decide(model, got, no_allow);
  ASSERT_EQ(got.flags, decision.flags) << what;
  ASSERT_FLOAT_EQ(got.raw_risk, decision.raw_risk) << what;
  ASSERT_EQ(got.risk_score, std::min(std::max(got.raw_risk, 0.0f), 1.0f));
  ASSERT_FLOAT_EQ(got.novelty, decision.novelty) << what;
  ASSERT_FLOAT_EQ(got.safe_similarity, decision.safe_similarity) << what;
  ASSERT_FLOAT_EQ(got.unsafe_similarity, decision.unsafe_similarity) << what;
}

// Rows around the patterns, so that some match, some nearly and some do not.
inline Floats rows_around(Source& source, const Model& model, int64_t count) {
  Floats z = source.normals(count * model.n, 1);
  const Floats* sides[] = {&model.safe, &model.unsafe};
  for (int64_t i = 0; i < count; ++i) {
    const Floats& side = *sides[source.below(2)];
    if (side.empty() || source.below(4) == 0) continue;
    const int64_t p = source.below(static_cast<int64_t>(side.size()) /
                                   (2 * model.n));
    const float far =
        0.8f * static_cast<float>(source.below(5)) /
        std::sqrt(static_cast<float>(model.n));
    for (int64_t j = 0; j < model.n; ++j) {
      z[i * model.n + j] =
          side[p * 2 * model.n + j] + far * source.normal();
    }
  }
  return z;
}

}  // namespace fdqc
