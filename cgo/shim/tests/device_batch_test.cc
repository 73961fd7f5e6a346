// Batches on a device, with kernels and without, give the verdicts of the CPU.
// The device is the CPU in disguise, and the kernels are emulated: what a GPU
// alone can show, streams above all, is not tested here.
#include "device_batch.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>

#include "device.h"
#include "emulation.h"
#include "handles.h"
#include "handles_of.h"
#include "pool.h"
#include "pretended.h"
#include "rows_of.h"

namespace fdqc {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

struct Options {
  const char* name;
  bool kernels;
};

class DeviceBatch : public testing::TestWithParam<Options> {
 protected:
  void use(Handles& handles) {
    if (!GetParam().kernels) return;
    auto& made = kernels_[handles.n];
    if (made == nullptr) made = emulation::kernels(handles.n);
    handles.states->kernels = made.get();
  }
  bool kernels_for(int64_t n) const {
    return !GetParam().kernels || n <= cuda::kMostWidth;
  }

  Pretended device_;
  std::map<int64_t, std::unique_ptr<Kernels>> kernels_;
};

// exact: the state and the matching are the CPU's to the bit.
void expect_same(const std::vector<fdqc_verdict>& got,
                 const std::vector<fdqc_verdict>& want,
                 const std::string& what) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) {
    const fdqc_verdict &a = got[i], &b = want[i];
    const std::string row = what + ", row " + std::to_string(i);
    ASSERT_EQ(a.row_status, b.row_status) << row;
    ASSERT_EQ(a.flags, b.flags) << row;
    ASSERT_EQ(a.nearest_safe, b.nearest_safe) << row;
    ASSERT_EQ(a.nearest_unsafe, b.nearest_unsafe) << row;
    if (b.row_status != FDQC_ROW_OK) {
      ASSERT_TRUE(std::isnan(a.raw_risk) && std::isnan(a.safe_distance)) << row;
      continue;
    }
    ASSERT_NEAR(a.raw_risk, b.raw_risk, 1e-5) << row;
    ASSERT_NEAR(a.base_risk, b.base_risk, 1e-5) << row;
    ASSERT_NEAR(a.entropy, b.entropy, 2e-6) << row;
    ASSERT_NEAR(a.coherence, b.coherence, 2e-6) << row;
    ASSERT_EQ(a.safe_distance, b.safe_distance) << row;
    ASSERT_EQ(a.unsafe_distance, b.unsafe_distance) << row;
    ASSERT_EQ(a.safe_similarity, b.safe_similarity) << row;
    ASSERT_EQ(a.unsafe_similarity, b.unsafe_similarity) << row;
    ASSERT_EQ(a.novelty, b.novelty) << row;
  }
}

void expect_states(const Handles& got, const Handles& want, int32_t slots,
                   bool exact, const std::string& what) {
  for (int32_t slot = 0; slot < slots; ++slot) {
    const Floats a = got.state(slot), b = want.state(slot);
    for (size_t k = 0; k < a.size(); ++k) {
      if (exact) {
        ASSERT_EQ(a[k], b[k]) << what << ", slot " << slot;
      } else {
        ASSERT_NEAR(a[k], b[k], 1e-6 * std::max(1.0f, std::fabs(b[k])))
            << what << ", slot " << slot;
      }
    }
  }
}

TEST_P(DeviceBatch, EqualsTheCpu) {
  struct Size {
    int64_t n, safe, unsafe, count;
    int32_t slots;  // 0: none are named
  };
  for (const Size size :
       {Size{8, 300, 200, 1500, 0}, {8, 129, 0, 700, 5}, {8, 0, 40, 257, 0},
        {8, 0, 0, 40, 3}, {2, 50, 50, 300, 0}, {3, 1, 1, 1, 0},
        {12, 600, 1, 513, 40}, {16, 257, 130, 300, 2}, {31, 90, 70, 400, 1},
        {32, 60, 60, 300, 3}, {384, 40, 40, 50, 2}}) {
    if (!kernels_for(size.n)) continue;
    const std::string what = "n " + std::to_string(size.n) + ", " +
                             std::to_string(size.count) + " rows";
    Source source(static_cast<uint32_t>(size.n + size.count));
    Model model = reference::model(source, size.n, size.safe, size.unsafe,
                                   0.6f);
    model.policy.tier = size.count % 6;
    model.policy.safe_mode = size.count & 1;
    model.policy.require_human_approval = 0;
    model.policy.state_update = size.slots == 5;
    const Handles cpu(model);
    Handles device(model, 0);
    use(device);
    if (size.count == 1500) device.states->room->tile_rows = 400;
    for (const int turn : {1, 2, 3}) {
      Floats z = rows_around(source, model, size.count);
      std::vector<int32_t> slots(size.count, 0);
      std::vector<uint8_t> flags(size.count, 0);
      for (int64_t i = 0; i < size.count; ++i) {
        if (size.slots > 0) slots[i] = static_cast<int32_t>(source.below(size.slots));
        if (source.below(5) == 0) flags[i] = static_cast<uint8_t>(source.below(8));
        if (source.below(11) == 0) z[i * size.n + 1] = kNaN;
        if (source.below(40) == 0) z[i * size.n] = 1e20f;
      }
      std::vector<fdqc_verdict> out[2];
      for (const Handles* of : {&cpu, static_cast<const Handles*>(&device)}) {
        Batch batch(*of, model, z.data(), size.count);
        if (size.slots > 0) batch.batch.slots = slots.data();
        if (turn > 1) batch.batch.row_flags = flags.data();
        out[of == &cpu ? 0 : 1] = batch.judge();
      }
      expect_same(out[1], out[0], what);
      expect_states(device, cpu, std::max(size.slots, 1),
                    GetParam().kernels, what);
      if (HasFatalFailure()) return;
      // Outcomes are recorded between batches: new rows, and old ones anew.
      for (const int32_t side : {FDQC_SAFE, FDQC_UNSAFE}) {
        const int64_t count = cpu.patterns->sides[side].count;
        std::vector<int64_t> index = {count, count + 1}, ids = {70, 71};
        if (count > 3) {
          index.insert(index.end(), {2, 0, 2});
          ids.insert(ids.end(), {72, 73, 74});
        }
        const Floats rows =
            source.normals(static_cast<int64_t>(index.size()) * 2 * size.n, 1);
        for (const Handles* of : {&cpu, static_cast<const Handles*>(&device)}) {
          ASSERT_EQ(take(api::patterns_put(
                        of->patterns, side, static_cast<int64_t>(index.size()),
                        index.data(), rows.data(), ids.data())), "");
          if (turn == 2 && count > 10) {
            ASSERT_EQ(take(api::patterns_truncate(of->patterns, side,
                                                  count - 6)), "");
          }
        }
      }
    }
  }
}

TEST_P(DeviceBatch, TilesOfManyRows) {
  Source source(4);
  const int64_t count = GetParam().kernels ? 9000 : 20001;
  const Model model = reference::model(source, 8, 60, 60, 0.6f);
  const Floats z = rows_around(source, model, count);
  std::vector<int32_t> slots(count);
  for (int32_t& slot : slots) slot = static_cast<int32_t>(source.below(7));
  Pool::instance().resize(3);
  const Handles cpu(model);
  Handles device(model, 0);
  use(device);
  std::vector<fdqc_verdict> out[2];
  for (const Handles* of : {&cpu, static_cast<const Handles*>(&device)}) {
    Batch batch(*of, model, z.data(), count);
    batch.batch.slots = slots.data();
    out[of == &cpu ? 0 : 1] = batch.judge();
  }
  Pool::instance().resize(1);
  expect_same(out[1], out[0], "tiles");
  expect_states(device, cpu, 7, GetParam().kernels, "tiles");
}

TEST_P(DeviceBatch, SegmentsAndRowsThatOverflow) {
  Source source(5);
  const Model model = reference::model(source, 8, 40, 40, 1.0f);
  const Handles cpu_handles(model), device_handles(model, 0);
  Handles &cpu = const_cast<Handles&>(cpu_handles),
          &device = const_cast<Handles&>(device_handles);
  use(device);
  const Floats narrow = source.normals(300 * 8, 1);
  Floats wide = source.normals(5000 * 16, 1);
  std::fill_n(wide.begin() + 16, 16, 3e38f);
  wide[2 * 16] = kNaN;
  const Floats weight(8 * 16, 0.25f), bias(8, 0.5f);
  std::vector<fdqc_verdict> out[2];
  std::vector<uint32_t> status[2];
  Floats projected[2];
  for (Handles* of : {&cpu, &device}) {
    const int which = of == &cpu ? 0 : 1;
    fdqc_projection* const projection = of->project_from(16, weight, bias);
    const fdqc_segment segments[] = {
        {narrow.data(), nullptr, 300, 8, 0},
        {wide.data(), projection, 5000, 16, 0},
        {narrow.data(), nullptr, 1, 8, 0}};
    Batch batch(*of, model, nullptr, 5301);
    batch.batch.segments = segments;
    batch.batch.segment_count = 3;
    out[which] = batch.judge();
    status[which].resize(5301);
    projected[which].resize(5301 * 8);
    ASSERT_EQ(take(api::project(&batch.batch, projected[which].data(),
                                status[which].data())), "");
  }
  EXPECT_EQ(status[1], status[0]);
  EXPECT_EQ(out[1][301].row_status, FDQC_ROW_OVERFLOW);
  EXPECT_EQ(out[1][302].row_status, FDQC_ROW_NOT_FINITE);
  for (size_t i = 0; i < out[0].size(); ++i) {
    ASSERT_EQ(out[1][i].row_status, out[0][i].row_status) << "row " << i;
    if (out[0][i].row_status != FDQC_ROW_OK) continue;
    ASSERT_NEAR(out[1][i].base_risk, out[0][i].base_risk, 1e-5) << "row " << i;
    for (int k = 0; k < 8; ++k) {
      ASSERT_NEAR(projected[1][i * 8 + k], projected[0][i * 8 + k], 1e-5)
          << "row " << i;
    }
  }
}

// Whichever step fails, nothing is written, no state has moved, and the device
// answers the same from then on; what is on the host is right.
TEST_P(DeviceBatch, ADeviceThatDisappears) {
  Source source(6);
  const Model model = reference::model(source, 8, 60, 60, 0.6f);
  const int64_t count = 500;
  const Floats z = rows_around(source, model, count);
  int failures = 0;
  for (int step = 1;; ++step) {
    forget_lost_devices();
    device_.fail("none");
    Handles device(model, 0);
    use(device);
    device.states->room->tile_rows = 300;
    Batch batch(device, model, z.data(), count);
    batch.judge();
    const Floats before = device.state(0);
    std::vector<fdqc_verdict> out(count);
    std::memset(out.data(), 0x5a, count * sizeof(fdqc_verdict));
    const auto untouched = out;
    device_.fail("lost:" + std::to_string(step));
    fdqc_status* status = api::validate(&batch.batch, out.data());
    if (status == nullptr) break;
    ++failures;
    const std::string first = status->message;
    EXPECT_EQ(status->code, FDQC_DEVICE_LOST) << first;
    free_status(status);
    EXPECT_EQ(first,
              "device cuda:0 is lost: CUDA error: injected, the device is gone");
    EXPECT_EQ(std::memcmp(out.data(), untouched.data(),
                          count * sizeof(fdqc_verdict)), 0) << "step " << step;
    device_.fail("none");
    EXPECT_EQ(take(api::validate(&batch.batch, out.data())), first);
    const int64_t index = 0;
    EXPECT_EQ(take(api::patterns_put(device.patterns, FDQC_SAFE, 1, &index,
                                     model.safe.data(), &index)), first);
    EXPECT_EQ(take(api::patterns_truncate(device.patterns, FDQC_SAFE, 1)),
              first);
    fdqc_states* states = nullptr;
    EXPECT_EQ(take(api::states_new(0, 8, model.real.data(), model.imag.data(),
                                   &states)), first);
    fdqc_device_info info;
    EXPECT_EQ(take(api::device_info(0, &info)), "");
    EXPECT_EQ(info.lost, 1);
    EXPECT_EQ(device.state(0), before);
    ASSERT_EQ(take(api::states_copy(device.states, FDQC_DEVICE_CPU, &states)),
              "");
    Floats real(8), imag(8);
    EXPECT_EQ(take(api::states_read(states, 0, real.data(), imag.data())), "");
    EXPECT_EQ(real, before);
    EXPECT_EQ(take(api::states_free(states)), "");
  }
  EXPECT_GE(failures, 5) << "steps: the states, two tiles there, two judged";
}

TEST_P(DeviceBatch, TooLittleMemoryMakesTilesSmaller) {
  Source source(7);
  const Model model = reference::model(source, 8, 60, 60, 0.6f);
  const int64_t count = 4096;
  const Floats z = rows_around(source, model, count);
  const Handles cpu(model);
  const auto want = Batch(cpu, model, z.data(), count).judge();
  Handles device(model, 0);
  use(device);
  const Batch batch(device, model, z.data(), count);
  fdqc_device_info before, after;
  EXPECT_EQ(take(api::device_info(0, &before)), "");
  device_.fail("memory:4096");
  expect_same(batch.judge(), want, "enough");
  EXPECT_EQ(take(api::device_info(0, &after)), "");
  EXPECT_EQ(after.out_of_memory, before.out_of_memory);
  EXPECT_EQ(after.tile_rows, kMostTileRows);

  const Floats moved = device.state(0);
  std::vector<fdqc_verdict> out(count);
  std::memset(out.data(), 0x5a, count * sizeof(fdqc_verdict));
  const auto untouched = out;
  device_.fail("memory:200");
  fdqc_status* status = api::validate(&batch.batch, out.data());
  ASSERT_NE(status, nullptr);
  EXPECT_EQ(status->code, FDQC_OUT_OF_MEMORY) << status->message;
  free_status(status);
  EXPECT_EQ(std::memcmp(out.data(), untouched.data(),
                        count * sizeof(fdqc_verdict)), 0);
  EXPECT_EQ(device.state(0), moved);
  EXPECT_EQ(take(api::device_info(0, &after)), "");
  EXPECT_EQ(after.tile_rows, kLeastTileRows);
  EXPECT_EQ(after.out_of_memory, before.out_of_memory + 4);
  EXPECT_EQ(after.lost, 0);
  // The memory is there again, and the tiles stay small.
  device_.fail("memory:256");
  batch.judge();
  Floats projected(count * 8);
  std::vector<uint32_t> statuses(count);
  EXPECT_EQ(take(api::project(&batch.batch, projected.data(),
                              statuses.data())), "");
  EXPECT_EQ(projected, z);
}

INSTANTIATE_TEST_SUITE_P(With, DeviceBatch,
                         testing::Values(Options{"operators", false},
                                         Options{"kernels", true}),
                         [](const auto& info) { return info.param.name; });

TEST(Pretended, IsADeviceOfTheTable) {
  fdqc_device_info info;
  EXPECT_NE(take(api::device_info(1, &info)), "");
  EXPECT_NE(take(api::device_info(-1, &info)), "");
  EXPECT_NE(take(api::device_info(0, nullptr)), "");
  Source source(8);
  const Model model = reference::model(source, 8, 1, 1, 1.0f);
  const Pretended pretended;
  const Handles handles(model, 0);
  EXPECT_EQ(take(api::device_info(0, &info)), "");
  EXPECT_STREQ(info.kernels, "operators of LibTorch: the device is the CPU");
  const Handles wide(reference::model(source, 40, 1, 1, 1.0f), 0);
  EXPECT_EQ(take(api::device_info(0, &info)), "");
  EXPECT_STREQ(info.kernels, "operators of LibTorch: there are kernels for a "
                             "workspace of 2 to 31");
}

}  // namespace
}  // namespace fdqc
