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
  // A batch that fails leaves them, one that is done moves those it names.
  const std::vector<int32_t> slots = {2, 0, 2};
  for (const bool done : {false, true}) {
    fdqc::cpu::States::Moving moving(*states->host, slots.data(), 3);
    EXPECT_EQ(moving.of(2)[1], 2.0f);
    moving.of(2)[1] = 9.0f;
    if (done) moving.commit();
  }
  for (const int32_t slot : {0, 1, 2, 3}) {
    std::vector<float> got(kN), got_imag(kN);
    EXPECT_OK(table().states_read(states, slot, got.data(), got_imag.data()));
    EXPECT_EQ(got[1], slot == 2 ? 9.0f : 2.0f) << "slot " << slot;
  }
  EXPECT_EQ(states->host->loaded_real()[1], 2.0f);
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
