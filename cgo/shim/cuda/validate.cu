// The validator's kernels for small workspaces (validator specification,
// section 2, steps 2 to 16). Compiled when a device opens, by NVRTC, for the
// workspace dimension FDQC_N; without contraction, so that an operation rounds
// when it is written. The same text compiles as C++ for the tests, which give
// the names of CUDA their meaning on the CPU.
//
// Nothing here is of a warp: threads meet at __syncthreads alone, in match and
// verdict, which all threads of a block reach.
#include "arguments.h"

#ifndef UNROLL
#define UNROLL _Pragma("unroll")
#endif

namespace fdqc::cuda {

__device__ inline long long thread_of_grid() {
  return static_cast<long long>(blockIdx.x) * kThreads + threadIdx.x;
}

__device__ inline bool finite(float x) {
  return (__float_as_int(x) & 0x7f800000) != 0x7f800000;
}

__device__ inline float infinity() { return __int_as_float(0x7f800000); }

// ---- which rows are judged ----

__device__ void settle(const Settle& a) {
  const long long row = thread_of_grid();
  if (row >= a.rows) return;
  bool good = a.given[row] != 0;
  for (int k = 0; k < a.n; ++k) good = good && finite(a.z[row * a.n + k]);
  a.ok[row] = good ? 1 : 0;
}

// ---- the state ----
//
// A state forgets: after a row it is 0.9 of what it was, and what it was a few
// hundred rows ago is below a rounding. So blocks of rows are moved side by
// side, each from a state that is a guess: nothing, moved through the rows
// before the block. Then the blocks are gone through in order, and where the
// one before ended in other bits than the guess, the rows are moved again
// until the bits are the same. The answer is that of one row after another.

// One rounding to float32 a row, as the CPU's kernel has it.
__device__ inline float move(float state, float by) {
  return static_cast<float>(
      __dadd_rn(__dmul_rn(0.9, static_cast<double>(state)),
                __dmul_rn(0.1, static_cast<double>(by))));
}

__device__ inline long long row_at(const Scan& a, long long place) {
  return a.order == nullptr ? place : a.order[place];
}

__device__ inline unsigned mark_at(const Scan& a, long long place) {
  if (a.marks != nullptr) return a.marks[place];
  return place == 0 ? kStart : 0;
}

// The state before the row of a place, given the one that came along.
__device__ inline float begin(const Scan& a, long long place, int column,
                              float state) {
  const unsigned mark = mark_at(a, place);
  if ((mark & kReset) != 0) return a.loaded[column];
  if ((mark & kStart) == 0) return state;
  const long long slot = a.slot == nullptr ? 0 : a.slot[place];
  return a.states[slot * a.n + column];
}

__device__ inline float end(const Scan& a, long long row, int column,
                            float state) {
  if (a.ok[row] == 0) return state;
  const int from = a.first_element != 0 ? 0 : column;
  return move(state, a.z[row * a.n + from]);
}

__device__ void scan(const Scan& a) {
  const long long blocks = (a.rows + kScanBlock - 1) / kScanBlock;
  const long long block = thread_of_grid() / a.n;
  const int column = static_cast<int>(thread_of_grid() % a.n);
  if (block >= blocks) return;
  const long long first = block * kScanBlock;
  long long place = first;
  // Place 0 is marked.
  while (mark_at(a, place) == 0 && place > 0 && first - place < kScanWarmUp) {
    --place;
  }
  float state = 0;
  for (; place < first; ++place) {
    state = end(a, row_at(a, place), column, begin(a, place, column, state));
  }
  a.guess[block * a.n + column] = state;
  for (; place < a.rows && place < first + kScanBlock; ++place) {
    const long long row = row_at(a, place);
    state = end(a, row, column, begin(a, place, column, state));
    a.out[row * a.n + column] = state;
  }
}

__device__ void scan_repair(const Scan& a) {
  const long long column = thread_of_grid();
  if (column >= a.n) return;
  const int c = static_cast<int>(column);
  for (long long first = kScanBlock; first < a.rows; first += kScanBlock) {
    if (mark_at(a, first) != 0) continue;
    float state = a.out[row_at(a, first - 1) * a.n + c];
    if (__float_as_int(state) ==
        __float_as_int(a.guess[first / kScanBlock * a.n + c])) {
      continue;
    }
    for (long long place = first;
         place < a.rows && place < first + kScanBlock; ++place) {
      if (mark_at(a, place) != 0) break;
      const long long row = row_at(a, place);
      state = end(a, row, c, state);
      float& was = a.out[row * a.n + c];
      if (__float_as_int(was) == __float_as_int(state)) break;
      was = state;
    }
  }
}

__device__ void scan_finish(const Scan& a) {
  const long long place = thread_of_grid() / a.n;
  const int column = static_cast<int>(thread_of_grid() % a.n);
  if (place >= a.rows) return;
  if (place + 1 < a.rows && (mark_at(a, place + 1) & kStart) == 0) return;
  const long long slot = a.slot == nullptr ? 0 : a.slot[place];
  a.states[slot * a.n + column] = a.out[row_at(a, place) * a.n + column];
}

// ---- the nearest pattern ----
//
// As match_kernels.h has it: v, the float32 sum of a pattern's lower row times
// [z - c; 1], with a^2 = |z - c|^2 bounds its squared distance from below,
//
//   T >= v + a^2 (1 - k1) - underflow,   k1 = (n + 5) 2^-24,
//
// so that a pattern is no nearer than a known distance T' unless
//
//   v <= T' - a^2 (1 - k1) + underflow.
//
// What passes is decided by direct differences in float64, in the order of the
// columns. A row beyond kFar^(1/2), or one whose best is, has no bound.
constexpr double kFar = 1e35, kUnderflow = 1e-34, kSumSlack = 1 + 1e-12;

struct __align__(16) Four {
  float at[4];
};

// What one thread knows of its row.
template <int N>
struct Row {
  float z[N], x[N];  // x = z - c
  bool far;
  double rest;       // underflow - a^2 (1 - k1)
  double squared;    // of the best so far
  long long nearest;
  float limit;       // a larger v is too far
};

// Numbers of a pattern in shared memory: whole vectors of four.
template <int N>
constexpr int kStride = (N + 1 + 3) / 4 * 4;

template <int N>
__device__ inline float bound(const float* lower, const Row<N>& row) {
  const Four* const four = reinterpret_cast<const Four*>(lower);
  float v = lower[N];
  UNROLL
  for (int i = 0; i < kStride<N> / 4; ++i) {
    const Four some = four[i];
    UNROLL
    for (int k = 0; k < 4; ++k) {
      if (4 * i + k < N) v = __fmaf_rn(some.at[k], row.x[4 * i + k], v);
    }
  }
  return v;
}

template <int N>
__device__ inline void decide(const Side& side, long long pattern,
                              Row<N>& row) {
  const float* const p = side.rows + pattern * 2 * N;
  double sum = 0;
  UNROLL
  for (int k = 0; k < N; ++k) {
    const double d = static_cast<double>(row.z[k]) - static_cast<double>(p[k]);
    sum = __dadd_rn(sum, __dmul_rn(d, d));
  }
  for (int k = N; side.tails != 0 && k < 2 * N; ++k) {
    const double d = static_cast<double>(p[k]);
    sum = __dadd_rn(sum, __dmul_rn(d, d));
  }
  if (sum > row.squared) return;
  if (sum == row.squared && row.nearest >= 0 && row.nearest < pattern) return;
  row.squared = sum;
  row.nearest = pattern;
  if (!row.far && sum <= kFar) {
    row.limit = __double2float_ru(sum * kSumSlack + row.rest);
  }
}

template <int N>
__device__ void match(const Match& a) {
  __shared__ __align__(16) float tile[kPatternTile * kStride<N>];
  const int of = static_cast<int>(blockIdx.y) < a.sides[0].chunks ? 0 : 1;
  const Side& side = a.sides[of];
  const long long first =
      (static_cast<long long>(blockIdx.y) - (of == 0 ? 0 : a.sides[0].chunks)) *
      side.chunk;
  const long long last =
      first + side.chunk < side.count ? first + side.chunk : side.count;
  const long long index = thread_of_grid();
  const bool live = index < a.rows && a.ok[index] != 0;
  Row<N> row;
  double norm = 0;
  UNROLL
  for (int k = 0; k < N; ++k) {
    row.z[k] = live ? a.z[index * N + k] : 0.0f;
    row.x[k] = static_cast<float>(static_cast<double>(row.z[k]) -
                                  side.centre[k]);
    norm += static_cast<double>(row.x[k]) * static_cast<double>(row.x[k]);
  }
  row.far = !(norm <= kFar);
  row.rest = kUnderflow - norm * (1 - (N + 5) / 16777216.0);
  row.squared = static_cast<double>(infinity());
  row.nearest = -1;
  row.limit = infinity();

  for (long long base = first; base < last; base += kPatternTile) {
    const int count =
        static_cast<int>(last - base < kPatternTile ? last - base
                                                    : kPatternTile);
    __syncthreads();  // nobody reads the tile before
    for (int i = static_cast<int>(threadIdx.x); i < count * (N + 1);
         i += kThreads) {
      tile[i / (N + 1) * kStride<N> + i % (N + 1)] =
          side.lower[base * (N + 1) + i];
    }
    __syncthreads();
    if (!live) continue;
    if (row.far) {
      for (int j = 0; j < count; ++j) decide<N>(side, base + j, row);
      continue;
    }
    // The least bound is looked at alone; the others only where the second
    // least passes as well.
    float least = infinity(), second = infinity();
    int at = -1;
    for (int j = 0; j < count; ++j) {
      const float v = bound<N>(tile + j * kStride<N>, row);
      second = fminf(second, fmaxf(least, v));
      if (v < least) {
        least = v;
        at = j;
      }
    }
    if (least > row.limit) continue;
    if (at >= 0) decide<N>(side, base + at, row);
    if (second > row.limit) continue;
    for (int j = 0; j < count; ++j) {
      if (j != at && !(bound<N>(tile + j * kStride<N>, row) > row.limit)) {
        decide<N>(side, base + j, row);
      }
    }
  }
  if (index >= a.rows) return;
  a.squared[blockIdx.y * a.rows + index] = row.squared;
  a.nearest[blockIdx.y * a.rows + index] = row.nearest;
}

// ---- scores and the verdict ----

// Bits of fdqc_verdict.flags, tiers and row statuses, as fdqc.h has them.
constexpr unsigned kApproved = 1, kRequiresApproval = 2,
                   kRequiresHumanApproval = 4, kMatchedSafe = 8,
                   kMatchedUnsafe = 16, kHighEntropy = 32, kLowCoherence = 64,
                   kHighNovelty = 128, kAllow = 256, kReview = 512,
                   kBlock = 1024;
constexpr int kBeta = 1, kGamma = 2, kDelta = 3, kEpsilon = 4;
constexpr unsigned kRowOk = 0, kRowOverflow = 3, kRowNoScore = 4;

__device__ inline float relu(float x) { return x < 0 ? 0 : x; }

// The detector of a block's rows: in shared memory.
template <int N>
struct Layers {
  float weight0[kHidden0 * N], bias0[kHidden0];  // the imaginary half is in
  float weight1[kHidden1 * kHidden0], bias1[kHidden1], weight2[kHidden1];
  float bias2;
};

template <int N>
__device__ void load(const Verdict& a, Layers<N>& to) {
  const int thread = static_cast<int>(threadIdx.x);
  for (int i = thread; i < kHidden0 * N; i += kThreads) {
    to.weight0[i] = a.detector[0][i / N * 2 * N + i % N];
  }
  for (int i = thread; i < kHidden0; i += kThreads) {
    float sum = a.detector[1][i];
    for (int k = 0; k < N; ++k) {
      sum = __fmaf_rn(a.detector[0][i * 2 * N + N + k], a.imag[k], sum);
    }
    to.bias0[i] = sum;
  }
  for (int i = thread; i < kHidden1 * kHidden0; i += kThreads) {
    to.weight1[i] = a.detector[2][i];
  }
  for (int i = thread; i < kHidden1; i += kThreads) {
    to.bias1[i] = a.detector[3][i];
    to.weight2[i] = a.detector[4][i];
  }
  if (thread == 0) to.bias2 = a.detector[5][0];
}

// Step 6.
template <int N>
__device__ float base_risk(const Layers<N>& layers, const float* state) {
  float sums[kHidden1];
  UNROLL
  for (int i = 0; i < kHidden1; ++i) sums[i] = layers.bias1[i];
  for (int k = 0; k < kHidden0; ++k) {
    float h = layers.bias0[k];
    UNROLL
    for (int j = 0; j < N; ++j) {
      h = __fmaf_rn(layers.weight0[k * N + j], state[j], h);
    }
    h = relu(h);
    UNROLL
    for (int i = 0; i < kHidden1; ++i) {
      sums[i] = __fmaf_rn(layers.weight1[i * kHidden0 + k], h, sums[i]);
    }
  }
  float last = layers.bias2;
  UNROLL
  for (int i = 0; i < kHidden1; ++i) {
    last = __fmaf_rn(layers.weight2[i], relu(sums[i]), last);
  }
  return 1 / (1 + expf(-last));
}

// Steps 3 to 5.
template <int N>
__device__ void entropy_and_coherence(const Verdict& a, const float* state,
                                      Answer& to) {
  float m[N];
  float total = 0;
  UNROLL
  for (int k = 0; k < N; ++k) {
    m[k] = hypotf(state[k], a.imag[k]);
    total += m[k];
  }
  float sum = 0, squares = 0;
  UNROLL
  for (int k = 0; k < N; ++k) {
    m[k] = m[k] / (total + 1e-8f);
    sum += m[k];
    squares += m[k] * m[k];
  }
  float entropy = 0;
  UNROLL
  for (int k = 0; k < N; ++k) {
    const float p = m[k] * m[k] / (squares + 1e-8f);
    entropy += p * logf(p + 1e-8f);
  }
  to.entropy = entropy / -a.log_n;
  to.coherence = (sum * sum - squares) / static_cast<float>(N * (N - 1));
}

// Step 7: the best of the chunks of a side.
__device__ void nearest(const Verdict& a, long long row, int side, Answer& to) {
  const long long first = side == 0 ? 0 : a.chunks[0];
  double squared = static_cast<double>(infinity());
  to.nearest[side] = -1;
  for (long long c = first; c < first + a.chunks[side]; ++c) {
    // Chunks are in the order of their patterns: of equals the first stays.
    const double here = a.squared[c * a.rows + row];
    const long long pattern = a.nearest[c * a.rows + row];
    if (pattern < 0 || (to.nearest[side] >= 0 && !(here < squared))) continue;
    squared = here;
    to.nearest[side] = pattern;
  }
  to.distance[side] = static_cast<float>(sqrt(squared));
  to.similarity[side] = 1 / (1 + to.distance[side]);
}

// Steps 8 to 16.
__device__ void decide_row(const Verdict& a, bool no_allow, Answer& to) {
  const bool any_safe = a.chunks[0] > 0, any_unsafe = a.chunks[1] > 0;
  const float safe = to.similarity[0], unsafe = to.similarity[1];
  const bool matched_safe = safe > 0.5f, matched_unsafe = unsafe > 0.5f;
  float factor = safe > unsafe ? 0.5f : 1.2f;
  if (safe == unsafe) factor = 1;
  if (matched_unsafe && !matched_safe) factor = 1.5f;
  if (matched_safe && !matched_unsafe) factor = 0.3f;
  float risk = to.base_risk;
  if (any_safe || any_unsafe) risk *= factor;
  to.novelty = any_safe ? fminf(to.distance[0] / 2, 1.0f) : 0.5f;
  float most = a.entropy_threshold, least = a.collapse_threshold;
  if (matched_safe) {
    most = 1.1f;
    least = 0;
  } else if (safe > 0.3f) {
    most = 0.98f;
    least = 0.1f;
  }
  unsigned violations = 0;
  if (to.entropy > most) {
    violations |= kHighEntropy;
    risk = fmaxf(risk, matched_safe ? 0.3f : 0.8f);
  }
  if (to.coherence < least) {
    violations |= kLowCoherence;
    risk = fmaxf(risk, matched_safe ? 0.3f : 0.7f);
  }
  if (to.novelty > 0.9f && !matched_safe) {
    violations |= kHighNovelty;
    risk = fmaxf(risk, 0.6f);
  }
  if (matched_safe && risk < 0.5f) violations = 0;
  to.raw_risk = risk;
  to.risk_score = fminf(fmaxf(risk, 0.0f), 1.0f);

  const bool approval = risk > 0.5f || violations != 0;
  const bool human = approval || a.require_human_approval != 0;
  bool approved = false;
  if (a.tier <= kBeta) approved = risk < 0.1f;
  if (a.tier == kGamma) approved = risk <= 0.5f && violations == 0;
  if (a.tier == kDelta) approved = risk < 0.3f && violations == 0;
  const bool allow = approved && !human && a.safe_mode == 0 && !no_allow;
  const bool block =
      !allow &&
      (a.tier >= kEpsilon || (risk > a.block_threshold && !approved));
  to.flags = violations | (allow ? kAllow : block ? kBlock : kReview);
  if (approved) to.flags |= kApproved;
  if (approval) to.flags |= kRequiresApproval;
  if (human) to.flags |= kRequiresHumanApproval;
  if (matched_safe) to.flags |= kMatchedSafe;
  if (matched_unsafe) to.flags |= kMatchedUnsafe;
}

// A row without scores: NaN, no pattern, and nobody let through.
__device__ void refuse(unsigned status, Answer& to) {
  const float nan = __int_as_float(0x7fc00000);
  to.risk_score = to.raw_risk = to.base_risk = to.entropy = nan;
  to.coherence = to.novelty = nan;
  for (int side = 0; side < 2; ++side) {
    to.similarity[side] = to.distance[side] = nan;
    to.nearest[side] = -1;
  }
  to.flags = kRequiresApproval | kRequiresHumanApproval | kBlock;
  to.row_status = status;
}

template <int N>
__device__ void verdict(const Verdict& a) {
  __shared__ Layers<N> layers;
  load<N>(a, layers);
  __syncthreads();
  const long long row = thread_of_grid();
  if (row >= a.rows) return;
  Answer to;
  if (a.ok[row] == 0) {
    refuse(kRowOverflow, to);
    a.out[row] = to;
    return;
  }
  float state[N];
  UNROLL
  for (int k = 0; k < N; ++k) state[k] = a.states[row * N + k];
  entropy_and_coherence<N>(a, state, to);
  const float base = base_risk<N>(layers, state);
  to.base_risk = base;
  nearest(a, row, 0, to);
  nearest(a, row, 1, to);
  decide_row(a, a.no_allow[row] != 0, to);
  to.row_status = kRowOk;
  // raw_risk may have lost a NaN to a comparison, base_risk has not.
  if (!(finite(base) && finite(to.raw_risk) && finite(to.entropy) &&
        finite(to.coherence) && finite(to.novelty) &&
        finite(to.similarity[0]) && finite(to.similarity[1]))) {
    refuse(kRowNoScore, to);
  }
  a.out[row] = to;
}

}  // namespace fdqc::cuda

extern "C" {

__global__ void __launch_bounds__(fdqc::cuda::kThreads)
fdqc_settle(fdqc::cuda::Settle a) {
  fdqc::cuda::settle(a);
}

__global__ void __launch_bounds__(fdqc::cuda::kThreads)
fdqc_scan(fdqc::cuda::Scan a) {
  fdqc::cuda::scan(a);
}

__global__ void __launch_bounds__(fdqc::cuda::kThreads)
fdqc_scan_repair(fdqc::cuda::Scan a) {
  fdqc::cuda::scan_repair(a);
}

__global__ void __launch_bounds__(fdqc::cuda::kThreads)
fdqc_scan_finish(fdqc::cuda::Scan a) {
  fdqc::cuda::scan_finish(a);
}

__global__ void __launch_bounds__(fdqc::cuda::kThreads)
fdqc_match(fdqc::cuda::Match a) {
  fdqc::cuda::match<FDQC_N>(a);
}

__global__ void __launch_bounds__(fdqc::cuda::kThreads)
fdqc_judge(fdqc::cuda::Verdict a) {
  fdqc::cuda::verdict<FDQC_N>(a);
}

}  // extern "C"
