// Two ways. A narrow workspace takes dot products: lanes go along the row, so
// that nothing is wasted whatever n is and the row is read as it lies in
// memory. A wide one takes panels of outputs: no sums across lanes, and each
// panel stays in the first cache while the rows of the tile pass by.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu_linear.cc"
#include <hwy/foreach_target.h>

#include "cpu_panel-inl.h"

#include <hwy/cache_control.h>

#include <algorithm>

#include "cpu_linear.h"

#ifndef FDQC_CPU_LINEAR_ONCE
#define FDQC_CPU_LINEAR_ONCE
namespace fdqc::cpu {

// Outputs and rows of a block of dot products.
constexpr int64_t kDots = 4;
constexpr size_t kDotRows = 3;
constexpr int64_t kLine = 16;  // floats of a cache line

constexpr int64_t round_up(int64_t value, int64_t to) {
  return (value + to - 1) / to * to;
}

}  // namespace fdqc::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace fdqc::cpu::HWY_NAMESPACE {

template <size_t R>
void DotRows(const float* HWY_RESTRICT x, size_t width,
             const float* HWY_RESTRICT weight, const float* HWY_RESTRICT bias,
             size_t outputs, bool more, float* HWY_RESTRICT z) {
  const D d;
  const size_t stride = static_cast<size_t>(
      round_up(static_cast<int64_t>(width), kLine));
  const size_t whole = width / kLanes * kLanes;
  // What is left of the rows, with zeros behind it.
  HWY_ALIGN float rest[R * kLanes] = {};
  for (size_t r = 0; r < R; ++r) {
    std::copy_n(x + r * width + whole, width - whole, rest + r * kLanes);
  }
  for (size_t k = 0; k < outputs; k += kDots) {
    const float* const w = weight + k * stride;
    V sums[R][kDots];
    for (size_t r = 0; r < R; ++r) {
      for (V& sum : sums[r]) sum = hn::Zero(d);
    }
    const auto add = [&](const float* from, size_t row_stride, size_t j) {
      V mine[R];
      for (size_t r = 0; r < R; ++r) {
        mine[r] = hn::LoadU(d, from + r * row_stride);
      }
      for (size_t q = 0; q < kDots; ++q) {
        const V column = hn::Load(d, w + q * stride + j);
        for (size_t r = 0; r < R; ++r) {
          sums[r][q] = hn::MulAdd(mine[r], column, sums[r][q]);
        }
      }
    };
    // The rows after these come from memory while the last outputs of these
    // are computed.
    const bool ahead = more && k + kDots >= outputs;
    for (size_t j = 0; j < whole; j += kLanes) {
      if (ahead) {
        for (size_t r = 0; r < R; ++r) hwy::Prefetch(x + (R + r) * width + j);
      }
      add(x + j, width, j);
    }
    if (whole < width) add(rest, kLanes, whole);
    for (size_t r = 0; r < R; ++r) {
      for (size_t q = 0; q < kDots && k + q < outputs; ++q) {
        z[r * outputs + k + q] =
            hn::GetLane(hn::SumOfLanes(d, sums[r][q])) + bias[k + q];
      }
    }
  }
}

void Dots(const float* x, size_t rows, size_t width, const float* weight,
          const float* bias, size_t outputs, float* z) {
  size_t row = 0;
  for (; row + kDotRows <= rows; row += kDotRows) {
    DotRows<kDotRows>(x + row * width, width, weight, bias, outputs,
                      row + 2 * kDotRows <= rows, z + row * outputs);
  }
  for (; row < rows; ++row) {
    DotRows<1>(x + row * width, width, weight, bias, outputs, false,
               z + row * outputs);
  }
}

void Panels(const float* x, size_t rows, size_t width, const float* weight,
            const float* bias, size_t outputs, float* z) {
  const D d;
  for (size_t k = 0; k < outputs; k += kPanel) {
    const float* const panel = weight + k * width;
    const size_t mine = std::min<size_t>(kPanel, outputs - k);
    ForBlocks(rows, [&](size_t row, auto block) HWY_ATTR {
      Panel<decltype(block)::value>(
          x + row * width, width, width, panel, bias + k,
          [&](size_t r, const V* sums) HWY_ATTR {
            float* const to = z + (row + r) * outputs + k;
            if (mine == kPanel) {
              for (size_t v = 0; v < kVectors; ++v) {
                hn::StoreU(sums[v], d, to + v * kLanes);
              }
              return;
            }
            HWY_ALIGN float all[kPanel];
            for (size_t v = 0; v < kVectors; ++v) {
              hn::Store(sums[v], d, all + v * kLanes);
            }
            std::copy_n(all, mine, to);
          });
    });
  }
}

}  // namespace fdqc::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fdqc::cpu {

HWY_EXPORT(Dots);
HWY_EXPORT(Panels);

Linear::Linear(int64_t n, int64_t d, const float* weight, const float* bias)
    : n_(n), d_(d), bias_(pack_bias(bias, n)) {
  if (n >= kPanel) {
    weight_ = pack_panels(weight, n, d, d);
    return;
  }
  const int64_t stride = round_up(d, kLine);
  weight_.reserve(round_up(n, kDots) * stride);
  for (int64_t k = 0; k < n; ++k) {
    std::copy_n(weight + k * d, d, weight_.data() + k * stride);
  }
}

void Linear::operator()(const float* x, int64_t rows, float* z) const {
  const size_t count = static_cast<size_t>(rows);
  const size_t width = static_cast<size_t>(d_), n = static_cast<size_t>(n_);
  if (n_ >= kPanel) {
    HWY_DYNAMIC_DISPATCH(Panels)
    (x, count, width, weight_.data(), bias_.data(), n, z);
  } else {
    HWY_DYNAMIC_DISPATCH(Dots)
    (x, count, width, weight_.data(), bias_.data(), n, z);
  }
}

}  // namespace fdqc::cpu
#endif
