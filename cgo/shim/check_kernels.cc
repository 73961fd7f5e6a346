// The kernels' check of themselves, when a device opens.
#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <limits>
#include <memory>
#include <numeric>
#include <vector>

#include "api.h"
#include "device_batch.h"
#include "handles.h"
#include "kernels.h"

namespace fdqc {
namespace {

// Rows of several scan blocks, patterns of several tiles.
constexpr int64_t kRows = 700, kPatterns[2] = {300, 65};
constexpr int32_t kSessions = 3;
constexpr double kClose = 1e-5;

// Numbers from -1 to 1 that are the same everywhere (Knuth, The Art of
// Computer Programming, vol. 2, section 3.3.4, table 1, line 26).
class Numbers {
 public:
  std::vector<float> operator()(int64_t count, float scale) {
    std::vector<float> to(count);
    for (float& value : to) {
      state_ = state_ * 6364136223846793005u + 1442695040888963407u;
      value = scale * static_cast<float>(static_cast<int32_t>(state_ >> 32)) /
              2147483648.0f;
    }
    return to;
  }

 private:
  uint64_t state_ = 1;
};

void take(fdqc_status* status) {
  if (status == nullptr) return;
  const std::string message = status->message;
  const int32_t code = status->code;
  free_status(status);
  if (code == FDQC_DEVICE_LOST) throw DeviceLost(message);
  throw DriverError(-1, "check of the kernels: " + message);
}

// Handles of the problem, on the place.
struct Problem {
  Problem(const Place& place, int64_t n_) : n(n_) {
    Numbers numbers;
    const float scale = 1 / std::sqrt(static_cast<float>(n));
    const int64_t sizes[6] = {64 * 2 * n, 64, 32 * 64, 32, 32, 1};
    std::vector<float> tensors[6];
    const float* addresses[6];
    for (int i = 0; i < 6; ++i) {
      tensors[i] = numbers(sizes[i], i % 2 == 0 ? 0.5f : 0.1f);
      addresses[i] = tensors[i].data();
    }
    const int32_t width = static_cast<int32_t>(n);
    fdqc_weights* w = nullptr;
    take(api::weights_new(place.number, width, addresses, &w));
    weights.reset(w);
    fdqc_patterns* p = nullptr;
    take(api::patterns_new(place.number, width, &p));
    patterns.reset(p);
    rows = numbers(kRows * n, 2 * scale);
    for (const int side : {FDQC_SAFE, FDQC_UNSAFE}) {
      std::vector<float> of = numbers(kPatterns[side] * 2 * n, 2 * scale);
      for (int64_t i = 0; i < kPatterns[side]; ++i) {
        float* const row = of.data() + i * 2 * n;
        // One side uses its second half, in a row.
        if (side == FDQC_SAFE || i != 9) std::fill_n(row + n, n, 0.0f);
        // Twins, rows that are patterns, and one that float32 cannot bound.
        if (i % 7 == 3) std::copy_n(of.data() + (i / 2) * 2 * n, n, row);
        if (i % 5 == 1) std::copy_n(row, n, rows.data() + 2 * i * n);
        if (i == 64) row[0] = 1e30f;
      }
      std::vector<int64_t> ids(kPatterns[side]);
      std::iota(ids.begin(), ids.end(), 0);
      take(api::patterns_put(p, side, kPatterns[side], ids.data(), of.data(),
                             ids.data()));
    }
    // Last, since a state so far away leaves the detector nothing but signs.
    for (int64_t i = kRows - 4; i < kRows; ++i) rows[i * n] *= 1e20f;
    for (int64_t i = 17; i < kRows; i += 101) {
      rows[i * n + 1] = std::numeric_limits<float>::quiet_NaN();
    }
    slots.resize(kRows);
    flags.resize(kRows);
    for (int64_t i = 0; i < kRows; ++i) {
      slots[i] = static_cast<int32_t>(i * i % 7 % kSessions);
      flags[i] = static_cast<uint8_t>(i % 90 == 13 ? FDQC_ROW_RESET : 0);
      if (i % 50 == 7) flags[i] |= FDQC_ROW_SKIP;
      if (i % 3 == 0) flags[i] |= FDQC_ROW_NO_ALLOW;
    }
    real = numbers(n, 0.3f);
    imag = numbers(n, 0.3f);
  }

  int64_t n;
  std::vector<float> rows, real, imag;
  std::vector<int32_t> slots;
  std::vector<uint8_t> flags;
  struct Free {
    void operator()(fdqc_weights* h) const { free_status(api::weights_free(h)); }
    void operator()(fdqc_patterns* h) const {
      free_status(api::patterns_free(h));
    }
    void operator()(fdqc_states* h) const { free_status(api::states_free(h)); }
  };
  std::unique_ptr<fdqc_weights, Free> weights;
  std::unique_ptr<fdqc_patterns, Free> patterns;
};

bool close(double a, double b) {
  return a == b || (std::isnan(a) && std::isnan(b)) ||
         std::fabs(a - b) <= kClose * std::max(1.0, std::fabs(b));
}

bool near(double x, std::initializer_list<double> thresholds) {
  return std::any_of(thresholds.begin(), thresholds.end(),
                     [x](double t) { return std::fabs(x - t) <= 2 * kClose; });
}

// Whether a rounding may decide the flags of a row.
bool on_the_line(const fdqc_verdict& v, const fdqc_policy& p) {
  return near(v.entropy, {p.entropy_threshold, 0.98, 1.1}) ||
         near(v.coherence, {p.collapse_threshold, 0.1, 0}) ||
         near(v.raw_risk, {0.1, 0.3, 0.5, p.block_threshold}) ||
         near(v.novelty, {0.9}) || near(v.safe_similarity, {0.3, 0.5}) ||
         near(v.unsafe_similarity, {0.5});
}

std::string differs(const fdqc_verdict& got, const fdqc_verdict& want,
                    const fdqc_policy& policy) {
  if (got.row_status != want.row_status) return "row status";
  if (got.nearest_safe != want.nearest_safe ||
      got.nearest_unsafe != want.nearest_unsafe) {
    return "nearest pattern";
  }
  const float* const a = &got.risk_score;
  const float* const b = &want.risk_score;
  static const char* const names[] = {
      "risk",         "raw risk",       "base risk",     "entropy",
      "coherence",    "novelty",        "safe similarity",
      "unsafe similarity", "safe distance", "unsafe distance"};
  if (got.flags != want.flags && !on_the_line(want, policy)) return "flags";
  for (int i = 0; i < 10; ++i) {
    // A risk may be another where a rounding decided.
    if (i < 2 && on_the_line(want, policy)) continue;
    if (!close(a[i], b[i])) return names[i];
  }
  return "";
}

}  // namespace

std::string check_kernels(const Place& place, int64_t n,
                          const Kernels& kernels) {
  const Problem problem(place, n);
  fdqc_segment segment = {problem.rows.data(), nullptr, kRows,
                          static_cast<int32_t>(n), 0};
  fdqc_batch batch{};
  batch.segments = &segment;
  batch.segment_count = 1;
  batch.count = kRows;
  batch.weights = problem.weights.get();
  batch.patterns = problem.patterns.get();
  for (const bool plain : {true, false}) {
    batch.slots = plain ? nullptr : problem.slots.data();
    batch.row_flags = plain ? nullptr : problem.flags.data();
    batch.policy = {0.7f, 0.05f, 0.8f,
                    plain ? FDQC_TIER_GAMMA : FDQC_TIER_DELTA,
                    plain ? FDQC_STATE_ROW : FDQC_STATE_FIRST_ELEMENT,
                    0, 0, {0, 0}};
    std::unique_ptr<fdqc_states, Problem::Free> states[2];
    std::vector<fdqc_verdict> out[2];
    for (const int with : {0, 1}) {
      states[with].reset(
          make_states(place,
                      {n, problem.real.data(), problem.imag.data()},
                      /*kernels=*/false)
              .release());
      out[with].resize(kRows);
      batch.states = states[with].get();
      validate_with(with == 1 ? &kernels : nullptr, batch, out[with].data());
    }
    for (int64_t i = 0; i < kRows; ++i) {
      const std::string what = differs(out[1][i], out[0][i], batch.policy);
      if (!what.empty()) return what + " of row " + std::to_string(i);
    }
    for (int32_t slot = 0; slot < kSessions; ++slot) {
      const float* const a = states[1]->host->real(slot);
      const float* const b = states[0]->host->real(slot);
      for (int64_t k = 0; k < n; ++k) {
        if (!close(a[k], b[k])) return "state of slot " + std::to_string(slot);
      }
    }
  }
  return "";
}

}  // namespace fdqc
