#include <vector>

#include "handles.h"
#include "table.h"

namespace {

constexpr int32_t kN = 3;

TEST(States, EverySlotStartsAsLoaded) {
  const int64_t before = live();
  const std::vector<float> real = {1, 2, 3}, imag = {4, 5, 6};
  fdqc_states* states = nullptr;
  EXPECT_OK(table().states_new(FDQC_DEVICE_CPU, kN, real.data(), imag.data(), &states));
  ASSERT_NE(states, nullptr);
  for (const int32_t slot : {0, 1, 2147483647}) {
    std::vector<float> got_real(kN), got_imag(kN);
    EXPECT_OK(table().states_read(states, slot, got_real.data(), got_imag.data()));
    EXPECT_EQ(got_real, real) << "slot " << slot;
    EXPECT_EQ(got_imag, imag) << "slot " << slot;
  }
  // Slot 0 moves; what was loaded does not.
  states->real.fill_(9);
  EXPECT_EQ(states->loaded_real[0].item<float>(), 1.0f);
  EXPECT_OK(table().states_free(states));
  EXPECT_EQ(live(), before);
}

TEST(States, Refuse) {
  const int64_t before = live();
  const std::vector<float> real = {1, 2, 3}, imag = {4, 5, 6};
  fdqc_states* states = nullptr;
  EXPECT_FAILS(table().states_new(FDQC_DEVICE_CPU, kN, nullptr, imag.data(), &states), FDQC_INVALID_ARGUMENT, "real");
  EXPECT_FAILS(table().states_new(FDQC_DEVICE_CPU, kN, real.data(), nullptr, &states), FDQC_INVALID_ARGUMENT, "imag");
  EXPECT_FAILS(table().states_new(FDQC_DEVICE_CPU, 1, real.data(), imag.data(), &states), FDQC_INVALID_ARGUMENT, "dimension 1");
  EXPECT_FAILS(table().states_new(0, kN, real.data(), imag.data(), &states), FDQC_DEVICE_UNAVAILABLE, "cuda:0");
  EXPECT_EQ(states, nullptr);
  EXPECT_OK(table().states_new(FDQC_DEVICE_CPU, kN, real.data(), imag.data(), &states));
  std::vector<float> out(kN);
  EXPECT_FAILS(table().states_read(states, -1, out.data(), out.data()), FDQC_INVALID_ARGUMENT, "slot -1");
  EXPECT_FAILS(table().states_read(states, 0, nullptr, out.data()), FDQC_INVALID_ARGUMENT, "NULL");
  EXPECT_FAILS(table().states_read(nullptr, 0, out.data(), out.data()), FDQC_INVALID_ARGUMENT, "NULL");
  EXPECT_OK(table().states_free(states));
  EXPECT_EQ(live(), before);
}

}  // namespace
