// The arithmetic over many rows of the detector of poisoned outcomes, in
// float64: a robust, shrunk fit of a side, the distance of each of its rows
// from the fit without it, the nearest other rows; and distances of new rows.
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/kthvalue.h>
#include <ATen/ops/linalg_cholesky_ex.h>
#include <ATen/ops/linalg_solve_triangular.h>
#include <ATen/ops/median.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "api.h"
#include "cpu_detector.h"
#include "device.h"
#include "host.h"
#include "status.h"

namespace fdqc {
namespace {

constexpr int64_t kMostRows = 65536;
// Rows at once: of distances from a fit, and of distances between rows.
constexpr int64_t kTileRows = 4096, kPairRows = 256;
// Columns at once of a matrix of which the lower half is wanted.
constexpr int64_t kPart = 96;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Runs a body on a place, which may be the host.
template <typename Body>
void at_place(const Place& place, Body&& body) {
  if (place.host()) return body();
  on_device(place, body);
}

at::Tensor doubles_in(const float* from, int64_t count, int64_t n,
                      const Place& place) {
  device_step(count);
  return copy_in(from, {count, n}, place.at).to(at::kDouble);
}

// Host memory itself on the host.
at::Tensor doubles_in(const double* from, at::IntArrayRef shape,
                      const Place& place) {
  return at::from_blob(const_cast<double*>(from), shape, at::kDouble)
      .to(place.at);
}

void doubles_out(const at::Tensor& from, double* to) {
  const at::Tensor host = from.to(at::kCPU).contiguous();
  std::copy_n(host.const_data_ptr<double>(), host.numel(), to);
}

// The lower Cholesky factor of a covariance, [n, n].
at::Tensor lower_factor(const at::Tensor& covariance) {
  const auto [lower, info] = at::linalg_cholesky_ex(covariance);
  if (info.item<int>() != 0) {
    throw std::runtime_error("fit: the covariance is not positive definite");
  }
  return lower;
}

// ||factor row||^2 for each of centred rows, [count]; the factor is lower.
at::Tensor squares(const at::Tensor& centred, const at::Tensor& factor) {
  const int64_t n = factor.size(0);
  at::Tensor sum = at::zeros({centred.size(0)}, centred.options());
  for (int64_t first = 0; first < n; first += kPart) {
    const int64_t some = std::min(kPart, n - first), end = first + some;
    const at::Tensor part =
        factor.narrow(0, first, some).narrow(1, 0, end).t();
    sum += centred.narrow(1, 0, end).mm(part).square_().sum(1);
  }
  return sum;
}

// rows' rows, [n, n].
at::Tensor gram(const at::Tensor& rows) {
  const int64_t n = rows.size(1);
  at::Tensor out = at::empty({n, n}, rows.options());
  for (int64_t first = 0; first < n; first += kPart) {
    const int64_t some = std::min(kPart, n - first), end = first + some;
    const at::Tensor part = rows.narrow(1, first, some)
                                .t()
                                .mm(rows.narrow(1, 0, end));
    out.narrow(0, first, some).narrow(1, 0, end).copy_(part);
    out.narrow(1, first, some).narrow(0, 0, end).copy_(part.t());
  }
  return out;
}

struct Fit {
  at::Tensor location;  // [n]
  at::Tensor factor;    // [n, n]
  at::Tensor left;      // [count]
  double trace, trace_square;
};

// Of rows, about the median of each column, [n].
//
// Location and covariance are those of the three quarters of the rows that lie
// nearest to the median of each column (as many as Rousseeuw and Van Driessen,
// "A fast algorithm for the minimum covariance determinant estimator", 1999,
// recommend), so that a quarter of bad rows far away moves neither. The
// covariance S is shrunk towards its mean variance F by OAS: Chen, Wiesel,
// Eldar, Hero, "Shrinkage algorithms for MMSE covariance estimation", 2010,
// equation 23.
//
// A row that is not among them did not take part, so its distance is that of
// any row. For one of h that did, d = x - location, leaving it out gives
//   location' = location - d / (h-1),
//   S' = h/(h-1) S - h/(h-1)^2 d d',
// so that with the shrinkage kept the covariance is B - g d d' with
//   B = (1-rho) h/(h-1) S + rho F I,   g = (1-rho) h/(h-1)^2,
// and by Sherman and Morrison its squared distance is
//   (h/(h-1))^2 q / (1 - g q),   q = d' B^-1 d.
Fit fit(const at::Tensor& rows, const at::Tensor& center) {
  const int64_t count = rows.size(0), n = rows.size(1);
  const at::Tensor far = (rows - center).square_().sum(1);
  const int64_t least = std::max<int64_t>(2, (3 * count + 3) / 4);
  const at::Tensor is_kept = far <= std::get<0>(at::kthvalue(far, least));
  const at::Tensor kept = is_kept.nonzero().squeeze(1);
  const at::Tensor rest = is_kept.logical_not().nonzero().squeeze(1);
  const double h = static_cast<double>(kept.size(0));
  const double p = static_cast<double>(n);
  at::Tensor near = rows.index_select(0, kept);
  const at::Tensor location = near.mean(0);
  near.sub_(location);
  const at::Tensor sample = gram(near).div_(h);
  const double trace = sample.trace().item<double>();
  const double square = sample.square().sum().item<double>();
  // The fit of rows that are all the same measures plain distance.
  const double mean = trace > 0 ? trace / p : 1;
  const double below = (h + 1 - 2 / p) * (square - trace * trace / p);
  const double rho =
      below > 0 ? std::min(
                      1.0, ((1 - 2 / p) * square + trace * trace) / below)
                : 1;
  const at::Tensor target = at::eye(n, rows.options()) * (rho * mean);
  const at::Tensor covariance = sample * (1 - rho) + target;
  const at::Tensor factor = at::linalg_solve_triangular(
      lower_factor(covariance), at::eye(n, rows.options()), /*upper=*/false);
  const double more = h / (h - 1), g = (1 - rho) * more / (h - 1);
  const at::Tensor without =
      lower_factor(sample * ((1 - rho) * more) + target);
  const at::Tensor q =
      at::linalg_solve_triangular(without, near.t(), /*upper=*/false)
          .square_()
          .sum(0);
  at::Tensor left = at::empty({count}, rows.options());
  // 1 - g q is positive but for rounding.
  left.index_copy_(0, kept, q * (more * more) / (1 - g * q).clamp_min(0));
  left.index_copy_(
      0, rest, squares(rows.index_select(0, rest) - location, factor));
  return {location, factor, left.sqrt(), trace,
          covariance.square().sum().item<double>()};
}

// The lower median of each column of rows, which `from` has as well, [n].
at::Tensor medians(const at::Tensor& rows, const float* from,
                   const Place& place) {
  if (!place.host()) return std::get<0>(at::median(rows, 0));
  at::Tensor out = at::empty({rows.size(1)}, rows.options());
  cpu::medians(rows.size(1), rows.size(0), from,
               out.mutable_data_ptr<double>());
  return out;
}

// The distance of each of the first `queries` rows to the nearest of others,
// itself excepted where `self`; infinite where there is none. Candidates are
// found by |a|^2 + |b|^2 - 2ab, the answer is a direct difference.
at::Tensor nearest(const at::Tensor& rows, int64_t queries,
                   const at::Tensor& others, bool self) {
  const at::Tensor out = at::empty({queries}, rows.options());
  if (others.size(0) <= (self ? 1 : 0)) return out.fill_(kInfinity);
  const at::Tensor norms = others.square().sum(1);
  for (int64_t first = 0; first < queries; first += kPairRows) {
    const int64_t count = std::min(kPairRows, queries - first);
    const at::Tensor some = rows.narrow(0, first, count);
    at::Tensor far = some.mm(others.t()).mul_(-2).add_(norms);
    if (self) far.narrow(1, first, count).diagonal().fill_(kInfinity);
    const at::Tensor index = far.argmin(1);
    out.narrow(0, first, count)
        .copy_((some - others.index_select(0, index)).square().sum(1).sqrt());
  }
  return out;
}

}  // namespace

namespace api {

fdqc_status* detector_fit(int32_t device, int32_t n, int64_t count,
                          const float* rows, int64_t other_count,
                          const float* others, double* location,
                          double* factor, double* left, int64_t queries,
                          double* same, double* other,
                          double* moments) noexcept {
  return guard([&] {
    require_workspace(n);
    require(count >= 2 && count <= kMostRows, "fit: ", count,
            " rows, expected 2 to ", kMostRows);
    require(other_count >= 0 && other_count <= kMostRows, "fit: ", other_count,
            " other rows, expected 0 to ", kMostRows);
    require(queries >= 0 && queries <= count, "fit: nearest rows of ", queries,
            " of ", count);
    require(rows != nullptr, "fit: rows is NULL");
    require(others != nullptr || other_count == 0, "fit: others is NULL");
    require(location != nullptr && factor != nullptr && left != nullptr &&
                moments != nullptr,
            "fit: an output is NULL");
    require((same != nullptr && other != nullptr) || queries == 0,
            "fit: same or other is NULL");
    const Place place = place_of(device);
    if (place.host() && n <= cpu::kNarrow && queries == 0) {
      const auto [trace, square] =
          cpu::fit(n, count, rows, location, factor, left);
      moments[0] = trace;
      moments[1] = square;
      return;
    }
    at_place(place, [&] {
      const at::Tensor all = doubles_in(rows, count, n, place);
      const Fit fitted = fit(all, medians(all, rows, place));
      if (queries > 0) {
        // About the location, so that no large mean takes part in products.
        const at::Tensor near = all - fitted.location;
        doubles_out(nearest(near, queries, near, true), same);
        const at::Tensor against =
            other_count > 0
                ? doubles_in(others, other_count, n, place) - fitted.location
                : at::empty({0, n}, all.options());
        doubles_out(nearest(near, queries, against, false), other);
      }
      doubles_out(fitted.left, left);
      doubles_out(fitted.location, location);
      doubles_out(fitted.factor, factor);
      moments[0] = fitted.trace;
      moments[1] = fitted.trace_square;
    });
  });
}

fdqc_status* detector_distances(int32_t device, int32_t n,
                                const double* location, const double* factor,
                                int64_t count, const float* rows,
                                double* out) noexcept {
  return guard([&] {
    require_workspace(n);
    require(count >= 1 && count <= kMostRows, "distances: ", count,
            " rows, expected 1 to ", kMostRows);
    require(location != nullptr && factor != nullptr,
            "distances: location or factor is NULL");
    require(rows != nullptr, "distances: rows is NULL");
    require(out != nullptr, "distances: out is NULL");
    const Place place = place_of(device);
    if (place.host() && (n <= cpu::kNarrow || count <= cpu::kFewRows)) {
      return cpu::distances(n, location, factor, count, rows, out);
    }
    at_place(place, [&] {
      const at::Tensor center = doubles_in(location, {n}, place);
      const at::Tensor inverse = doubles_in(factor, {n, n}, place);
      for (int64_t first = 0; first < count; first += kTileRows) {
        const int64_t some = std::min(kTileRows, count - first);
        const at::Tensor centred =
            doubles_in(rows + first * n, some, n, place) - center;
        doubles_out(squares(centred, inverse).sqrt(), out + first);
      }
    });
  });
}

fdqc_status* detector_nearest(int32_t device, int32_t n, int64_t count,
                              const float* rows, int64_t other_count,
                              const float* others, double* out) noexcept {
  return guard([&] {
    require_workspace(n);
    require(count >= 1 && count <= kMostRows, "nearest: ", count,
            " rows, expected 1 to ", kMostRows);
    require(other_count >= 0 && other_count <= kMostRows, "nearest: ",
            other_count, " other rows, expected 0 to ", kMostRows);
    require(rows != nullptr, "nearest: rows is NULL");
    require(others != nullptr || other_count == 0, "nearest: others is NULL");
    require(out != nullptr, "nearest: out is NULL");
    const Place place = place_of(device);
    if (place.host()) {
      return cpu::nearest(n, count, rows, other_count, others, out);
    }
    at_place(place, [&] {
      const at::Tensor all = doubles_in(rows, count, n, place);
      const at::Tensor against = doubles_in(others, other_count, n, place);
      // About one of them, so that no large mean takes part in products.
      const at::Tensor center = all.narrow(0, 0, 1).clone();
      all.sub_(center);
      against.sub_(center);
      doubles_out(nearest(all, count, against, false), out);
    });
  });
}

}  // namespace api
}  // namespace fdqc
