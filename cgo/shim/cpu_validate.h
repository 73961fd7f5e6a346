// The CPU kernel of fdqc::validate: project, scan, match, score and verdict in
// one pass over tiles of rows, from host memory straight into verdicts
// (validator specification, sections 2 and 3). No LibTorch in here.
//
// A tile waits for the states that the tile before it leaves, moves them
// through its own rows, and hands them on before it matches and scores, which
// is where the time goes. So a row's verdict is the same, bit for bit, however
// rows are cut into batches and tiles and whatever the threads are.
#pragma once

#include <cstdint>

#include "cpu_linear.h"
#include "cpu_score.h"
#include "cpu_states.h"
#include "fdqc.h"
#include "side_index.h"

namespace fdqc::cpu {

// Consecutive rows of one width, after those of the segments before it.
struct Segment {
  const float* rows;         // [count, width]
  const Linear* projection;  // NULL: width is n
  int64_t count, width;
};

// The rows of a batch. Shapes are checked by the caller.
struct Rows {
  const Segment* segments;  // [segment_count]
  int64_t segment_count;
  int64_t count;  // of all segments
  int64_t n;
};

struct Batch {
  Rows rows;
  const int32_t* slots;      // [count] or NULL, as in fdqc_batch
  const uint8_t* row_flags;  // likewise
  const Detector* detector;
  const SideIndex* sides[2];
  const int64_t* ids[2];  // [count of the side] pattern ids; NULL: row numbers
  fdqc_policy policy;
};

// out: [count]. Moves the states only when it succeeds; what it throws is
// std::bad_alloc. Once its memory has grown it allocates nothing.
void validate(const Batch& batch, States& states, fdqc_verdict* out);

// out: [count, n], row_status: [count]; a row that is refused is NaN.
void project(const Rows& rows, float* out, uint32_t* row_status);

// Rows of a tile, for tests; 0 (as at first): chosen from the work that a row
// is and the threads that there are. Not while a batch runs.
void set_tile_rows(int64_t rows);

}  // namespace fdqc::cpu
