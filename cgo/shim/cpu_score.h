// Scores, thresholds and decisions of rows whose state and nearest patterns
// are known (validator specification, section 2, steps 3 to 16) on the CPU. No
// LibTorch in here.
#pragma once

#include <cstdint>

#include "cpu_memory.h"
#include "fdqc.h"
#include "side_index.h"

namespace fdqc::cpu {

constexpr int64_t kHidden0 = 64, kHidden1 = 32;

// The risk detector, packed once.
struct Detector {
  // tensors: the six of fdqc_table.weights_new; copied.
  Detector(int64_t n, const float* const tensors[6]);

  int64_t n;
  Floats real0, imag0;  // first layer, for state_real and for state_imag
  Floats bias0;
  Floats weight1, bias1;
  Floats weight2;  // [kHidden1]
  float bias2;
};

// What is the same for all rows of a batch. Keeps the addresses.
struct Scoring {
  // imag: [n]. ids: the pattern ids of each side, or NULL: the numbers of its
  // rows.
  Scoring(const Detector& detector, const float* imag,
          const fdqc_policy& policy, bool any_safe, bool any_unsafe,
          const int64_t* safe_ids, const int64_t* unsafe_ids);

  const Detector& detector;
  const float* imag;
  fdqc_policy policy;
  bool any[2];
  const int64_t* ids[2];
  // [kHidden0]: the first layer's, with the half in it that never moves.
  alignas(64) float bias0[kHidden0];
};

// Rows that are judged together.
struct Judged {
  int64_t rows;
  const float* state;     // [rows, n]
  const Found* found[2];  // [rows] each
  const int32_t* places;  // [rows] in out and flags, or NULL: 0, 1, ..
  const uint8_t* flags;   // FDQC_ROW_*, or NULL: none
};

// Numbers that score needs for a tile of `rows`.
int64_t score_room(int64_t rows, int64_t n);

// Writes out[places[i]] of every row; a row without a score is refused. room:
// [score_room(rows, n)], aligned. A row's verdict does not depend on the rows
// beside it.
void score(const Scoring& scoring, const Judged& judged, float* room,
           fdqc_verdict* out);

// The verdict of a row that is not judged.
fdqc_verdict refused(uint32_t row_status);

}  // namespace fdqc::cpu
