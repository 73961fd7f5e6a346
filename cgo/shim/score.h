// Scores, thresholds and decisions of rows whose state and nearest patterns
// are known (validator specification, section 2, steps 3 to 16).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "fdqc.h"
#include "match.h"

namespace fdqc {

// Columns of the scores, in the order of fdqc_verdict.
enum ScoreColumn : int64_t {
  kRiskScore,
  kRawRisk,
  kBaseRisk,
  kEntropy,
  kCoherence,
  kNovelty,
  kSafeSimilarity,
  kUnsafeSimilarity,
  kSafeDistance,
  kUnsafeDistance,
  kScoreColumns
};

// The flags of a row that is refused, skipped or has no score.
constexpr int32_t kRefusedFlags =
    FDQC_REQUIRES_APPROVAL | FDQC_REQUIRES_HUMAN_APPROVAL |
    FDQC_DECISION_BLOCK;

// What is the same for all rows of a batch.
struct Scorer {
  // tensors: the six of fdqc_table.weights_new; imag: [n].
  Scorer(const std::vector<at::Tensor>& tensors, const at::Tensor& imag,
         const fdqc_policy& policy, bool any_safe, bool any_unsafe);

  at::Tensor imag;
  // The first layer sees [state_real; state_imag]: the half that never moves
  // goes into its bias.
  at::Tensor weight0, bias0, weight1, bias1, weight2, bias2;
  fdqc_policy policy;
  bool any_safe, any_unsafe;
};

struct Scored {
  at::Tensor scores;  // [rows, kScoreColumns] float32
  at::Tensor flags;   // [rows] int32, bits of fdqc_verdict.flags
  at::Tensor known;   // [rows] bool: the eight scores are finite
};

// state: [rows, n] float32; the distances are [rows]; no_allow is [rows] bool
// or undefined. Rows that are not known have numbers and flags without sense.
Scored score(const Scorer& scorer, const at::Tensor& state,
             const at::Tensor& safe_distance,
             const at::Tensor& unsafe_distance, const at::Tensor& no_allow);

}  // namespace fdqc
