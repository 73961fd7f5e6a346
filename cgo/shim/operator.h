// The validator: project, scan, match, score, for one batch of rows
// (validator specification, sections 2 and 3), in plain ATen operators that
// run on every device. On the CPU the kernel of cpu_validate.h computes
// instead, and is tested against this.
//
// Registered with the dispatcher as
//
//   fdqc::validate(Tensor[] embeddings, Tensor[] weights, Tensor[] biases,
//       Tensor state_real, Tensor loaded_real, Tensor state_imag,
//       Tensor? slots, Tensor? row_flags, Tensor[] risk_detector,
//       Tensor safe_patterns, Tensor unsafe_patterns,
//       float entropy_threshold, float collapse_threshold,
//       float block_threshold, int tier, bool safe_mode,
//       bool require_human_approval, bool first_element)
//       -> (Tensor scores, Tensor nearest, Tensor flags, Tensor row_status,
//           Tensor state_real)
//
//   embeddings   [count_i, d_i] each, float32: consecutive rows of the batch,
//                B in all; weights [n, d_i] and biases [n] project them; an
//                empty weight (and d_i = n) means no projection
//   state_real   [slots, n], loaded_real [n], state_imag [n], float32
//   slots        [B] int64 in [0, slots); absent: all 0
//   row_flags    [B] uint8, bits FDQC_ROW_*; absent: all 0
//   risk_detector  the six tensors of fdqc_table.weights_new
//   patterns     [count, 2n] float32 each; [0, 2n] when there is none
//   scores       [B, 10] float32: risk_score, raw_risk, base_risk, entropy,
//                coherence, novelty, safe_similarity, unsafe_similarity,
//                safe_distance, unsafe_distance
//   nearest      [B, 2] int64: rows of safe_patterns and unsafe_patterns, or -1
//   flags        [B] int32, bits of fdqc_verdict.flags
//   row_status   [B] int32: FDQC_ROW_OK, _SKIPPED, _OVERFLOW or _NO_SCORE
//   state_real   [slots, n] as the batch leaves it; the argument is untouched
//
// fdqc::validate_composite has the same arguments and answers, and computes in
// ATen operators on every device. Both have no gradient.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "fdqc.h"
#include "match.h"

namespace fdqc {

constexpr int32_t kMaxWidth = 4096, kMaxWorkspace = 1024;
constexpr int64_t kMaxBatch = 65536, kMaxSlots = 1000000;
constexpr uint8_t kKnownRowFlags =
    FDQC_ROW_SKIP | FDQC_ROW_RESET | FDQC_ROW_NO_ALLOW;

// Consecutive rows of one width.
struct Rows {
  at::Tensor embeddings;    // [count, width] float32, on any device
  at::Tensor weight, bias;  // [n, width], [n]; undefined: no projection
};

struct Inputs {
  std::vector<Rows> segments;
  int64_t count = 0;        // rows of all segments
  at::Tensor state_real;    // [slots, n]; its device is where it is computed
  at::Tensor loaded_real;   // [n]
  at::Tensor state_imag;    // [n]
  const int32_t* slots = nullptr;      // [count] or NULL; host
  const uint8_t* row_flags = nullptr;  // [count] FDQC_ROW_* or NULL; host
  std::vector<at::Tensor> detector;
  const PreparedSide* sides[2] = {nullptr, nullptr};  // FDQC_SAFE, _UNSAFE
  fdqc_policy policy{};
  int64_t matrix_floats = 0;  // numbers of one product of matching; 0: usual
};

// On the host. A row that is not FDQC_ROW_OK has NaN scores, -1 and the
// flags of fdqc_verdict.
struct Outputs {
  at::Tensor scores;                 // [count, 10] float32
  at::Tensor nearest;                // [count, 2] int64
  at::Tensor flags;                  // [count] int32
  std::vector<int32_t> row_status;   // [count]
  // The states that the batch moves, on the device of state_real.
  std::vector<int64_t> slots;        // distinct
  at::Tensor states;                 // [slots.size(), n]
};

// Throws InvalidArgument when shapes, dtypes or numbers are wrong. sides: the
// patterns, [count, 2n] each; Inputs.sides is not looked at.
void check(const Inputs& inputs, const at::Tensor (&sides)[2]);
void check_policy(const fdqc_policy& policy);

// Checks, and computes in ATen operators on any device. Changes nothing that
// it is given. Memory for kChunkRows rows and one matrix a thread, whatever
// the count and the patterns are.
Outputs validate(const Inputs& inputs);

// Rows [first, first + rows) of the segments in the workspace, on `device`,
// [rows, n] (step 1); finite gets [rows] bool. May be a view of the segments.
at::Tensor workspace(const std::vector<Rows>& segments, int64_t n,
                     int64_t first, int64_t rows, c10::Device device,
                     at::Tensor& finite);

}  // namespace fdqc
