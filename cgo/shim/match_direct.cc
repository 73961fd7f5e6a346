#include "match_direct.h"

#include <ATen/ops/full.h>

#include <algorithm>
#include <limits>
#include <vector>

namespace fdqc {
namespace {

constexpr int64_t kNone = std::numeric_limits<int64_t>::max();
// Pairs whose sums advance together on the CPU: a sum in order waits for its
// last addition, several sums do not.
constexpr int kLanes = 4;

template <int lanes>
void sums(const float* const z[], const float* const p[], int64_t n, bool tail,
          double out[]) {
  double sum[lanes] = {};
  for (int64_t j = 0; j < n; ++j) {
    for (int l = 0; l < lanes; ++l) {
      const double d =
          static_cast<double>(z[l][j]) - static_cast<double>(p[l][j]);
      sum[l] += d * d;
    }
  }
  // A second half of zeros adds exact zeros.
  for (int64_t j = n; tail && j < 2 * n; ++j) {
    for (int l = 0; l < lanes; ++l) {
      const double d = -static_cast<double>(p[l][j]);
      sum[l] += d * d;
    }
  }
  std::copy(sum, sum + lanes, out);
}

// Calls take(i, squared) for the pairs i in [0, count) in order; z_of(i) and
// p_of(i) are their rows.
template <typename ZOf, typename POf, typename Take>
void each_sum(const PreparedSide& side, int64_t count, ZOf z_of, POf p_of,
              Take take) {
  const float *z[kLanes], *p[kLanes];
  double out[kLanes];
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (int l = 0; l < kLanes; ++l) z[l] = z_of(i + l), p[l] = p_of(i + l);
    sums<kLanes>(z, p, side.n, !side.tail_zero, out);
    for (int l = 0; l < kLanes; ++l) take(i + l, out[l]);
  }
  for (; i < count; ++i) {
    z[0] = z_of(i), p[0] = p_of(i);
    sums<1>(z, p, side.n, !side.tail_zero, out);
    take(i, out[0]);
  }
}

void take_in(double* squared, int64_t* pattern, int64_t row, int64_t candidate,
             double value) {
  if (value < squared[row] ||
      (value == squared[row] && candidate < pattern[row])) {
    squared[row] = value;
    pattern[row] = candidate;
  }
}

// The same sums on any device: one step a column for all pairs.
at::Tensor sums_by_column(const PreparedSide& side, const at::Tensor& z,
                          const at::Tensor& pattern, const at::Tensor& row) {
  const at::Tensor p =
      side.rows.index_select(0, pattern).to(at::kDouble).t().contiguous();
  const at::Tensor x =
      z.index_select(0, row).to(at::kDouble).t().contiguous();
  at::Tensor sum = at::full({pattern.size(0)}, 0, p.options());
  for (int64_t j = 0; j < side.n; ++j) {
    // Two kernels, not addcmul: a fused one may round once where the
    // definition rounds twice.
    const at::Tensor d = x.select(0, j).sub(p.select(0, j));
    sum.add_(d.mul(d));
  }
  for (int64_t j = side.n; !side.tail_zero && j < 2 * side.n; ++j) {
    sum.add_(p.select(0, j).mul(p.select(0, j)));
  }
  return sum;
}

}  // namespace

Best::Best(int64_t rows, c10::Device device)
    : squared(at::full({rows}, std::numeric_limits<double>::infinity(),
                       at::TensorOptions().dtype(at::kDouble).device(device))),
      pattern(at::full({rows}, kNone,
                       at::TensorOptions().dtype(at::kLong).device(device))) {}

void Best::merge(const at::Tensor& sums, const at::Tensor& candidates,
                 const at::Tensor& row) {
  const at::Tensor least = squared.scatter_reduce(0, row, sums, "amin");
  const at::Tensor kept = pattern.masked_fill(squared.ne(least), kNone);
  const at::Tensor wins = candidates.masked_fill(
      sums.ne(least.index_select(0, row)), kNone);
  pattern = kept.scatter_reduce(0, row, wins, "amin");
  squared = least;
}

Nearest Best::answer() const {
  return {squared.sqrt().to(at::kFloat),
          pattern.masked_fill(pattern.eq(kNone), -1)};
}

void resolve(const PreparedSide& side, const at::Tensor& z, const Pair* pairs,
             int64_t count, Best& best) {
  const float* const zs = z.const_data_ptr<float>();
  const float* const ps = side.rows.const_data_ptr<float>();
  double* const squared = best.squared.mutable_data_ptr<double>();
  int64_t* const index = best.pattern.mutable_data_ptr<int64_t>();
  each_sum(
      side, count, [&](int64_t i) { return zs + pairs[i].row * side.n; },
      [&](int64_t i) { return ps + pairs[i].pattern * 2 * side.n; },
      [&](int64_t i, double value) {
        take_in(squared, index, pairs[i].row, pairs[i].pattern, value);
      });
}

void resolve(const PreparedSide& side, const at::Tensor& z,
             const at::Tensor& pattern, const at::Tensor& row, Path path,
             Best& best) {
  const int64_t count = pattern.size(0);
  if (path == Path::kFastest && z.device().is_cpu()) {
    const at::Tensor patterns = pattern.contiguous(), rows = row.contiguous();
    std::vector<Pair> pairs(count);
    for (int64_t i = 0; i < count; ++i) {
      pairs[i] = {patterns.const_data_ptr<int64_t>()[i],
                  rows.const_data_ptr<int64_t>()[i]};
    }
    resolve(side, z, pairs.data(), count, best);
    return;
  }
  const int64_t at_once =
      std::max<int64_t>(1, matrix_floats(z.device()) / (6 * side.n));
  for (int64_t from = 0; from < count; from += at_once) {
    const int64_t to = std::min(from + at_once, count);
    const at::Tensor some = pattern.slice(0, from, to);
    const at::Tensor of = row.slice(0, from, to);
    best.merge(sums_by_column(side, z, some, of), some, of);
  }
}

void resolve_all(const PreparedSide& side, const at::Tensor& z, Best& best) {
  const float* const ps = side.rows.const_data_ptr<float>();
  double* const squared = best.squared.mutable_data_ptr<double>();
  int64_t* const index = best.pattern.mutable_data_ptr<int64_t>();
  for (int64_t row = 0; row < z.size(0); ++row) {
    const float* const x = z.const_data_ptr<float>() + row * side.n;
    each_sum(
        side, side.count, [&](int64_t) { return x; },
        [&](int64_t i) { return ps + i * 2 * side.n; },
        [&](int64_t i, double value) {
          take_in(squared, index, row, i, value);
        });
  }
}

}  // namespace fdqc
