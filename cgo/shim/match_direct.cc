#include "match_direct.h"

#include <ATen/ops/full.h>

#include <algorithm>
#include <limits>

namespace fdqc {
namespace {

constexpr int64_t kNone = std::numeric_limits<int64_t>::max();
// One step a column for all pairs.
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

void resolve(const PreparedSide& side, const at::Tensor& z,
             const at::Tensor& pattern, const at::Tensor& row, int64_t room,
             Best& best) {
  const int64_t count = pattern.size(0);
  const int64_t at_once =
      std::max<int64_t>(1, room / (6 * side.n));
  for (int64_t from = 0; from < count; from += at_once) {
    const int64_t to = std::min(from + at_once, count);
    const at::Tensor some = pattern.slice(0, from, to);
    const at::Tensor of = row.slice(0, from, to);
    best.merge(sums_by_column(side, z, some, of), some, of);
  }
}

}  // namespace fdqc
