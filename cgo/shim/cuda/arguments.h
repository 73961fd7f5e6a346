// What the host hands to the kernels of validate.cu: for both compilers, so
// nothing is included. Pointers are to memory of the device. A tile has `rows`
// rows of a batch, at most kMostRows.
#pragma once

namespace fdqc::cuda {

constexpr int kMostWidth = 31;      // workspace dimension that kernels take
constexpr int kThreads = 128;       // of a block, in every kernel
constexpr int kPatternTile = 128;   // patterns in shared memory at a time
constexpr int kScanBlock = 256;     // rows that one thread moves a column by
constexpr int kScanWarmUp = 256;    // rows before them that it starts with
constexpr int kHidden0 = 64, kHidden1 = 32;  // of the risk detector
constexpr long long kMostRows = 1 << 20;

// fdqc_settle: which rows are judged.
struct Settle {
  const float* z;              // [rows, n] workspace rows
  const unsigned char* given;  // [rows] 0: refused already
  unsigned char* ok;           // [rows] given, and z is finite
  long long rows;
  int n;
};

// Bits of Scan.marks.
constexpr unsigned char kStart = 1, kReset = 2;

// fdqc_scan, fdqc_scan_repair, fdqc_scan_finish, one after another. A place is
// that of a row among the rows of its slot, the slots one after another.
struct Scan {
  const float* z;              // [rows, n]
  const unsigned char* ok;     // [rows] another row moves no state
  const int* order;            // [rows] row at each place; NULL: as they come
  const int* slot;             // [rows] slot at each place; NULL: all 0
  const unsigned char* marks;  // [rows] at each place: kStart, the first of its
                               // slot; kReset, the state is loaded before it.
                               // NULL: kStart at 0 alone
  float* states;               // [slots, n]; moved by fdqc_scan_finish
  const float* loaded;         // [n]
  float* out;                  // [rows, n] by row: the state that it leaves
  float* guess;                // [blocks of kScanBlock, n] what a block began with
  long long rows;
  int n;
  int first_element;           // every column moves by z[0]
};

// One side of the pattern memory.
struct Side {
  const float* rows;      // [count, 2n]
  const float* lower;     // [count, n + 1], as PreparedSide has it
  const double* centre;   // [n]
  long long count;
  long long chunk;        // patterns that a block goes through
  int chunks;             // count / chunk, rounded up; 0 with no pattern
  int tails;              // some row's second half may not be zero
};

// fdqc_match: blocks of the grid are (rows / kThreads, chunks of both sides).
struct Match {
  const float* z;           // [rows, n]
  const unsigned char* ok;  // [rows] another row is not matched
  Side sides[2];            // safe, unsafe
  double* squared;          // [chunks of both, rows] +infinity with no pattern
  long long* nearest;       // [chunks of both, rows] row of the side, or -1
  long long rows;
};

// As fdqc_verdict, with rows of the sides for ids.
struct Answer {
  float risk_score, raw_risk, base_risk, entropy, coherence, novelty,
      similarity[2], distance[2];
  long long nearest[2];
  unsigned flags, row_status;
};

// fdqc_judge: steps 3 to 16 of the specification's section 2.
struct Verdict {
  const float* states;             // [rows, n] what each row left
  const float* imag;               // [n]
  const float* detector[6];        // as fdqc_table.weights_new has them
  const unsigned char* ok;         // [rows]
  const unsigned char* no_allow;   // [rows]
  const double* squared;           // of Match
  const long long* nearest;
  Answer* out;                     // [rows]
  long long rows;
  int chunks[2];
  float log_n, entropy_threshold, collapse_threshold, block_threshold;
  int tier, safe_mode, require_human_approval;
};

// Both compilers lay them out alike: each compiles these lines.
static_assert(sizeof(Settle) == 40 && sizeof(Scan) == 88 &&
                  sizeof(Side) == 48 && sizeof(Match) == 136 &&
                  sizeof(Answer) == 64 && sizeof(Verdict) == 152,
              "structures have other sizes than the other compiler gives them");

}  // namespace fdqc::cuda
