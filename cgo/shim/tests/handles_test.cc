#include <limits>
#include <vector>

#include "handles.h"
#include "table.h"

namespace {

constexpr int32_t kN = 4;

struct WeightsData {
  std::vector<float> parts[6] = {
      std::vector<float>(64 * 2 * kN, 0.5f), std::vector<float>(64, 0.25f),
      std::vector<float>(32 * 64, 1.0f),     std::vector<float>(32, 2.0f),
      std::vector<float>(32, 3.0f),          std::vector<float>(1, 4.0f)};
  const float* pointers[6];
  WeightsData() {
    for (int i = 0; i < 6; ++i) pointers[i] = parts[i].data();
  }
};

TEST(Handles, WeightsAreCopied) {
  const int64_t before = live();
  fdqc_weights* weights = nullptr;
  {
    const WeightsData data;
    EXPECT_OK(table().weights_new(FDQC_DEVICE_CPU, kN, data.pointers, &weights));
  }
  ASSERT_NE(weights, nullptr);
  EXPECT_EQ(live(), before + 1);
  ASSERT_TRUE(weights->packed.has_value());
  EXPECT_EQ(weights->packed->n, kN);
  EXPECT_EQ(weights->packed->imag0.data()[63], 0.5f);
  EXPECT_EQ(weights->packed->weight2.data()[31], 3.0f);
  EXPECT_EQ(weights->packed->bias2, 4.0f);
  EXPECT_OK(table().weights_free(weights));
  EXPECT_EQ(live(), before);
}

TEST(Handles, WeightsRefuse) {
  const WeightsData data;
  const int64_t before = live();
  fdqc_weights* weights = nullptr;
  EXPECT_FAILS(table().weights_new(FDQC_DEVICE_CPU, kN, data.pointers, nullptr),
               FDQC_INVALID_ARGUMENT, "out is NULL");
  EXPECT_FAILS(table().weights_new(FDQC_DEVICE_CPU, kN, nullptr, &weights),
               FDQC_INVALID_ARGUMENT, "tensors is NULL");
  for (const int32_t n : {-1, 0, 1, 1025}) {
    EXPECT_FAILS(table().weights_new(FDQC_DEVICE_CPU, n, data.pointers, &weights),
                 FDQC_INVALID_ARGUMENT, "is not 2 to 1024");
  }
  for (int i = 0; i < 6; ++i) {
    WeightsData hole;
    hole.pointers[i] = nullptr;
    EXPECT_FAILS(table().weights_new(FDQC_DEVICE_CPU, kN, hole.pointers, &weights),
                 FDQC_INVALID_ARGUMENT, "tensor " + std::to_string(i));
  }
  EXPECT_FAILS(table().weights_new(-2, kN, data.pointers, &weights),
               FDQC_INVALID_ARGUMENT, "device -2");
  EXPECT_FAILS(table().weights_new(99, kN, data.pointers, &weights),
               FDQC_DEVICE_UNAVAILABLE, "cuda:99");
  EXPECT_EQ(weights, nullptr);
  EXPECT_EQ(live(), before);
}

TEST(Handles, ProjectionIsCopiedAndRefuses) {
  const int64_t before = live();
  const std::vector<float> weight(kN * 6, 0.5f), bias(kN, 1.0f);
  fdqc_projection* projection = nullptr;
  const auto make = [&](int32_t n, int32_t d, const float* w, const float* b) {
    return table().projection_new(FDQC_DEVICE_CPU, n, d, w, b, &projection);
  };
  EXPECT_FAILS(make(kN, 6, nullptr, bias.data()), FDQC_INVALID_ARGUMENT, "weight");
  EXPECT_FAILS(make(kN, 6, weight.data(), nullptr), FDQC_INVALID_ARGUMENT, "bias");
  EXPECT_FAILS(make(kN, 0, weight.data(), bias.data()), FDQC_INVALID_ARGUMENT, "width 0");
  EXPECT_FAILS(make(kN, 4097, weight.data(), bias.data()), FDQC_INVALID_ARGUMENT, "width 4097");
  EXPECT_FAILS(make(1, 6, weight.data(), bias.data()), FDQC_INVALID_ARGUMENT, "dimension 1");
  EXPECT_EQ(projection, nullptr);
  EXPECT_OK(make(kN, 6, weight.data(), bias.data()));
  ASSERT_NE(projection, nullptr);
  ASSERT_TRUE(projection->packed.has_value());
  EXPECT_EQ(projection->packed->n(), kN);
  EXPECT_EQ(projection->packed->d(), 6);
  EXPECT_OK(table().projection_free(projection));
  EXPECT_EQ(live(), before);
}

TEST(Handles, FreeingNullDoesNothing) {
  const int64_t before = live();
  EXPECT_OK(table().weights_free(nullptr));
  EXPECT_OK(table().projection_free(nullptr));
  EXPECT_OK(table().patterns_free(nullptr));
  EXPECT_OK(table().states_free(nullptr));
  EXPECT_EQ(live(), before);
}

TEST(Handles, LiveHandlesRefusesNull) {
  EXPECT_FAILS(table().live_handles(nullptr), FDQC_INVALID_ARGUMENT, "NULL");
}

}  // namespace
