#include "cpu_detector.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <vector>

#include "pool.h"
#include "side_boxes.h"
#include "side_index.h"

namespace fdqc::cpu {
namespace {

using Doubles = std::vector<double>;

// What the compiler takes at a time.
constexpr int64_t kLanes = 8;
// Rows whose intermediate values stay in the first cache.
constexpr int64_t kTile = 64;
// Columns of medians that are gathered together, a cache line wide.
constexpr int64_t kColumns = 16;
// Rows of nearest that a thread takes at a time.
constexpr int64_t kMatched = 240;

double dot(const double* a, const double* b, int64_t count) {
  double lanes[kLanes] = {}, sum = 0;
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (int64_t l = 0; l < kLanes; ++l) lanes[l] += a[i + l] * b[i + l];
  }
  for (; i < count; ++i) sum += a[i] * b[i];
  for (const double lane : lanes) sum += lane;
  return sum;
}

// Numbers of which one is wanted, as if they were sorted. They are counted by
// where they lie between the least and the largest, without a branch that nobody
// can foresee, and of one bin the one is selected: a fifth of the time.
template <typename T>
class Selection {
 public:
  // values may be reordered.
  T at(T* values, int64_t count, int64_t place) {
    T low[kLanes], high[kLanes];
    std::fill_n(low, kLanes, values[0]);
    std::fill_n(high, kLanes, values[0]);
    int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes) {
      for (int64_t l = 0; l < kLanes; ++l) {
        low[l] = std::min(low[l], values[i + l]);
        high[l] = std::max(high[l], values[i + l]);
      }
    }
    for (; i < count; ++i) {
      low[0] = std::min(low[0], values[i]);
      high[0] = std::max(high[0], values[i]);
    }
    const T least = *std::min_element(low, low + kLanes);
    const T by = (kBins - 1) / (*std::max_element(high, high + kLanes) - least);
    // They are all the same, or too far apart.
    if (!(by > 0 && by < std::numeric_limits<T>::infinity())) {
      std::nth_element(values, values + place, values + count);
      return values[place];
    }
    bins_.resize(count);
    for (i = 0; i < count; ++i) {
      bins_[i] = static_cast<int32_t>((values[i] - least) * by);
    }
    int32_t counts[kBins + 1] = {};
    for (const int32_t bin : bins_) ++counts[bin];
    int32_t bin = 0;
    for (; place >= counts[bin]; ++bin) place -= counts[bin];
    of_bin_.clear();
    for (i = 0; i < count; ++i) {
      if (bins_[i] == bin) of_bin_.push_back(values[i]);
    }
    std::nth_element(of_bin_.begin(), of_bin_.begin() + place, of_bin_.end());
    return of_bin_[place];
  }

 private:
  static constexpr int32_t kBins = 256;

  std::vector<int32_t> bins_;
  std::vector<T> of_bin_;
};

double total(const double* a, int64_t count) {
  double lanes[kLanes] = {}, sum = 0;
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (int64_t l = 0; l < kLanes; ++l) lanes[l] += a[i + l];
  }
  for (; i < count; ++i) sum += a[i];
  for (const double lane : lanes) sum += lane;
  return sum;
}

// The inverse of the lower Cholesky factor of a, [n, n], of which the lower
// half is read.
Doubles inverse_factor(const Doubles& a, int64_t n) {
  Doubles lower(n * n), inverse(n * n);
  for (int64_t i = 0; i < n; ++i) {
    double* const row = &lower[i * n];
    for (int64_t j = 0; j <= i; ++j) {
      const double rest = a[i * n + j] - dot(row, &lower[j * n], j);
      row[j] = i == j ? std::sqrt(rest) : rest / lower[j * n + j];
    }
    if (!(row[i] > 0)) {
      throw std::runtime_error("fit: the covariance is not positive definite");
    }
    for (int64_t j = 0; j <= i; ++j) {
      double rest = i == j ? 1 : 0;
      for (int64_t k = j; k < i; ++k) rest -= row[k] * inverse[k * n + j];
      inverse[i * n + j] = rest / row[i];
    }
  }
  return inverse;
}

// ||factor row||^2 of rows by column, [n, count].
void squares(const double* columns, int64_t n, int64_t count,
             const double* factor, double* out) {
  for (int64_t first = 0; first < count; first += kTile) {
    const int64_t some = std::min(kTile, count - first);
    double sum[kTile] = {};
    for (int64_t j = 0; j < n; ++j) {
      double value[kTile] = {};
      for (int64_t k = 0; k <= j; ++k) {
        const double by = factor[j * n + k];
        const double* const from = columns + k * count + first;
        for (int64_t i = 0; i < some; ++i) value[i] += by * from[i];
      }
      for (int64_t i = 0; i < some; ++i) sum[i] += value[i] * value[i];
    }
    std::copy_n(sum, some, out + first);
  }
}

// Those of rows that are listed, by column, about a location: [n, count].
Doubles columns_of(const std::vector<int64_t>& list, const float* rows,
                   int64_t n) {
  const int64_t count = static_cast<int64_t>(list.size());
  Doubles out(n * count);
  for (int64_t i = 0; i < count; ++i) {
    const float* const row = rows + list[i] * n;
    for (int64_t j = 0; j < n; ++j) out[j * count + i] = row[j];
  }
  return out;
}

void centre(Doubles& columns, int64_t count, const double* location) {
  for (int64_t i = 0; i < static_cast<int64_t>(columns.size()); i += count) {
    const double at = location[i / count];
    for (int64_t k = i; k < i + count; ++k) columns[k] -= at;
  }
}

}  // namespace

void medians(int64_t n, int64_t count, const float* rows, double* out) {
  const int64_t middle = (count - 1) / 2;
  const auto some = [&](int64_t group) {
    const int64_t first = group * kColumns;
    const int64_t wide = std::min(kColumns, n - first);
    std::vector<float> columns(wide * count);
    Selection<float> selection;
    for (int64_t i = 0; i < count; ++i) {
      const float* const row = rows + i * n + first;
      for (int64_t j = 0; j < wide; ++j) columns[j * count + i] = row[j];
    }
    for (int64_t j = 0; j < wide; ++j) {
      out[first + j] = selection.at(&columns[j * count], count, middle);
    }
  };
  Pool::instance().run((n + kColumns - 1) / kColumns, some);
}

Spread fit(int64_t n, int64_t count, const float* rows, double* location,
           double* factor, double* left) {
  Doubles center(n), far(count);
  medians(n, count, rows, center.data());
  for (int64_t i = 0; i < count; ++i) {
    double sum = 0;
    for (int64_t j = 0; j < n; ++j) {
      const double off = rows[i * n + j] - center[j];
      sum += off * off;
    }
    far[i] = sum;
  }
  Doubles order = far;
  const int64_t least = std::max<int64_t>(2, (3 * count + 3) / 4);
  const double limit =
      Selection<double>().at(order.data(), count, least - 1);
  std::vector<int64_t> kept, rest;
  for (int64_t i = 0; i < count; ++i) {
    (far[i] <= limit ? kept : rest).push_back(i);
  }
  const int64_t near_count = static_cast<int64_t>(kept.size());
  const double h = static_cast<double>(near_count);
  const double p = static_cast<double>(n);
  Doubles near = columns_of(kept, rows, n);
  for (int64_t j = 0; j < n; ++j) {
    location[j] = total(&near[j * near_count], near_count) / h;
  }
  centre(near, near_count, location);
  Doubles sample(n * n);
  double trace = 0, square = 0;
  for (int64_t j = 0; j < n; ++j) {
    for (int64_t k = 0; k <= j; ++k) {
      const double s =
          dot(&near[j * near_count], &near[k * near_count], near_count) / h;
      sample[j * n + k] = s;
      square += (j == k ? 1 : 2) * s * s;
    }
    trace += sample[j * n + j];
  }
  const double mean = trace > 0 ? trace / p : 1;
  const double below = (h + 1 - 2 / p) * (square - trace * trace / p);
  const double rho =
      below > 0 ? std::min(
                      1.0, ((1 - 2 / p) * square + trace * trace) / below)
                : 1;
  const auto shrunk = [&](double by) {
    Doubles out(n * n);
    for (int64_t j = 0; j < n; ++j) {
      for (int64_t k = 0; k <= j; ++k) {
        out[j * n + k] = sample[j * n + k] * ((1 - rho) * by);
      }
      out[j * n + j] += rho * mean;
    }
    return out;
  };
  const Doubles covariance = shrunk(1);
  const Doubles inverse = inverse_factor(covariance, n);
  std::copy(inverse.begin(), inverse.end(), factor);
  double squared = 0;
  for (int64_t j = 0; j < n; ++j) {
    for (int64_t k = 0; k <= j; ++k) {
      const double c = covariance[j * n + k];
      squared += (j == k ? 1 : 2) * c * c;
    }
  }
  const double more = h / (h - 1), g = (1 - rho) * more / (h - 1);
  const Doubles without = inverse_factor(shrunk(more), n);
  squares(near.data(), n, near_count, without.data(), order.data());
  for (int64_t i = 0; i < near_count; ++i) {
    const double q = order[i];
    left[kept[i]] =
        std::sqrt(q * (more * more) / std::max(0.0, 1 - g * q));
  }
  Doubles outside = columns_of(rest, rows, n);
  centre(outside, static_cast<int64_t>(rest.size()), location);
  squares(outside.data(), n, static_cast<int64_t>(rest.size()), factor,
          order.data());
  for (size_t i = 0; i < rest.size(); ++i) left[rest[i]] = std::sqrt(order[i]);
  return {trace, squared};
}

void distances(int64_t n, const double* location, const double* factor,
               int64_t count, const float* rows, double* out) {
  Doubles off(n);
  for (int64_t i = 0; i < count; ++i, rows += n) {
    for (int64_t j = 0; j < n; ++j) off[j] = rows[j] - location[j];
    double sum = 0;
    for (int64_t j = 0; j < n; ++j) {
      const double value = dot(factor + j * n, off.data(), j + 1);
      sum += value * value;
    }
    out[i] = std::sqrt(sum);
  }
}

void nearest(int64_t n, int64_t count, const float* rows, int64_t other_count,
             const float* others, double* out) {
  std::fill_n(out, count, std::numeric_limits<double>::infinity());
  const SideIndex none(n);
  std::vector<float> wide;
  // More at once are not ordered, and compared with one by one.
  for (int64_t first = 0; first < other_count; first += SideBoxes::kMost) {
    const int64_t some = std::min(SideBoxes::kMost, other_count - first);
    wide.assign(some * 2 * n, 0);
    for (int64_t i = 0; i < some; ++i) {
      std::copy_n(others + (first + i) * n, n, &wide[i * 2 * n]);
    }
    SideIndex side(n);
    side.assign(wide.data(), some);
    side.refresh();
    Pool::instance().run((count + kMatched - 1) / kMatched, [&](int64_t tile) {
      static thread_local MatchScratch scratch;  // a megabyte
      const int64_t from = tile * kMatched;
      const int64_t matched = std::min(kMatched, count - from);
      Found found[kMatched], nothing[kMatched];
      fdqc::nearest(side, none, rows + from * n, matched, found, nothing,
                    scratch);
      for (int64_t i = 0; i < matched; ++i) {
        out[from + i] = std::min(out[from + i], std::sqrt(found[i].squared));
      }
    });
  }
}

}  // namespace fdqc::cpu
