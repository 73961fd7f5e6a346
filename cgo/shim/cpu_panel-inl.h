// The product with one panel of weights, for every target of Highway.
#if defined(FDQC_CPU_PANEL_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FDQC_CPU_PANEL_INL_H_
#undef FDQC_CPU_PANEL_INL_H_
#else
#define FDQC_CPU_PANEL_INL_H_
#endif

#include <hwy/highway.h>

#include "cpu_panel.h"

HWY_BEFORE_NAMESPACE();
namespace fdqc::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

constexpr size_t kLanes = hn::MaxLanes(D());
constexpr size_t kVectors = static_cast<size_t>(kPanel) / kLanes;  // a panel
// Rows of a block: as many as leave its sums in registers.
constexpr size_t kRows = kLanes >= 16 ? 6 : kLanes == 8 ? 3 : 2;

// Rows of x (`stride` apart) times a panel [inputs, kPanel], plus its bias.
// use(row, sums) gets the kVectors vectors of each row. A row's sums do not
// depend on R.
template <size_t R, class Use>
HWY_INLINE void Panel(const float* HWY_RESTRICT x, size_t stride,
                      size_t inputs, const float* HWY_RESTRICT panel,
                      const float* HWY_RESTRICT bias, const Use& use) {
  const D d;
  V sums[R][kVectors];
  for (size_t v = 0; v < kVectors; ++v) {
    const V start = hn::Load(d, bias + v * kLanes);
    for (size_t r = 0; r < R; ++r) sums[r][v] = start;
  }
  for (size_t j = 0; j < inputs; ++j, panel += kPanel) {
    for (size_t r = 0; r < R; ++r) {
      const V from = hn::Set(d, x[r * stride + j]);
      for (size_t v = 0; v < kVectors; ++v) {
        sums[r][v] =
            hn::MulAdd(from, hn::Load(d, panel + v * kLanes), sums[r][v]);
      }
    }
  }
  for (size_t r = 0; r < R; ++r) use(r, sums[r]);
}

// Calls body with the first row and, as a constant, the rows of each block.
template <class Body>
HWY_INLINE void ForBlocks(size_t rows, const Body& body) {
  size_t row = 0;
  for (; row + kRows <= rows; row += kRows) {
    body(row, std::integral_constant<size_t, kRows>());
  }
  for (; row < rows; ++row) body(row, std::integral_constant<size_t, 1>());
}

}  // namespace fdqc::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
