#include <cmath>
#include <limits>

#include "table.h"

namespace {

TEST(Roofline, IsMeasuredWithSomeThreads) {
  for (const int32_t threads : {1, 3}) {
    fdqc_roofline roofline = {};
    EXPECT_OK(table().roofline_measure(threads, 0.01, &roofline));
    EXPECT_TRUE(std::isfinite(roofline.flops_per_second) && roofline.flops_per_second > 0)
        << threads << " threads: " << roofline.flops_per_second;
    EXPECT_TRUE(std::isfinite(roofline.bytes_per_second) && roofline.bytes_per_second > 0)
        << threads << " threads: " << roofline.bytes_per_second;
  }
}

TEST(Roofline, RefusesWhatItCannotMeasure) {
  fdqc_roofline roofline;
  EXPECT_FAILS(table().roofline_measure(0, 1, &roofline), FDQC_INVALID_ARGUMENT, "threads 0");
  EXPECT_FAILS(table().roofline_measure(1025, 1, &roofline), FDQC_INVALID_ARGUMENT, "threads 1025");
  for (const double seconds : {0.0, 61.0, std::numeric_limits<double>::quiet_NaN()}) {
    EXPECT_FAILS(table().roofline_measure(1, seconds, &roofline), FDQC_INVALID_ARGUMENT, "seconds");
  }
  EXPECT_FAILS(table().roofline_measure(1, 0.01, nullptr), FDQC_INVALID_ARGUMENT, "out is NULL");
}

}  // namespace
