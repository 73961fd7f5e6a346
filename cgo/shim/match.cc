// A matrix product finds the candidates, direct differences decide.
//
// With c the side's centre, a = |z - c|, q = |P[:n] - c|, S = |P[n:]|^2 and
// T = |z - P[:n]|^2 + S the exact squared distance, a dot product of length
// n + 1 gives v = (q^2 + S) - 2 (z - c).(P[:n] - c), computed with unit
// roundoff u. Standard bounds (Higham, Accuracy and Stability of Numerical
// Algorithms, 2nd ed., section 3.1) for any order of summation, for the
// rounding of z - c and P - c and of the norms, and 2aq <= a^2 + q^2, give
//
//     |v + a^2 - T| <= k1 a^2 + k2 (q^2 + S),
//     k1 = (2n + 16) u, k2 = (4n + 16) u   (twice what is needed).
//
// `lower` holds (q^2 + S)(1 - k2), so T >= v + a^2 - k1 a^2 for every pattern.
// For the pattern with the least v, m, the error is bounded without knowing
// its norm, since q <= a + sqrt(T): T <= m + a^2 + 2 k1 a^2 + 4 k2 a^2 + 5 k2
// g with g = m + a^2. So only patterns with
//
//     v <= m + (2 k1 + 8 k2) a^2 + 8 k2 g
//
// can win; the slack in the factors also covers the rounding of the threshold
// and that of the sums that decide. Every comparison is written so that a NaN
// makes a candidate.
#include "match.h"

#include <ATen/Context.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/amin.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/nonzero.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "match_direct.h"

namespace fdqc {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
// Patterns whose minima are taken together before one of them is looked for.
constexpr int64_t kGroup = 16;
// Groups with a candidate up to which float32 is thought to have told enough.
constexpr int64_t kFewGroups = 4;
// Above this, norms are near the end of float32's range: such a pattern is
// infinitely far in float32, and a row that is itself beyond kFar, or whose
// best is, is matched in float64.
constexpr double kHuge = 1e37, kFar = 1e35;
// More than all products of a row can lose by underflow, also when the
// hardware flushes denormals: (4n + 16) 2^-126.
constexpr double kUnderflow = 1e-34;
// Rows of a side that are in hand at once in float64.
constexpr int64_t kPrepareFloats = int64_t{1} << 22;
// Rows of one product on the CPU: against a thousand patterns it stays in a
// core's cache.
constexpr int64_t kProductRows = 256;

// The unit roundoff of a float32 matrix product. A program around the
// operator may have allowed TF32 or bfloat16 for them.
double product_roundoff() {
  const bool exact = at::globalContext().float32MatmulPrecision() ==
                         at::Float32MatmulPrecision::HIGHEST &&
                     !at::globalContext().allowTF32CuBLAS();
  return exact ? std::ldexp(1.0, -24) : std::ldexp(1.0, -7);
}

double k1(int64_t n, double u) { return static_cast<double>(2 * n + 16) * u; }
double k2(int64_t n, double u) { return static_cast<double>(4 * n + 16) * u; }

// The part of a row's threshold that does not depend on the patterns.
struct RowBound {
  at::Tensor norm;  // [rows] float64: a^2
  at::Tensor wide;  // [rows] float64
  double slope;     // of g
  double far;       // g and a^2 above it: no statement

  RowBound of(int64_t from, int64_t rows) const {
    return {norm.narrow(0, from, rows), wide.narrow(0, from, rows), slope,
            far};
  }
};

RowBound row_bound(const at::Tensor& centred, int64_t n, double u, double far,
                   double underflow) {
  RowBound bound;
  bound.norm = centred.to(at::kDouble).square().sum(1);
  bound.wide = bound.norm.mul(2 * k1(n, u) + 8 * k2(n, u) + 16 * u)
                   .add_(underflow)
                   .masked_fill_(bound.norm.gt(far), kInf);
  bound.slope = 8 * k2(n, u) + 16 * u;
  bound.far = far;
  return bound;
}

// least: [rows] the least lower bound among some patterns; the answer is in
// its dtype.
at::Tensor threshold(const RowBound& bound, const at::Tensor& least) {
  const at::Tensor m = least.to(at::kDouble);
  const at::Tensor g = m.add(bound.norm).clamp_min_(0);
  return m.add(bound.wide)
      .add_(g, bound.slope)
      .masked_fill_(g.gt(bound.far), kInf)
      .to(least.scalar_type());
}

at::Tensor candidates(const at::Tensor& lower, const at::Tensor& threshold) {
  return lower.gt(threshold).logical_not_();
}

// Rows that float32 could not settle against patterns [first, last): the same
// with float64, a few rows at a time.
void match_wide(const PreparedSide& side, const at::Tensor& z,
                const at::Tensor& rows, int64_t first, int64_t last,
                int64_t room, Best& best) {
  const double u = std::ldexp(1.0, -53);
  const int64_t n = side.n;
  const at::Tensor heads = side.rows.slice(0, first, last)
                               .narrow(1, 0, n)
                               .to(at::kDouble)
                               .sub_(side.centre);
  const at::Tensor norms = heads.square()
                               .sum(1)
                               .add_(side.tail.slice(0, first, last))
                               .mul_(1 - k2(n, u))
                               .unsqueeze(1);
  const int64_t at_once = std::max<int64_t>(
      1, room / 2 / std::max<int64_t>(1, last - first));
  for (int64_t begin = 0; begin < rows.size(0); begin += at_once) {
    const at::Tensor some =
        rows.slice(0, begin, std::min(begin + at_once, rows.size(0)));
    const at::Tensor centred =
        z.index_select(0, some).to(at::kDouble).sub_(side.centre);
    const at::Tensor lower = at::addmm(norms, heads, centred.t(), 1, -2);
    const RowBound bound = row_bound(centred, n, u, kInf, 0);
    const at::Tensor found = at::nonzero(
        candidates(lower, threshold(bound, at::amin(lower, {0}))));
    resolve(side, z, found.select(1, 0).add(first),
            some.index_select(0, found.select(1, 1)), room, best);
  }
}

// One product: patterns [first, first + lower.size(0)) against the rows
// [row, row + lower.size(1)) of z.
struct Product {
  at::Tensor lower;   // [patterns, rows] float32, patterns padded
  at::Tensor groups;  // [patterns / kGroup, rows]: their minima
  at::Tensor limit;   // [rows]: what is above cannot win
  int64_t first, row;
};

// Decides a product.
void settle(const PreparedSide& side, const at::Tensor& z, const Product& of,
            int64_t room, Best& best) {
  const int64_t rows = of.limit.size(0);
  at::Tensor marked = candidates(of.groups, of.limit);
  const at::Tensor many = marked.sum(0).gt(kFewGroups);
  if (many.any().item<bool>()) {
    match_wide(side, z, at::nonzero(many).flatten().add_(of.row), of.first,
               std::min(of.first + of.lower.size(0), side.count), room, best);
    marked.logical_and_(many.logical_not());
  }
  const at::Tensor found = at::nonzero(marked);
  const at::Tensor group = found.select(1, 0), row = found.select(1, 1);
  const at::Tensor inside = at::arange(kGroup, group.options());
  const at::Tensor pattern = group.mul(kGroup).unsqueeze(1).add(inside);
  const at::Tensor values = of.lower.flatten().index_select(
      0, pattern.mul(rows).add_(row.unsqueeze(1)).flatten());
  at::Tensor wanted = candidates(values.view({-1, kGroup}),
                                 of.limit.index_select(0, row).unsqueeze(1));
  // What fills the last group is no pattern.
  wanted.logical_and_(pattern.lt(side.count - of.first));
  const at::Tensor pairs = at::nonzero(wanted.flatten()).flatten();
  resolve(side, z, pattern.flatten().index_select(0, pairs).add_(of.first),
          row.index_select(0, pairs.div(kGroup, "floor")).add_(of.row), room,
          best);
}

}  // namespace

PreparedSide prepare(const at::Tensor& rows, int64_t n) {
  PreparedSide side;
  side.count = rows.size(0);
  side.n = n;
  side.rows = rows;
  const auto options = rows.options();
  const int64_t padded = padded_patterns(side.count);
  side.tail = at::empty({side.count}, options.dtype(at::kDouble));
  side.lower = at::zeros({padded, n + 1}, options);
  side.lower.select(1, n).fill_(kInf);
  if (side.count == 0) {
    side.centre = at::zeros({n}, options.dtype(at::kDouble));
    return side;
  }
  // The median of about a thousand patterns: an outlier does not move it.
  const int64_t stride = std::max<int64_t>(1, side.count / 1024);
  side.centre = std::get<0>(rows.slice(0, 0, side.count, stride)
                                .narrow(1, 0, n)
                                .median(0))
                    .to(at::kDouble);
  const double shrink = 1 - k2(n, product_roundoff());
  const int64_t step = std::max<int64_t>(1, kPrepareFloats / n);
  const int64_t steps = (side.count + step - 1) / step;
  for_tiles(rows.device(), steps, [&](int64_t i) {
    const int64_t from = i * step, to = std::min(from + step, side.count);
    at::Tensor heads = rows.slice(0, from, to)
                           .narrow(1, 0, n)
                           .to(at::kDouble)
                           .sub_(side.centre)
                           .to(at::kFloat);
    const at::Tensor tail = rows.slice(0, from, to)
                                .narrow(1, n, n)
                                .to(at::kDouble)
                                .square_()
                                .sum(1);
    at::Tensor norm = heads.to(at::kDouble).square_().sum(1).add_(tail);
    const at::Tensor huge = norm.lt(kHuge).logical_not_();
    heads.masked_fill_(huge.unsqueeze(1), 0);
    side.lower.slice(0, from, to).narrow(1, 0, n).copy_(heads.mul_(-2));
    side.lower.slice(0, from, to)
        .select(1, n)
        .copy_(norm.mul_(shrink).masked_fill_(huge, kInf));
    side.tail.slice(0, from, to).copy_(tail);
  });
  side.tail_zero = !side.tail.any().item<bool>();
  return side;
}

void prepare_row(const float* row, int64_t n, const double* centre,
                 float* lower, double& tail) {
  double norm = 0;
  tail = 0;
  for (int64_t j = 0; j < n; ++j) {
    const float head = static_cast<float>(static_cast<double>(row[j]) -
                                          centre[j]);
    const double rest = row[n + j];
    lower[j] = head;
    norm += static_cast<double>(head) * head;
    tail += rest * rest;
  }
  norm += tail;
  const bool huge = !(norm < kHuge);
  for (int64_t j = 0; j < n; ++j) lower[j] = huge ? 0 : -2 * lower[j];
  lower[n] = static_cast<float>(
      huge ? kInf : norm * (1 - k2(n, product_roundoff())));
}

int64_t padded_patterns(int64_t count) {
  return (count + kGroup - 1) / kGroup * kGroup;
}

Nearest nearest(const PreparedSide& side, const at::Tensor& from,
                int64_t room) {
  const at::Tensor z = from.contiguous();
  const int64_t rows = z.size(0), n = side.n;
  Best best(rows, z.device());
  if (side.count == 0 || rows == 0) return best.answer();

  // [n + 1, rows]: the rows lie side by side, so that minima over patterns
  // are taken in all lanes of a register.
  at::Tensor columns_of_z = at::empty({n + 1, rows}, z.options());
  const at::Tensor centred =
      z.to(at::kDouble).sub_(side.centre).to(at::kFloat);
  columns_of_z.narrow(0, 0, n).copy_(centred.t());
  columns_of_z.select(0, n).fill_(1);
  const RowBound bound =
      row_bound(centred, n, product_roundoff(), kFar, kUnderflow);

  const int64_t padded = side.lower.size(0);
  const int64_t tile = z.device().is_cpu() ? std::min(rows, kProductRows)
                                           : rows;
  const int64_t step = std::min(
      padded, std::max(kGroup, room / tile / kGroup * kGroup));
  const at::Tensor matrix = at::empty({step * tile}, z.options());
  for (int64_t row = 0; row < rows; row += tile) {
    const int64_t count = std::min(tile, rows - row);
    const at::Tensor of_tile = columns_of_z.narrow(1, row, count);
    const RowBound tile_bound = bound.of(row, count);
    for (int64_t first = 0; first < padded; first += step) {
      const int64_t patterns = std::min(step, padded - first);
      Product product;
      product.first = first;
      product.row = row;
      product.lower =
          matrix.narrow(0, 0, patterns * count).view({patterns, count});
      at::mm_out(product.lower, side.lower.narrow(0, first, patterns),
                 of_tile);
      product.groups =
          at::amin(product.lower.view({-1, kGroup, count}), {1});
      product.limit = threshold(tile_bound, at::amin(product.groups, {0}));
      settle(side, z, product, room, best);
    }
  }
  return best.answer();
}

}  // namespace fdqc
