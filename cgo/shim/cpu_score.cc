// Lanes are rows, except in the detector, where they are a layer's outputs. No
// row's numbers depend on its lane. What decides (from step 7 on) is made of
// single float32 operations, the same on every target.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu_score.cc"
#include <hwy/foreach_target.h>

#include "cpu_panel-inl.h"

#include <hwy/contrib/math/math-inl.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "cpu_score.h"

#ifndef FDQC_CPU_SCORE_ONCE
#define FDQC_CPU_SCORE_ONCE
namespace fdqc::cpu {

constexpr int64_t kMostLanes = 16;

// The numbers of a group of rows on their way into verdicts.
struct Group {
  alignas(64) float risk_score[kMostLanes], raw_risk[kMostLanes],
      base_risk[kMostLanes], entropy[kMostLanes], coherence[kMostLanes],
      novelty[kMostLanes], similarity[2][kMostLanes], distance[2][kMostLanes];
  alignas(64) uint32_t no_allow[kMostLanes];
  alignas(64) uint32_t flags[kMostLanes];
  alignas(64) uint32_t row_status[kMostLanes];
};

}  // namespace fdqc::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace fdqc::cpu::HWY_NAMESPACE {

using U = hn::RebindToUnsigned<D>;
using M = hn::Mask<D>;

static_assert(kLanes <= kMostLanes, "a group holds the lanes of a vector");

// NaN stays NaN, as in LibTorch; Max would drop it on some targets.
HWY_INLINE V Relu(V x) {
  const V zero = hn::Zero(D());
  return hn::IfThenElse(hn::Lt(x, zero), zero, x);
}

// Step 6, before the sigmoid: the detector's last sum of each row.
void Logits(const Scoring& s, const float* state, size_t rows, float* out) {
  const D d;
  const Detector& detector = s.detector;
  const size_t n = static_cast<size_t>(detector.n);
  ForBlocks(rows, [&](size_t row, auto block) HWY_ATTR {
    constexpr size_t kBlock = decltype(block)::value;
    HWY_ALIGN float hidden[kBlock * kHidden0];
    for (size_t k = 0; k < kHidden0; k += kPanel) {
      Panel<kBlock>(state + row * n, n, n, detector.real0.data() + k * n,
                    s.bias0 + k, [&](size_t r, const V* sums) HWY_ATTR {
                      float* const to = hidden + r * kHidden0 + k;
                      for (size_t v = 0; v < kVectors; ++v) {
                        hn::Store(Relu(sums[v]), d, to + v * kLanes);
                      }
                    });
    }
    static_assert(kHidden1 == kPanel, "one panel");
    Panel<kBlock>(
        hidden, kHidden0, kHidden0, detector.weight1.data(),
        detector.bias1.data(), [&](size_t r, const V* sums) HWY_ATTR {
          V last = hn::Zero(d);
          for (size_t v = 0; v < kVectors; ++v) {
            last = hn::MulAdd(
                Relu(sums[v]),
                hn::Load(d, detector.weight2.data() + v * kLanes), last);
          }
          out[row + r] =
              hn::GetLane(hn::SumOfLanes(d, last)) + detector.bias2;
        });
  });
}

HWY_INLINE V Sigmoid(V x) {
  const D d;
  const V one = hn::Set(d, 1.0f);
  // Beyond 88 e^-x has no float32, and the sigmoid next to nothing.
  const V power = hn::Min(hn::Neg(x), hn::Set(d, 88.0f));
  const V y = hn::Div(one, hn::Add(one, hn::Exp(d, power)));
  return hn::IfThenElse(hn::IsNaN(x), x, y);
}

// sqrt(x^2 + y^2), whose squares would leave float32. It is too small where
// both are denormal, which nothing can tell from zero.
HWY_INLINE V Magnitude(V x, V y) {
  const D d;
  const V one = hn::Set(d, 1.0f);
  const V a = hn::Abs(x), b = hn::Abs(y);
  const V most = hn::Max(a, b);
  const V ratio =
      hn::Div(hn::Min(a, b),
              hn::Max(most, hn::Set(d, std::numeric_limits<float>::min())));
  return hn::Mul(most, hn::Sqrt(hn::MulAdd(ratio, ratio, one)));
}

// Steps 3 to 5. t: [n, kLanes], the states of a group; it is written over.
HWY_INLINE void EntropyAndCoherence(const float* imag, size_t n, float* t,
                                    V& entropy, V& coherence) {
  const D d;
  const V one = hn::Set(d, 1.0f), least = hn::Set(d, 1e-8f);
  V total = hn::Zero(d);
  for (size_t j = 0; j < n; ++j) {
    const V a = Magnitude(hn::Load(d, t + j * kLanes), hn::Set(d, imag[j]));
    hn::Store(a, d, t + j * kLanes);
    total = hn::Add(total, a);
  }
  const V share = hn::Div(one, hn::Add(total, least));
  V sum = hn::Zero(d), squares = hn::Zero(d);
  for (size_t j = 0; j < n; ++j) {
    const V m = hn::Mul(hn::Load(d, t + j * kLanes), share);
    const V square = hn::Mul(m, m);
    hn::Store(square, d, t + j * kLanes);
    sum = hn::Add(sum, m);
    squares = hn::Add(squares, square);
  }
  const V part = hn::Div(one, hn::Add(squares, least));
  V h = hn::Zero(d);
  for (size_t j = 0; j < n; ++j) {
    const V p = hn::Mul(hn::Load(d, t + j * kLanes), part);
    h = hn::MulAdd(p, hn::Log(d, hn::Add(p, least)), h);
  }
  const float of = static_cast<float>(n);
  entropy = hn::Div(h, hn::Set(d, -std::log(of)));
  coherence = hn::Div(hn::Sub(hn::Mul(sum, sum), squares),
                      hn::Set(d, of * (of - 1.0f)));
}

// Step 8.
HWY_INLINE V Adjustment(V safe, V unsafe, M matched_safe, M matched_unsafe) {
  const D d;
  V factor = hn::IfThenElse(hn::Gt(unsafe, safe), hn::Set(d, 1.2f),
                            hn::Set(d, 1.0f));
  factor = hn::IfThenElse(hn::Gt(safe, unsafe), hn::Set(d, 0.5f), factor);
  factor = hn::IfThenElse(hn::AndNot(matched_safe, matched_unsafe),
                          hn::Set(d, 1.5f), factor);
  return hn::IfThenElse(hn::AndNot(matched_unsafe, matched_safe),
                        hn::Set(d, 0.3f), factor);
}

// Step 14.
HWY_INLINE M ApprovedByTier(int32_t tier, V risk, M violation) {
  const D d;
  switch (tier) {
    case FDQC_TIER_ALPHA:
    case FDQC_TIER_BETA:
      return hn::Lt(risk, hn::Set(d, 0.1f));
    case FDQC_TIER_GAMMA:
      return hn::AndNot(violation, hn::Le(risk, hn::Set(d, 0.5f)));
    case FDQC_TIER_DELTA:
      return hn::AndNot(violation, hn::Lt(risk, hn::Set(d, 0.3f)));
    default:  // EPSILON, OMEGA
      return hn::FirstN(d, 0);
  }
}

// Steps 7 to 16 of a group whose entropy, coherence, base risk, distances and
// no_allow are there.
HWY_INLINE void Decide(const Scoring& s, Group& g) {
  const D d;
  const U u;
  const fdqc_policy& policy = s.policy;
  const V one = hn::Set(d, 1.0f), zero = hn::Zero(d);
  const M none = hn::FirstN(d, 0), all = hn::Not(none);
  const V entropy = hn::Load(d, g.entropy);
  const V coherence = hn::Load(d, g.coherence);
  const V base = hn::Load(d, g.base_risk);
  const V safe_distance = hn::Load(d, g.distance[FDQC_SAFE]);
  // Step 7. With no pattern the distance is infinite and this is 0.
  const V safe = hn::Div(one, hn::Add(one, safe_distance));
  const V unsafe = hn::Div(
      one, hn::Add(one, hn::Load(d, g.distance[FDQC_UNSAFE])));
  const M matched_safe = hn::Gt(safe, hn::Set(d, 0.5f));
  const M matched_unsafe = hn::Gt(unsafe, hn::Set(d, 0.5f));

  V risk = base;
  if (s.any[FDQC_SAFE] || s.any[FDQC_UNSAFE]) {
    risk = hn::Mul(base, Adjustment(safe, unsafe, matched_safe,
                                    matched_unsafe));
  }
  // Step 9.
  const V novelty = s.any[FDQC_SAFE]
                        ? hn::Min(hn::Mul(safe_distance, hn::Set(d, 0.5f)), one)
                        : hn::Set(d, 0.5f);
  // Step 10.
  const M near = hn::Gt(safe, hn::Set(d, 0.3f));
  V most_entropy = hn::IfThenElse(near, hn::Set(d, 0.98f),
                                  hn::Set(d, policy.entropy_threshold));
  most_entropy = hn::IfThenElse(matched_safe, hn::Set(d, 1.1f), most_entropy);
  V least_coherence = hn::IfThenElse(near, hn::Set(d, 0.1f),
                                     hn::Set(d, policy.collapse_threshold));
  least_coherence = hn::IfThenElse(matched_safe, zero, least_coherence);

  // Step 11.
  M high_entropy = hn::Gt(entropy, most_entropy);
  M low_coherence = hn::Lt(coherence, least_coherence);
  M high_novelty =
      hn::AndNot(matched_safe, hn::Gt(novelty, hn::Set(d, 0.9f)));
  const auto raise = [&](M when, float to, float to_when_matched) HWY_ATTR {
    const V least = hn::IfThenElse(matched_safe, hn::Set(d, to_when_matched),
                                   hn::Set(d, to));
    risk = hn::IfThenElse(hn::And(when, hn::Lt(risk, least)), least, risk);
  };
  raise(high_entropy, 0.8f, 0.3f);
  raise(low_coherence, 0.7f, 0.3f);
  raise(high_novelty, 0.6f, 0.6f);
  // Step 12.
  const M cleared =
      hn::And(matched_safe, hn::Lt(risk, hn::Set(d, 0.5f)));
  high_entropy = hn::AndNot(cleared, high_entropy);
  low_coherence = hn::AndNot(cleared, low_coherence);
  high_novelty = hn::AndNot(cleared, high_novelty);

  // Steps 13, 14 and 16.
  const M violation =
      hn::Or(hn::Or(high_entropy, low_coherence), high_novelty);
  const M requires_approval =
      hn::Or(hn::Gt(risk, hn::Set(d, 0.5f)), violation);
  const M human =
      policy.require_human_approval != 0 ? all : requires_approval;
  const M approved = ApprovedByTier(policy.tier, risk, violation);
  const M free = hn::RebindMask(
      d, hn::Eq(hn::Load(u, g.no_allow), hn::Zero(u)));
  const M allow = policy.safe_mode != 0
                      ? none
                      : hn::And(free, hn::AndNot(human, approved));
  const M blocking =
      policy.tier >= FDQC_TIER_EPSILON
          ? all
          : hn::AndNot(approved,
                       hn::Gt(risk, hn::Set(d, policy.block_threshold)));
  const M block = hn::AndNot(allow, blocking);
  const M review = hn::Not(hn::Or(allow, block));

  const V clamped = hn::Min(hn::Max(risk, zero), one);
  auto flags = hn::Zero(u);
  const auto flag = [&](M when, uint32_t bit) HWY_ATTR {
    flags = hn::Or(flags, hn::IfThenElseZero(hn::RebindMask(u, when),
                                             hn::Set(u, bit)));
  };
  flag(approved, FDQC_APPROVED);
  flag(requires_approval, FDQC_REQUIRES_APPROVAL);
  flag(human, FDQC_REQUIRES_HUMAN_APPROVAL);
  flag(matched_safe, FDQC_MATCHED_SAFE);
  flag(matched_unsafe, FDQC_MATCHED_UNSAFE);
  flag(high_entropy, FDQC_HIGH_ENTROPY);
  flag(low_coherence, FDQC_LOW_COHERENCE);
  flag(high_novelty, FDQC_HIGH_NOVELTY);
  flag(allow, FDQC_DECISION_ALLOW);
  flag(review, FDQC_DECISION_REVIEW);
  flag(block, FDQC_DECISION_BLOCK);

  M known = hn::And(hn::IsFinite(risk), hn::IsFinite(base));
  known = hn::And(known, hn::And(hn::IsFinite(entropy),
                                 hn::IsFinite(coherence)));
  hn::Store(clamped, d, g.risk_score);
  hn::Store(risk, d, g.raw_risk);
  hn::Store(novelty, d, g.novelty);
  hn::Store(safe, d, g.similarity[FDQC_SAFE]);
  hn::Store(unsafe, d, g.similarity[FDQC_UNSAFE]);
  hn::Store(flags, u, g.flags);
  hn::Store(hn::IfThenZeroElse(hn::RebindMask(u, known),
                               hn::Set(u, uint32_t{FDQC_ROW_NO_SCORE})),
            u, g.row_status);
}

HWY_INLINE int64_t IdOf(const int64_t* ids, int64_t index) {
  return index < 0 || ids == nullptr ? index : ids[index];
}

void Score(const Scoring& s, const Judged& in, float* room,
           fdqc_verdict* out) {
  const D d;
  const size_t n = static_cast<size_t>(s.detector.n);
  const size_t rows = static_cast<size_t>(in.rows);
  float* const logits = room;
  float* const t = room + (rows + kMostLanes - 1) / kMostLanes * kMostLanes;
  Logits(s, in.state, rows, logits);
  Group g = {};
  for (size_t first = 0; first < rows; first += kLanes) {
    const size_t have = std::min(kLanes, rows - first);
    // Lanes without a row have any numbers, as long as they have some.
    if (have < kLanes) std::fill_n(t, n * kLanes, 0.0f);
    for (size_t lane = 0; lane < have; ++lane) {
      const size_t row = first + lane;
      const float* const state = in.state + row * n;
      for (size_t j = 0; j < n; ++j) t[j * kLanes + lane] = state[j];
      for (const int side : {FDQC_SAFE, FDQC_UNSAFE}) {
        g.distance[side][lane] =
            static_cast<float>(std::sqrt(in.found[side][row].squared));
      }
      const size_t place = in.places == nullptr ? row : in.places[row];
      g.no_allow[lane] =
          in.flags == nullptr ? 0 : in.flags[place] & FDQC_ROW_NO_ALLOW;
      g.base_risk[lane] = logits[row];
    }
    hn::Store(Sigmoid(hn::Load(d, g.base_risk)), d, g.base_risk);
    V entropy, coherence;
    EntropyAndCoherence(s.imag, n, t, entropy, coherence);
    hn::Store(entropy, d, g.entropy);
    hn::Store(coherence, d, g.coherence);
    Decide(s, g);
    for (size_t lane = 0; lane < have; ++lane) {
      const size_t row = first + lane;
      fdqc_verdict& v = out[in.places == nullptr ? row : in.places[row]];
      if (g.row_status[lane] != FDQC_ROW_OK) {
        v = refused(g.row_status[lane]);
        continue;
      }
      v.risk_score = g.risk_score[lane];
      v.raw_risk = g.raw_risk[lane];
      v.base_risk = g.base_risk[lane];
      v.entropy = g.entropy[lane];
      v.coherence = g.coherence[lane];
      v.novelty = g.novelty[lane];
      v.safe_similarity = g.similarity[FDQC_SAFE][lane];
      v.unsafe_similarity = g.similarity[FDQC_UNSAFE][lane];
      v.safe_distance = g.distance[FDQC_SAFE][lane];
      v.unsafe_distance = g.distance[FDQC_UNSAFE][lane];
      v.nearest_safe =
          IdOf(s.ids[FDQC_SAFE], in.found[FDQC_SAFE][row].index);
      v.nearest_unsafe =
          IdOf(s.ids[FDQC_UNSAFE], in.found[FDQC_UNSAFE][row].index);
      v.flags = g.flags[lane];
      v.row_status = FDQC_ROW_OK;
    }
  }
}

// The first layer's bias with state_imag's half of the sum.
void Fold(const Detector& detector, const float* imag, float* bias) {
  const D d;
  const size_t n = static_cast<size_t>(detector.n);
  for (size_t k = 0; k < kHidden0; k += kPanel) {
    Panel<1>(imag, n, n, detector.imag0.data() + k * n,
             detector.bias0.data() + k, [&](size_t, const V* sums) HWY_ATTR {
               for (size_t v = 0; v < kVectors; ++v) {
                 hn::Store(sums[v], d, bias + k + v * kLanes);
               }
             });
  }
}

}  // namespace fdqc::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fdqc::cpu {

HWY_EXPORT(Score);
HWY_EXPORT(Fold);

Detector::Detector(int64_t n_, const float* const tensors[6])
    : n(n_),
      real0(pack_panels(tensors[0], kHidden0, n_, 2 * n_)),
      imag0(pack_panels(tensors[0] + n_, kHidden0, n_, 2 * n_)),
      bias0(pack_bias(tensors[1], kHidden0)),
      weight1(pack_panels(tensors[2], kHidden1, kHidden0, kHidden0)),
      bias1(pack_bias(tensors[3], kHidden1)),
      weight2(pack_bias(tensors[4], kHidden1)),
      bias2(*tensors[5]) {}

Scoring::Scoring(const Detector& detector_, const float* imag_,
                 const fdqc_policy& policy_, bool any_safe, bool any_unsafe,
                 const int64_t* safe_ids, const int64_t* unsafe_ids)
    : detector(detector_),
      imag(imag_),
      policy(policy_),
      any{any_safe, any_unsafe},
      ids{safe_ids, unsafe_ids} {
  HWY_DYNAMIC_DISPATCH(Fold)(detector, imag, bias0);
}

int64_t score_room(int64_t rows, int64_t n) {
  return (rows + kMostLanes - 1) / kMostLanes * kMostLanes + n * kMostLanes;
}

void score(const Scoring& scoring, const Judged& judged, float* room,
           fdqc_verdict* out) {
  HWY_DYNAMIC_DISPATCH(Score)(scoring, judged, room, out);
}

fdqc_verdict refused(uint32_t row_status) {
  constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
  return {kNaN, kNaN, kNaN, kNaN, kNaN, kNaN, kNaN, kNaN, kNaN, kNaN, -1, -1,
          FDQC_REQUIRES_APPROVAL | FDQC_REQUIRES_HUMAN_APPROVAL |
              FDQC_DECISION_BLOCK,
          row_status};
}

}  // namespace fdqc::cpu
#endif
