// The recurrence itself, in order: half a percent of a row's time at n = 8 and
// 2,000 patterns (samples of the CPU's clock), so that many threads can wait
// for one another's states before they would do better with a scan by blocks;
// and it gives the same bits however a batch is cut.
#include "cpu_scan.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu_scan.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace fdqc::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// kColumns vectors of columns through all rows, their state in registers.
template <size_t kColumns, class D>
HWY_INLINE void Columns(D d, float* state, const float* z, size_t rows,
                        size_t n, bool first_element, float* out) {
  const hn::Rebind<float, D> narrow;
  const size_t lanes = hn::Lanes(d);
  const auto keep = hn::Set(d, 0.9), take = hn::Set(d, 0.1);
  hn::Vec<D> now[kColumns];
  for (size_t c = 0; c < kColumns; ++c) {
    now[c] = hn::PromoteTo(d, hn::LoadU(narrow, state + c * lanes));
  }
  for (size_t r = 0; r < rows; ++r, z += n, out += n) {
    for (size_t c = 0; c < kColumns; ++c) {
      const auto u = first_element ? hn::Set(narrow, *z)
                                   : hn::LoadU(narrow, z + c * lanes);
      const auto next = hn::DemoteTo(
          narrow, hn::Add(hn::Mul(keep, now[c]),
                          hn::Mul(take, hn::PromoteTo(d, u))));
      hn::StoreU(next, narrow, out + c * lanes);
      now[c] = hn::PromoteTo(d, next);
    }
  }
  for (size_t c = 0; c < kColumns; ++c) {
    hn::StoreU(hn::DemoteTo(narrow, now[c]), narrow, state + c * lanes);
  }
}

void Scan(float* state, const float* z, size_t rows, size_t n,
          bool first_element, float* out) {
  const hn::ScalableTag<double> d;
  const hn::CappedTag<double, 1> one;
  const size_t lanes = hn::Lanes(d);
  // In the row update a column reads its own; else all read the first.
  const size_t step = first_element ? 0 : 1;
  size_t j = 0;
  for (; j + 2 * lanes <= n; j += 2 * lanes) {
    Columns<2>(d, state + j, z + j * step, rows, n, first_element, out + j);
  }
  for (; j + lanes <= n; j += lanes) {
    Columns<1>(d, state + j, z + j * step, rows, n, first_element, out + j);
  }
  for (; j < n; ++j) {
    Columns<1>(one, state + j, z + j * step, rows, n, first_element, out + j);
  }
}

}  // namespace fdqc::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fdqc::cpu {

HWY_EXPORT(Scan);

void scan(float* state, const float* z, int64_t rows, int64_t n,
          bool first_element, float* out) {
  HWY_DYNAMIC_DISPATCH(Scan)(state, z, static_cast<size_t>(rows),
                             static_cast<size_t>(n), first_element, out);
}

}  // namespace fdqc::cpu
#endif
