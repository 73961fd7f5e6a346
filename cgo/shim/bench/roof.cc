#include "bench/roof.h"

#include "match_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "bench/roof.cc"
#include <hwy/foreach_target.h>  // before highway.h
//
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace fdqc::bench {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using D = hn::CappedTag<float, 16>;
constexpr int kSums = 12, kSteps = 10000;

// Independent sums in registers, each taking in one product a step.
void multiply_add() {
  const D d;
  hn::Vec<D> sums[kSums];
  for (int i = 0; i < kSums; ++i) sums[i] = hn::Set(d, 1e-3f * i);
  // Opaque, so that nothing is worked out beforehand.
  volatile float factor = 0.999f;
  const hn::Vec<D> x = hn::Set(d, factor), y = hn::Set(d, 1 - factor);
  for (int step = 0; step < kSteps; ++step) {
    for (int i = 0; i < kSums; ++i) sums[i] = hn::MulAdd(sums[i], x, y);
  }
  for (int i = 1; i < kSums; ++i) sums[0] = hn::Add(sums[0], sums[i]);
  factor = hn::GetLane(sums[0]);
}

double multiply_add_flops() {
  return 2.0 * kSums * kSteps * static_cast<double>(hn::Lanes(D()));
}

const char* target() { return hwy::TargetName(HWY_TARGET); }

}  // namespace HWY_NAMESPACE
}  // namespace fdqc::bench
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fdqc::bench {

HWY_EXPORT(multiply_add);
HWY_EXPORT(multiply_add_flops);
HWY_EXPORT(target);

void multiply_add() { HWY_DYNAMIC_DISPATCH(multiply_add)(); }
double multiply_add_flops() { return HWY_DYNAMIC_DISPATCH(multiply_add_flops)(); }
const char* target() { return HWY_DYNAMIC_DISPATCH(target)(); }

}  // namespace fdqc::bench
#endif
