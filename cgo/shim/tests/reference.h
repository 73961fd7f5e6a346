// The validator written down row by row in float64, straight from the
// specification: what the operator's tests compare with. Shares nothing with
// the operator.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "fdqc.h"

namespace fdqc::reference {

using Floats = std::vector<float>;

struct Winner {
  int64_t row = -1;
  double distance = std::numeric_limits<double>::infinity();
  double squared = std::numeric_limits<double>::infinity();
};

// Step 7: float64 sums in column order, the first of equals.
inline Winner nearest(const float* z, int64_t n, const Floats& patterns) {
  Winner best;
  for (size_t p = 0; p * 2 * n < patterns.size(); ++p) {
    double sum = 0;
    for (int64_t j = 0; j < 2 * n; ++j) {
      const double x = j < n ? z[j] : 0.0;
      const double difference = x - patterns[p * 2 * n + j];
      const volatile double square = difference * difference;
      sum += square;
    }
    if (sum < best.squared) {
      best = {static_cast<int64_t>(p), std::sqrt(sum), sum};
    }
  }
  return best;
}

struct Model {
  int64_t n = 0;
  Floats real, imag;     // [n]
  Floats tensors[6];     // the risk detector
  Floats safe, unsafe;   // [count, 2n]
  fdqc_policy policy{0.7f, 0.85f, 0.8f, FDQC_TIER_GAMMA, FDQC_STATE_ROW,
                     1,    1,     {0, 0}};
};

struct Judged {
  double entropy, coherence, base_risk;
  Winner safe, unsafe;
};

// Step 2 on one state.
inline void move(const Model& model, const float* z,
                 std::vector<double>& state) {
  for (int64_t j = 0; j < model.n; ++j) {
    const bool first = model.policy.state_update == FDQC_STATE_FIRST_ELEMENT;
    state[j] = 0.9 * state[j] + 0.1 * static_cast<double>(z[first ? 0 : j]);
  }
}

inline std::vector<double> linear(const Floats& weight, const Floats& bias,
                                  const std::vector<double>& x) {
  std::vector<double> y(bias.begin(), bias.end());
  for (size_t i = 0; i < y.size(); ++i) {
    for (size_t j = 0; j < x.size(); ++j) {
      y[i] += weight[i * x.size() + j] * x[j];
    }
  }
  return y;
}

// Steps 3 to 7 after the state has moved.
inline Judged judge(const Model& model, const float* z,
                    const std::vector<double>& state) {
  const int64_t n = model.n;
  Judged out{};
  std::vector<double> m(n);
  double total = 0;
  for (int64_t j = 0; j < n; ++j) {
    m[j] = std::hypot(state[j], static_cast<double>(model.imag[j]));
    total += m[j];
  }
  double sum = 0, squares = 0;
  for (double& value : m) {
    value /= total + 1e-8;
    sum += value;
    squares += value * value;
  }
  for (const double value : m) {
    const double p = value * value / (squares + 1e-8);
    out.entropy -= p * std::log(p + 1e-8) / std::log(static_cast<double>(n));
  }
  out.coherence = (sum * sum - squares) / static_cast<double>(n * (n - 1));
  std::vector<double> x(state);
  x.insert(x.end(), model.imag.begin(), model.imag.end());
  for (int layer = 0; layer < 3; ++layer) {
    x = linear(model.tensors[2 * layer], model.tensors[2 * layer + 1], x);
    for (double& value : x) value = layer < 2 ? std::max(value, 0.0) : value;
  }
  out.base_risk = 1 / (1 + std::exp(-x[0]));
  out.safe = nearest(z, n, model.safe);
  out.unsafe = nearest(z, n, model.unsafe);
  return out;
}

struct Decision {
  float raw_risk, novelty, safe_similarity, unsafe_similarity;
  uint32_t flags;
};

// Steps 7 to 16 in float32, from a verdict's own entropy, coherence, base
// risk and distances.
inline Decision decide(const Model& model, const fdqc_verdict& v,
                       bool no_allow) {
  const fdqc_policy& policy = model.policy;
  const bool any_safe = !model.safe.empty(), any_unsafe = !model.unsafe.empty();
  Decision d{};
  d.safe_similarity = any_safe ? 1.0f / (1.0f + v.safe_distance) : 0.0f;
  d.unsafe_similarity = any_unsafe ? 1.0f / (1.0f + v.unsafe_distance) : 0.0f;
  const bool safe = d.safe_similarity > 0.5f;
  const bool unsafe = d.unsafe_similarity > 0.5f;
  float adjustment = 1.0f;
  if (any_safe || any_unsafe) {
    if (safe && !unsafe) {
      adjustment = 0.3f;
    } else if (unsafe && !safe) {
      adjustment = 1.5f;
    } else if (d.safe_similarity > d.unsafe_similarity) {
      adjustment = 0.5f;
    } else if (d.unsafe_similarity > d.safe_similarity) {
      adjustment = 1.2f;
    }
  }
  float risk = v.base_risk * adjustment;
  d.novelty = any_safe ? std::min(v.safe_distance / 2.0f, 1.0f) : 0.5f;
  float most = policy.entropy_threshold, least = policy.collapse_threshold;
  if (safe) {
    most = 1.1f, least = 0.0f;
  } else if (d.safe_similarity > 0.3f) {
    most = 0.98f, least = 0.1f;
  }
  uint32_t violations = 0;
  if (v.entropy > most) {
    violations |= FDQC_HIGH_ENTROPY;
    risk = std::max(risk, safe ? 0.3f : 0.8f);
  }
  if (v.coherence < least) {
    violations |= FDQC_LOW_COHERENCE;
    risk = std::max(risk, safe ? 0.3f : 0.7f);
  }
  if (d.novelty > 0.9f && !safe) {
    violations |= FDQC_HIGH_NOVELTY;
    risk = std::max(risk, 0.6f);
  }
  if (safe && risk < 0.5f) violations = 0;
  d.raw_risk = risk;
  const bool requires_approval = risk > 0.5f || violations != 0;
  const bool human = requires_approval || policy.require_human_approval != 0;
  bool approved = false;
  if (policy.tier == FDQC_TIER_ALPHA || policy.tier == FDQC_TIER_BETA) {
    approved = risk < 0.1f;
  } else if (policy.tier == FDQC_TIER_GAMMA) {
    approved = risk <= 0.5f && violations == 0;
  } else if (policy.tier == FDQC_TIER_DELTA) {
    approved = risk < 0.3f && violations == 0;
  }
  uint32_t decision = FDQC_DECISION_REVIEW;
  if (approved && policy.safe_mode == 0 && !human && !no_allow) {
    decision = FDQC_DECISION_ALLOW;
  } else if (policy.tier >= FDQC_TIER_EPSILON ||
             (!approved && risk > policy.block_threshold)) {
    decision = FDQC_DECISION_BLOCK;
  }
  d.flags = violations | decision;
  if (approved) d.flags |= FDQC_APPROVED;
  if (requires_approval) d.flags |= FDQC_REQUIRES_APPROVAL;
  if (human) d.flags |= FDQC_REQUIRES_HUMAN_APPROVAL;
  if (safe) d.flags |= FDQC_MATCHED_SAFE;
  if (unsafe) d.flags |= FDQC_MATCHED_UNSAFE;
  return d;
}

// Reproducible numbers.
class Source {
 public:
  explicit Source(uint32_t seed) : engine_(seed) {}
  float normal() { return normal_(engine_); }
  int64_t below(int64_t end) { return static_cast<int64_t>(engine_() % end); }
  Floats normals(int64_t count, float scale) {
    Floats to(count);
    for (float& value : to) value = scale * normal();
    return to;
  }
  // [count, 2n] with a second half of zeros, as the engine stores them.
  Floats patterns(int64_t count, int64_t n, float scale) {
    Floats to(count * 2 * n, 0.0f);
    for (int64_t i = 0; i < count; ++i) {
      for (int64_t j = 0; j < n; ++j) to[i * 2 * n + j] = scale * normal();
    }
    return to;
  }

 private:
  std::mt19937 engine_;
  std::normal_distribution<float> normal_;
};

// A detector whose base risk spreads over (0, 1), and a state.
inline Model model(Source& source, int64_t n, int64_t safe, int64_t unsafe,
                   float scale) {
  Model m;
  m.n = n;
  m.real = source.normals(n, 0.1f);
  m.imag = source.normals(n, 0.1f);
  const float first = 2.0f / std::sqrt(static_cast<float>(2 * n));
  m.tensors[0] = source.normals(64 * 2 * n, first);
  m.tensors[1] = source.normals(64, 0.2f);
  m.tensors[2] = source.normals(32 * 64, 0.2f);
  m.tensors[3] = source.normals(32, 0.2f);
  m.tensors[4] = source.normals(32, 0.6f);
  m.tensors[5] = source.normals(1, 0.1f);
  m.safe = source.patterns(safe, n, scale);
  m.unsafe = source.patterns(unsafe, n, scale);
  return m;
}

}  // namespace fdqc::reference
