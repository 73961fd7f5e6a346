#include "score.h"

#include <ATen/ops/addmm.h>
#include <ATen/ops/addmv.h>
#include <ATen/ops/hypot.h>
#include <ATen/ops/maximum.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros_like.h>

#include <cmath>
#include <limits>

namespace fdqc {
namespace {

using at::Tensor;

// Either number, as float32 whatever the default dtype is.
Tensor choose(const Tensor& condition, double yes, double no) {
  return at::where(condition, yes, no).to(at::kFloat);
}

// Steps 3 to 5.
void entropy_and_coherence(const Tensor& real, const Tensor& imag,
                           Tensor& entropy, Tensor& coherence) {
  const double n = static_cast<double>(real.size(1));
  // hypot, since the sum of squares of a large state overflows.
  const Tensor a = at::hypot(real, imag.expand_as(real));
  const Tensor m = a.div(a.sum(1, true).add_(1e-8));
  const Tensor squares = m.square();
  const Tensor sum_squares = squares.sum(1, true);
  const Tensor p = squares.div(sum_squares.add(1e-8));
  entropy = p.mul(p.add(1e-8).log_()).sum(1).div_(-std::log(n));
  coherence = m.sum(1).square_().sub_(sum_squares.squeeze(1)).div_(n * (n - 1));
}

// Step 6.
Tensor base_risk(const Scorer& s, const Tensor& state) {
  Tensor h = at::addmm(s.bias0, state, s.weight0).relu_();
  h = at::addmm(s.bias1, h, s.weight1).relu_();
  return at::addmm(s.bias2, h, s.weight2).sigmoid_().squeeze(1);
}

// Step 8.
Tensor adjustment(const Scorer& s, const Tensor& safe, const Tensor& unsafe,
                  const Tensor& matched_safe, const Tensor& matched_unsafe) {
  Tensor factor = choose(safe.gt(unsafe), 0.5, 1.2);
  factor.masked_fill_(safe.eq(unsafe), 1.0);
  if (s.any_unsafe) {
    factor.masked_fill_(matched_unsafe.logical_and(matched_safe.logical_not()),
                        1.5);
  }
  if (s.any_safe) {
    factor.masked_fill_(matched_safe.logical_and(matched_unsafe.logical_not()),
                        0.3);
  }
  return factor;
}

// Step 14.
Tensor approved_by_tier(int32_t tier, const Tensor& risk,
                        const Tensor& violation) {
  switch (tier) {
    case FDQC_TIER_ALPHA:
    case FDQC_TIER_BETA:
      return risk.lt(0.1);
    case FDQC_TIER_GAMMA:
      return risk.le(0.5).logical_and_(violation.logical_not());
    case FDQC_TIER_DELTA:
      return risk.lt(0.3).logical_and_(violation.logical_not());
    default:  // EPSILON, OMEGA
      return at::zeros_like(violation);
  }
}

}  // namespace

Scorer::Scorer(const std::vector<Tensor>& tensors, const Tensor& imag_,
               const fdqc_policy& policy_, bool any_safe_, bool any_unsafe_)
    : imag(imag_),
      policy(policy_),
      any_safe(any_safe_),
      any_unsafe(any_unsafe_) {
  const int64_t n = imag.size(0);
  weight0 = tensors[0].narrow(1, 0, n).t();
  bias0 = at::addmv(tensors[1], tensors[0].narrow(1, n, n), imag);
  weight1 = tensors[2].t();
  bias1 = tensors[3];
  weight2 = tensors[4].t();
  bias2 = tensors[5];
}

Scored score(const Scorer& s, const Tensor& state, const Tensor& safe_distance,
             const Tensor& unsafe_distance, const Tensor& no_allow) {
  Tensor entropy, coherence;
  entropy_and_coherence(state, s.imag, entropy, coherence);
  const Tensor base = base_risk(s, state);

  // Step 7. With no pattern the distance is infinite and this is 0.
  const Tensor safe = safe_distance.add(1).reciprocal_();
  const Tensor unsafe = unsafe_distance.add(1).reciprocal_();
  const Tensor matched_safe = safe.gt(0.5);
  const Tensor matched_unsafe = unsafe.gt(0.5);

  Tensor risk = base.clone();
  if (s.any_safe || s.any_unsafe) {
    risk.mul_(adjustment(s, safe, unsafe, matched_safe, matched_unsafe));
  }
  // Step 9.
  Tensor novelty = safe_distance.div(2).clamp_max_(1);
  if (!s.any_safe) novelty.fill_(0.5);
  // Step 10.
  const Tensor near = safe.gt(0.3);
  const Tensor most_entropy =
      choose(near, 0.98, s.policy.entropy_threshold)
          .masked_fill_(matched_safe, 1.1);
  const Tensor least_coherence =
      choose(near, 0.1, s.policy.collapse_threshold)
          .masked_fill_(matched_safe, 0.0);

  // Step 11.
  Tensor high_entropy = entropy.gt(most_entropy);
  Tensor low_coherence = coherence.lt(least_coherence);
  Tensor high_novelty =
      novelty.gt(0.9).logical_and_(matched_safe.logical_not());
  risk = at::where(high_entropy,
                   at::maximum(risk, choose(matched_safe, 0.3, 0.8)), risk);
  risk = at::where(low_coherence,
                   at::maximum(risk, choose(matched_safe, 0.3, 0.7)), risk);
  risk = at::where(high_novelty, risk.clamp_min(0.6), risk);
  // Step 12.
  const Tensor stands =
      matched_safe.logical_and(risk.lt(0.5)).logical_not_();
  high_entropy.logical_and_(stands);
  low_coherence.logical_and_(stands);
  high_novelty.logical_and_(stands);

  // Steps 13, 14 and 16.
  const Tensor violation =
      high_entropy.logical_or(low_coherence).logical_or_(high_novelty);
  const Tensor requires_approval = risk.gt(0.5).logical_or_(violation);
  Tensor requires_human = requires_approval;
  if (s.policy.require_human_approval != 0) {
    requires_human = at::zeros_like(violation).fill_(true);
  }
  const Tensor approved = approved_by_tier(s.policy.tier, risk, violation);
  Tensor allow = approved.logical_and(requires_human.logical_not());
  if (s.policy.safe_mode != 0) allow.fill_(false);
  if (no_allow.defined()) allow.logical_and_(no_allow.logical_not());
  Tensor block = risk.gt(s.policy.block_threshold)
                     .logical_and_(approved.logical_not());
  if (s.policy.tier >= FDQC_TIER_EPSILON) block.fill_(true);
  block.logical_and_(allow.logical_not());
  const Tensor review = allow.logical_or(block).logical_not_();

  Tensor flags = approved.to(at::kInt);  // FDQC_APPROVED is 1
  const auto set = [&flags](const Tensor& condition, int32_t bit) {
    flags.add_(condition, bit);
  };
  set(requires_approval, FDQC_REQUIRES_APPROVAL);
  set(requires_human, FDQC_REQUIRES_HUMAN_APPROVAL);
  set(matched_safe, FDQC_MATCHED_SAFE);
  set(matched_unsafe, FDQC_MATCHED_UNSAFE);
  set(high_entropy, FDQC_HIGH_ENTROPY);
  set(low_coherence, FDQC_LOW_COHERENCE);
  set(high_novelty, FDQC_HIGH_NOVELTY);
  set(allow, FDQC_DECISION_ALLOW);
  set(review, FDQC_DECISION_REVIEW);
  set(block, FDQC_DECISION_BLOCK);

  Scored out;
  out.scores = at::stack({risk.clamp(0, 1), risk, base, entropy, coherence,
                          novelty, safe, unsafe, safe_distance,
                          unsafe_distance},
                         1);
  out.flags = flags;
  // NaN is not less than infinity.
  out.known = out.scores.narrow(1, 0, kSafeDistance)
                  .abs()
                  .amax(1)
                  .lt(std::numeric_limits<double>::infinity());
  return out;
}

}  // namespace fdqc
