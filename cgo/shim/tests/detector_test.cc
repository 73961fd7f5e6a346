// The detector's arithmetic against the same written down plainly, each row
// left out by fitting without it.
#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "device.h"
#include "pretended.h"
#include "table.h"

namespace {

using Floats = std::vector<float>;
using Doubles = std::vector<double>;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct Fit {
  Fit(int64_t n, int64_t count, int64_t queries)
      : location(n), factor(n * n), left(count), same(queries), other(queries), moments(2) {}
  Doubles location, factor, left, same, other, moments;
};

Fit fit(int32_t device, int32_t n, const Floats& rows, const Floats& others, int64_t queries) {
  const int64_t count = static_cast<int64_t>(rows.size()) / n;
  Fit out(n, count, queries);
  EXPECT_OK(table().detector_fit(device, n, count, rows.data(), static_cast<int64_t>(others.size()) / n, others.data(),
                                 out.location.data(), out.factor.data(), out.left.data(), queries, out.same.data(),
                                 out.other.data(), out.moments.data()));
  return out;
}

Doubles distances(int32_t device, int32_t n, const Fit& of, const Floats& rows) {
  Doubles out(rows.size() / n);
  EXPECT_OK(table().detector_distances(device, n, of.location.data(), of.factor.data(), static_cast<int64_t>(out.size()),
                                       rows.data(), out.data()));
  return out;
}

Floats drawn(uint32_t seed, int64_t count, int64_t n, float spread = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, spread);
  Floats out(count * n);
  for (int64_t i = 0; i < count * n; ++i) {
    // Columns that lean on the first one, about a mean of their own.
    const int64_t column = i % n;
    out[i] = normal(random) / (1 + column) + (column > 0 ? 0.5f * out[i - column] : 0) + 3 * column;
  }
  return out;
}

double between(const float* a, const float* b, int64_t n) {
  double sum = 0;
  for (int64_t j = 0; j < n; ++j) sum += (double(a[j]) - b[j]) * (double(a[j]) - b[j]);
  return std::sqrt(sum);
}

// Mean and covariance (divided by the count) of some rows.
void moments(const std::vector<const float*>& rows, int64_t n, Doubles& mean, Doubles& s) {
  const double count = static_cast<double>(rows.size());
  mean.assign(n, 0);
  s.assign(n * n, 0);
  for (const float* r : rows) {
    for (int64_t j = 0; j < n; ++j) mean[j] += r[j] / count;
  }
  for (const float* r : rows) {
    for (int64_t j = 0; j < n; ++j) {
      for (int64_t k = 0; k < n; ++k) s[j * n + k] += (r[j] - mean[j]) * (r[k] - mean[k]) / count;
    }
  }
}

// sqrt(d' a^-1 d) by Gauss and Jordan.
double mahalanobis(Doubles a, Doubles d, int64_t n) {
  const Doubles right = d;
  for (int64_t c = 0; c < n; ++c) {
    for (int64_t r = 0; r < n; ++r) {
      if (r == c) continue;
      const double by = a[r * n + c] / a[c * n + c];
      for (int64_t k = 0; k < n; ++k) a[r * n + k] -= by * a[c * n + k];
      d[r] -= by * d[c];
    }
  }
  double sum = 0;
  for (int64_t j = 0; j < n; ++j) sum += right[j] * d[j] / a[j * n + j];
  return std::sqrt(sum);
}

TEST(Detector, FitsWithoutTheFarQuarterAndLeavesRowsOut) {
  constexpr int32_t n = 4;
  constexpr int64_t count = 41;
  Floats rows = drawn(1, count, n);
  for (int64_t i = 0; i < 8; ++i) rows[i * 5 * n] += 40;  // bad ones
  const Floats others = drawn(2, 30, n);
  const Fit got = fit(FDQC_DEVICE_CPU, n, rows, others, count);

  Doubles center(n);
  for (int64_t j = 0; j < n; ++j) {
    Floats column;
    for (int64_t i = 0; i < count; ++i) column.push_back(rows[i * n + j]);
    std::sort(column.begin(), column.end());
    center[j] = column[(count - 1) / 2];
  }
  Doubles far(count);
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t j = 0; j < n; ++j) far[i] += (rows[i * n + j] - center[j]) * (rows[i * n + j] - center[j]);
  }
  Doubles sorted = far;
  std::sort(sorted.begin(), sorted.end());
  const double limit = sorted[30];  // the 31st is three quarters of 41
  std::vector<const float*> kept;
  for (int64_t i = 0; i < count; ++i) {
    if (far[i] <= limit) kept.push_back(&rows[i * n]);
  }
  ASSERT_EQ(kept.size(), 31u);
  Doubles mean, s;
  moments(kept, n, mean, s);
  double trace = 0, square = 0;
  for (int64_t j = 0; j < n; ++j) trace += s[j * n + j];
  for (const double v : s) square += v * v;
  const double h = 31, p = n;
  const double rho = ((1 - 2 / p) * square + trace * trace) / ((h + 1 - 2 / p) * (square - trace * trace / p));
  ASSERT_GT(rho, 0.001);
  ASSERT_LT(rho, 1);
  const auto shrunk = [&](Doubles of) {
    for (double& v : of) v *= 1 - rho;
    for (int64_t j = 0; j < n; ++j) of[j * n + j] += rho * trace / p;
    return of;
  };
  const auto distance = [&](const Doubles& of, const Doubles& from, const float* row) {
    Doubles d(n);
    for (int64_t j = 0; j < n; ++j) d[j] = row[j] - from[j];
    return mahalanobis(shrunk(of), d, n);
  };
  for (int64_t j = 0; j < n; ++j) EXPECT_NEAR(got.location[j], mean[j], 1e-12);
  EXPECT_NEAR(got.moments[0], trace, 1e-9);
  double shrunk_square = 0;
  for (const double v : shrunk(s)) shrunk_square += v * v;
  EXPECT_NEAR(got.moments[1], shrunk_square, 1e-9);
  for (int64_t i = 0; i < count; ++i) {
    const float* const row = &rows[i * n];
    double want = distance(s, mean, row);
    if (far[i] <= limit) {
      std::vector<const float*> rest;
      for (const float* r : kept) {
        if (r != row) rest.push_back(r);
      }
      Doubles m, without;
      moments(rest, n, m, without);
      want = distance(without, m, row);
    }
    EXPECT_NEAR(got.left[i], want, 1e-9 * want) << "row " << i;
    double same = kInfinity, other = kInfinity;
    for (int64_t k = 0; k < count; ++k) {
      if (k != i) same = std::min(same, between(row, &rows[k * n], n));
    }
    for (int64_t k = 0; k < 30; ++k) other = std::min(other, between(row, &others[k * n], n));
    EXPECT_NEAR(got.same[i], same, 1e-12) << "row " << i;
    EXPECT_NEAR(got.other[i], other, 1e-12) << "row " << i;
  }
  const Floats fresh = drawn(3, 5000, n);  // more than a tile
  const Doubles far_off = distances(FDQC_DEVICE_CPU, n, got, fresh);
  for (const int64_t i : {0, 1, 4095, 4096, 4999}) {
    const double want = distance(s, mean, &fresh[i * n]);
    EXPECT_NEAR(far_off[i], want, 1e-9 * want) << "row " << i;
  }
}

TEST(Detector, FitsWhatHasNoSpread) {
  const Floats one(20 * 3, 2.5f);
  const Fit got = fit(FDQC_DEVICE_CPU, 3, one, {}, 20);
  for (const double left : got.left) EXPECT_EQ(left, 0);
  for (const double same : got.same) EXPECT_EQ(same, 0);
  for (const double other : got.other) EXPECT_EQ(other, kInfinity);
  const Doubles off = distances(FDQC_DEVICE_CPU, 3, got, {2.5f, 2.5f, 2.5f, 2.5f, 5.5f, 6.5f});
  EXPECT_EQ(off[0], 0);
  EXPECT_NEAR(off[1], 5, 1e-12);
  // Two rows, of which each is left out, and numbers as large and small as any.
  for (const float scale : {1e-38f, 1.0f, 3e38f}) {
    const Fit two = fit(FDQC_DEVICE_CPU, 2, {scale, 0, -scale, scale}, {}, 2);
    for (const double v : two.left) EXPECT_TRUE(v >= 0) << v;
    for (const double v : two.factor) EXPECT_TRUE(std::isfinite(v)) << v;
  }
  // As many columns as the ABI takes, more than rows.
  const Floats wide = drawn(4, 30, 1024);
  for (const double v : fit(FDQC_DEVICE_CPU, 1024, wide, {}, 0).left) EXPECT_TRUE(std::isfinite(v)) << v;
}

void expect_near(const Doubles& got, const Doubles& want, double part, const char* what) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) {
    EXPECT_NEAR(got[i], want[i], part * std::max(1.0, std::abs(want[i]))) << what << " " << i;
  }
}

// Loops on the CPU, where they take the place of LibTorch's operators, and these
// on a device.
TEST(Detector, AnswersTheSameOnADevice) {
  fdqc::Pretended device;
  for (const int32_t n : {2, 8, 32, 33, 130}) {
    for (const int64_t count : {2, 37, 700}) {
      Floats rows = drawn(5 + n, count, n);
      const Floats others = drawn(6 + n, 600, n);
      // Columns of one value, of two, and of one far from all others.
      for (int64_t i = 0; i < count; ++i) {
        rows[i * n] = 7;
        if (n > 2) rows[i * n + 1] = static_cast<float>(i % 2);
      }
      if (n > 2) rows[2] = 3e30f;
      for (const int64_t queries : {int64_t{0}, count / 2}) {
        const Fit want = fit(FDQC_DEVICE_CPU, n, rows, others, queries), got = fit(0, n, rows, others, queries);
        expect_near(got.location, want.location, 1e-12, "location");
        expect_near(got.factor, want.factor, 1e-9, "factor");
        expect_near(got.left, want.left, 1e-9, "left");
        expect_near(got.same, want.same, 1e-12, "same");
        expect_near(got.other, want.other, 1e-12, "other");
        expect_near(got.moments, want.moments, 1e-9, "moment");
        for (const int64_t few : {1, 9, 600}) {
          const Floats some(others.begin(), others.begin() + few * n);
          expect_near(distances(0, n, want, some), distances(FDQC_DEVICE_CPU, n, want, some), 1e-9, "distance");
        }
      }
    }
  }
}

Doubles nearest(int32_t device, int32_t n, const Floats& rows, const Floats& others) {
  Doubles out(rows.size() / n);
  EXPECT_OK(table().detector_nearest(device, n, static_cast<int64_t>(out.size()), rows.data(),
                                     static_cast<int64_t>(others.size()) / n, others.data(), out.data()));
  return out;
}

TEST(Detector, FindsTheNearest) {
  fdqc::Pretended device;
  // More rows than a thread takes at a time, more others than are ordered.
  for (const int64_t others_count : {1, 15, 700, 8200}) {
    for (const int32_t n : {2, 8, 40}) {
      const Floats rows = drawn(9, 251, n), others = drawn(10, others_count, n);
      const Doubles got = nearest(FDQC_DEVICE_CPU, n, rows, others), too = nearest(0, n, rows, others);
      for (int64_t i = 0; i < 251; i += 5) {
        double want = kInfinity;
        for (int64_t k = 0; k < others_count; ++k) want = std::min(want, between(&rows[i * n], &others[k * n], n));
        EXPECT_NEAR(got[i], want, 1e-12 * want) << "row " << i << " of " << others_count << ", n " << n;
        EXPECT_NEAR(too[i], want, 1e-9) << "row " << i << " of " << others_count << ", n " << n;
      }
    }
  }
  EXPECT_EQ(nearest(FDQC_DEVICE_CPU, 2, {1, 2}, {}), Doubles{kInfinity});
  EXPECT_EQ(nearest(0, 2, {1, 2}, {}), Doubles{kInfinity});
  // An equal row, far from the origin and beside others.
  for (const int32_t of : {FDQC_DEVICE_CPU, 0}) {
    EXPECT_EQ(nearest(of, 2, {1e6f, 2}, {1e6f + 1, 2, 1e6f, 2, 3e38f, 1}), Doubles{0});
    EXPECT_EQ(nearest(of, 2, {1e8f, 1e-4f}, {1e8f, 2e-4f, 1e8f, 1e-4f, 1e8f, 0}), Doubles{0});
  }
}

TEST(Detector, Refuses) {
  const Floats rows = drawn(7, 4, 2);
  Fit room(2, 4, 4);
  const auto fit_of = [&](int32_t n, int64_t count, int64_t others, int64_t queries, const float* from) {
    return table().detector_fit(FDQC_DEVICE_CPU, n, count, from, others, nullptr, room.location.data(),
                                room.factor.data(), room.left.data(), queries, room.same.data(), room.other.data(),
                                room.moments.data());
  };
  EXPECT_FAILS(fit_of(1, 4, 0, 0, rows.data()), FDQC_INVALID_ARGUMENT, "dimension 1");
  EXPECT_FAILS(fit_of(2, 1, 0, 0, rows.data()), FDQC_INVALID_ARGUMENT, "1 rows");
  EXPECT_FAILS(fit_of(2, 65537, 0, 0, rows.data()), FDQC_INVALID_ARGUMENT, "65537 rows");
  EXPECT_FAILS(fit_of(2, 4, -1, 0, rows.data()), FDQC_INVALID_ARGUMENT, "-1 other rows");
  EXPECT_FAILS(fit_of(2, 4, 1, 0, rows.data()), FDQC_INVALID_ARGUMENT, "others is NULL");
  EXPECT_FAILS(fit_of(2, 4, 0, 5, rows.data()), FDQC_INVALID_ARGUMENT, "5 of 4");
  EXPECT_FAILS(fit_of(2, 4, 0, 0, nullptr), FDQC_INVALID_ARGUMENT, "rows is NULL");
  EXPECT_FAILS(table().detector_fit(FDQC_DEVICE_CPU, 2, 4, rows.data(), 0, nullptr, nullptr, nullptr, nullptr, 0, nullptr, nullptr, nullptr),
               FDQC_INVALID_ARGUMENT, "an output is NULL");
  EXPECT_FAILS(table().detector_fit(0, 2, 4, rows.data(), 0, nullptr, room.location.data(), room.factor.data(), room.left.data(), 0, nullptr, nullptr, room.moments.data()),
               FDQC_DEVICE_UNAVAILABLE, "cuda:0");
  double out = 0;
  EXPECT_FAILS(table().detector_distances(FDQC_DEVICE_CPU, 2, nullptr, nullptr, 1, rows.data(), &out), FDQC_INVALID_ARGUMENT, "NULL");
  EXPECT_FAILS(table().detector_distances(FDQC_DEVICE_CPU, 2, room.location.data(), room.factor.data(), 0, rows.data(), &out), FDQC_INVALID_ARGUMENT, "0 rows");
  EXPECT_FAILS(table().detector_distances(FDQC_DEVICE_CPU, 2, room.location.data(), room.factor.data(), 1, nullptr, &out), FDQC_INVALID_ARGUMENT, "rows is NULL");
  EXPECT_FAILS(table().detector_distances(FDQC_DEVICE_CPU, 2, room.location.data(), room.factor.data(), 1, rows.data(), nullptr), FDQC_INVALID_ARGUMENT, "out is NULL");
  const auto nearest_of = [&](int32_t n, int64_t count, const float* from, int64_t others, const float* of, double* to) {
    return table().detector_nearest(FDQC_DEVICE_CPU, n, count, from, others, of, to);
  };
  EXPECT_FAILS(nearest_of(1, 1, rows.data(), 1, rows.data(), &out), FDQC_INVALID_ARGUMENT, "dimension 1");
  EXPECT_FAILS(nearest_of(2, 0, rows.data(), 1, rows.data(), &out), FDQC_INVALID_ARGUMENT, "0 rows");
  EXPECT_FAILS(nearest_of(2, 65537, rows.data(), 1, rows.data(), &out), FDQC_INVALID_ARGUMENT, "65537 rows");
  EXPECT_FAILS(nearest_of(2, 1, rows.data(), -1, rows.data(), &out), FDQC_INVALID_ARGUMENT, "-1 other rows");
  EXPECT_FAILS(nearest_of(2, 1, nullptr, 1, rows.data(), &out), FDQC_INVALID_ARGUMENT, "rows is NULL");
  EXPECT_FAILS(nearest_of(2, 1, rows.data(), 1, nullptr, &out), FDQC_INVALID_ARGUMENT, "others is NULL");
  EXPECT_FAILS(nearest_of(2, 1, rows.data(), 1, rows.data(), nullptr), FDQC_INVALID_ARGUMENT, "out is NULL");
}

TEST(Detector, AFailingDeviceIsLost) {
  const Floats rows = drawn(8, 40, 2);
  {
    fdqc::Pretended device;
    device.fail("lost:1");
    Fit room(2, 40, 0);
    EXPECT_FAILS(table().detector_fit(0, 2, 40, rows.data(), 0, nullptr, room.location.data(), room.factor.data(), room.left.data(), 0, nullptr, nullptr, room.moments.data()),
                 FDQC_DEVICE_LOST, "is lost");
  }
  {
    fdqc::Pretended device;
    device.fail("memory:10");
    Fit room(2, 40, 0);
    EXPECT_FAILS(table().detector_fit(0, 2, 40, rows.data(), 0, nullptr, room.location.data(), room.factor.data(), room.left.data(), 0, nullptr, nullptr, room.moments.data()),
                 FDQC_OUT_OF_MEMORY, "memory");
  }
}

}  // namespace
