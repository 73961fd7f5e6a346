// The CPU kernel against the specification, however it is cut, threaded and
// dispatched.
#include "cpu_validate.h"

#include <gtest/gtest.h>

#include <cstring>
#include <numeric>

#include "cpu_turn.h"
#include "pool.h"
#include "rows_of.h"
#include "targets.h"

namespace fdqc {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

// A reference model as the kernel reads it.
struct Kernel {
  explicit Kernel(const Model& model_)
      : model(model_),
        detector(model.n, tensors().data()),
        states(model.n, model.real.data(), model.imag.data()),
        safe(model.n),
        unsafe(model.n) {
    put(safe, model.safe, 1000, safe_ids);
    put(unsafe, model.unsafe, 2000000, unsafe_ids);
  }

  std::vector<fdqc_verdict> judge(const cpu::Segment* segments,
                                  int64_t segment_count, int64_t count,
                                  const int32_t* slots = nullptr,
                                  const uint8_t* flags = nullptr) {
    std::vector<fdqc_verdict> out(count);
    cpu::validate({{segments, segment_count, count, model.n},
                   slots,
                   flags,
                   &detector,
                   {&safe, &unsafe},
                   {safe_ids.data(), unsafe_ids.data()},
                   model.policy},
                  states, out.data());
    return out;
  }
  std::vector<fdqc_verdict> judge(const float* rows, int64_t count,
                                  const int32_t* slots = nullptr,
                                  const uint8_t* flags = nullptr) {
    const cpu::Segment segment{rows, nullptr, count, model.n};
    return judge(&segment, 1, count, slots, flags);
  }

  const Model& model;
  cpu::Detector detector;
  cpu::States states;
  SideIndex safe, unsafe;
  std::vector<int64_t> safe_ids, unsafe_ids;

 private:
  std::vector<const float*> tensors() const {
    std::vector<const float*> all;
    for (const Floats& tensor : model.tensors) all.push_back(tensor.data());
    return all;
  }
  void put(SideIndex& side, const Floats& rows, int64_t first_id,
           std::vector<int64_t>& ids) {
    const int64_t count = static_cast<int64_t>(rows.size()) / (2 * model.n);
    side.reserve(count);
    for (int64_t i = 0; i < count; ++i) {
      side.put(i, rows.data() + i * 2 * model.n);
    }
    ids.resize(count);
    std::iota(ids.begin(), ids.end(), first_id);
  }
};

// Cuts tiles as a test wants them, and puts back what was.
struct Cut {
  Cut(int threads, int64_t tile_rows) {
    Pool::instance().resize(threads);
    cpu::set_tile_rows(tile_rows);
  }
  ~Cut() {
    Pool::instance().resize(1);
    cpu::set_tile_rows(0);
  }
};

void expect_bits(const std::vector<fdqc_verdict>& got,
                 const std::vector<fdqc_verdict>& want, size_t rows,
                 const std::string& what) {
  ASSERT_GE(got.size(), rows) << what;
  for (size_t i = 0; i < rows; ++i) {
    ASSERT_EQ(std::memcmp(&got[i], &want[i], sizeof(fdqc_verdict)), 0)
        << what << ", row " << i << ": risk " << got[i].raw_risk << " and "
        << want[i].raw_risk << ", entropy " << got[i].entropy << " and "
        << want[i].entropy;
  }
}

class CpuValidate : public testing::TestWithParam<int64_t> {};

TEST_P(CpuValidate, IsTheSpecificationAtEverySplit) {
  const int64_t n = GetParam(), count = n > 64 ? 70 : 300;
  Source source(static_cast<uint32_t>(n));
  Model model = reference::model(source, n, 40, 30, 0.6f);
  for (const int update : {FDQC_STATE_ROW, FDQC_STATE_FIRST_ELEMENT}) {
    model.policy.state_update = update;
    model.policy.safe_mode = model.policy.require_human_approval = 0;
    const Floats z = rows_around(source, model, count);
    Kernel whole(model);
    const auto want = whole.judge(z.data(), count);
    std::vector<double> state(model.real.begin(), model.real.end());
    for (int64_t i = 0; i < count; ++i) {
      expect_row(model, z.data() + i * n, state, want[i], false,
                 "n " + std::to_string(n) + ", row " + std::to_string(i));
      if (HasFatalFailure()) return;
    }
    for (const int threads : {1, 2, 4}) {
      for (const int64_t tile : {1, 7, 16, 100}) {
        const Cut cut(threads, tile);
        Kernel other(model);
        const std::string what = std::to_string(threads) + " threads, tiles " +
                                 std::to_string(tile);
        expect_bits(other.judge(z.data(), count), want, count, what);
        if (HasFatalFailure()) return;
        for (int64_t j = 0; j < n; ++j) {
          ASSERT_EQ(other.states.real(0)[j], whole.states.real(0)[j]) << what;
        }
      }
    }
    for (const int64_t size : {1, 8, 15, 17, 64}) {
      Kernel other(model);
      std::vector<fdqc_verdict> got;
      for (int64_t from = 0; from < count; from += size) {
        const auto part = other.judge(z.data() + from * n,
                                      std::min(size, count - from));
        got.insert(got.end(), part.begin(), part.end());
      }
      expect_bits(got, want, count, "batches of " + std::to_string(size));
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(CpuValidate, SessionsResetsAndRefusals) {
  const int64_t n = GetParam(), count = n > 64 ? 90 : 600, slots = 6;
  Source source(static_cast<uint32_t>(n + 1));
  Model model = reference::model(source, n, 20, 20, 0.6f);
  model.policy.safe_mode = model.policy.require_human_approval = 0;
  Floats z = rows_around(source, model, count);
  std::vector<int32_t> slot(count);
  std::vector<uint8_t> flags(count, 0);
  std::vector<uint32_t> status(count, FDQC_ROW_OK);
  for (int64_t i = 0; i < count; ++i) {
    slot[i] = static_cast<int32_t>(
        i > 0 && source.below(3) > 0 ? slot[i - 1] : source.below(slots));
    if (source.below(20) == 0) flags[i] |= FDQC_ROW_RESET;
    if (source.below(3) == 0) flags[i] |= FDQC_ROW_NO_ALLOW;
    if (source.below(8) == 0) {
      z[i * n + source.below(n)] = source.below(2) != 0 ? kNaN : -kInf;
      status[i] = FDQC_ROW_NOT_FINITE;
    }
    if (source.below(8) == 0) {
      flags[i] |= FDQC_ROW_SKIP;
      status[i] = FDQC_ROW_SKIPPED;
    }
  }
  Kernel whole(model);
  const auto want = whole.judge(z.data(), count, slot.data(), flags.data());
  std::vector<std::vector<double>> states(
      slots, std::vector<double>(model.real.begin(), model.real.end()));
  for (int64_t i = 0; i < count; ++i) {
    std::vector<double>& state = states[slot[i]];
    if ((flags[i] & FDQC_ROW_RESET) != 0) {
      state.assign(model.real.begin(), model.real.end());
    }
    if (status[i] != FDQC_ROW_OK) {
      const fdqc_verdict refusal = cpu::refused(status[i]);
      ASSERT_EQ(std::memcmp(&want[i], &refusal, sizeof(refusal)), 0)
          << "row " << i << ": status " << want[i].row_status;
      continue;
    }
    expect_row(model, z.data() + i * n, state, want[i],
               (flags[i] & FDQC_ROW_NO_ALLOW) != 0, "row " + std::to_string(i));
    if (HasFatalFailure()) return;
  }
  for (int64_t s = 0; s < slots; ++s) {
    for (int64_t j = 0; j < n; ++j) {
      ASSERT_NEAR(whole.states.real(s)[j], states[s][j], 1e-6) << "slot " << s;
    }
  }
  for (const int threads : {1, 3}) {
    for (const int64_t tile : {1, 13, 32}) {
      const Cut cut(threads, tile);
      Kernel other(model);
      expect_bits(other.judge(z.data(), count, slot.data(), flags.data()),
                  want, count, "tiles of " + std::to_string(tile));
      if (HasFatalFailure()) return;
    }
  }
}

// Every instruction set that this CPU has: the same decisions, scores that
// differ by rounding.
TEST_P(CpuValidate, EveryInstructionSet) {
  const int64_t n = GetParam(), d = 77, count = 60;
  Source source(static_cast<uint32_t>(n + 2));
  const Model model = reference::model(source, n, 50, 50, 0.6f);
  const Floats z = rows_around(source, model, count);
  const Floats x = source.normals(count * d, 1);
  const cpu::Linear linear(n, d, source.normals(n * d, 0.1f).data(),
                           source.normals(n, 0.1f).data());
  const cpu::Segment segments[] = {{z.data(), nullptr, count, n},
                                   {x.data(), &linear, count, d}};
  Kernel best(model);
  const auto want = best.judge(segments, 2, 2 * count);
  int seen = 0;
  on_each_target([&](const std::string& target) {
    Kernel kernel(model);
    const auto got = kernel.judge(segments, 2, 2 * count);
    ++seen;
    for (int64_t i = 0; i < 2 * count; ++i) {
      const std::string what = target + ", row " + std::to_string(i);
      ASSERT_EQ(got[i].flags, want[i].flags) << what;
      ASSERT_EQ(got[i].nearest_safe, want[i].nearest_safe) << what;
      ASSERT_NEAR(got[i].entropy, want[i].entropy, 2e-6) << what;
      ASSERT_NEAR(got[i].coherence, want[i].coherence, 2e-6) << what;
      ASSERT_NEAR(got[i].raw_risk, want[i].raw_risk, 1e-5) << what;
      ASSERT_NEAR(got[i].safe_distance, want[i].safe_distance,
                  1e-5 * (1 + want[i].safe_distance)) << what;
    }
  });
  EXPECT_GE(seen, 1);
}

INSTANTIATE_TEST_SUITE_P(Workspaces, CpuValidate,
                         testing::Values(2, 3, 8, 12, 16, 31, 32, 100, 384));

TEST(CpuLinear, IsTheProductWhateverTheRowsBeside) {
  Source source(5);
  for (const int64_t n : {2, 3, 5, 8, 31, 32, 33, 100, 384}) {
    for (const int64_t d : {1, 7, 8, 16, 100, 4096}) {
      if (n > 100 && d > 100) continue;
      const int64_t rows = 8;
      const Floats x = source.normals(rows * d, 1), bias = source.normals(n, 1);
      const Floats weight = source.normals(n * d, 1);
      const cpu::Linear linear(n, d, weight.data(), bias.data());
      Floats z(rows * n, kNaN), one(n);
      linear(x.data(), rows, z.data());
      for (int64_t i = 0; i < rows; ++i) {
        linear(x.data() + i * d, 1, one.data());
        for (int64_t k = 0; k < n; ++k) {
          double sum = bias[k], scale = std::fabs(bias[k]);
          for (int64_t j = 0; j < d; ++j) {
            const double term = double{weight[k * d + j]} * x[i * d + j];
            sum += term;
            scale += std::fabs(term);
          }
          ASSERT_NEAR(z[i * n + k], sum, 1e-6 * scale)
              << "n " << n << ", d " << d << ", row " << i << ", output " << k;
          ASSERT_EQ(z[i * n + k], one[k])
              << "n " << n << ", d " << d << ", row " << i << ", output " << k;
        }
      }
    }
  }
}

TEST(CpuKernel, LargeAndSmallNumbers) {
  Source source(6);
  for (const float scale : {0.0f, 1e-42f, 1e-30f, 1e15f, 1e37f}) {
    Model model = reference::model(source, 8, 9, 9, 1.0f);
    for (Floats* all : {&model.real, &model.imag}) {
      for (float& value : *all) value = scale * source.normal();
    }
    // The detector is not at issue here, and would overflow.
    for (float& weight : model.tensors[0]) weight = 0;
    const Floats z = source.normals(100 * 8, scale);
    Kernel kernel(model);
    const auto got = kernel.judge(z.data(), 100);
    std::vector<double> state(model.real.begin(), model.real.end());
    for (int64_t i = 0; i < 100; ++i) {
      expect_row(model, z.data() + i * 8, state, got[i], false,
                 "scale " + std::to_string(scale));
      if (HasFatalFailure()) return;
    }
  }
}

TEST(CpuKernel, ProjectedRowsThatAreRefused) {
  Source source(7);
  const Model model = reference::model(source, 8, 9, 9, 1.0f);
  const cpu::Linear linear(8, 16, Floats(8 * 16, 1.0f).data(),
                           Floats(8, 0.0f).data());
  Floats x = source.normals(40 * 16, 1);
  x[3 * 16 + 5] = kInf;
  std::fill_n(x.begin() + 20 * 16, 16, 3e38f);
  const cpu::Segment segment{x.data(), &linear, 40, 16};
  const Cut cut(2, 16);
  Kernel kernel(model);
  const auto got = kernel.judge(&segment, 1, 40);
  for (int64_t i = 0; i < 40; ++i) {
    EXPECT_EQ(got[i].row_status, i == 3    ? FDQC_ROW_NOT_FINITE
                                 : i == 20 ? FDQC_ROW_OVERFLOW
                                           : FDQC_ROW_OK) << "row " << i;
  }
}

TEST(Turn, ATileThatFailsLetsTheOthersGo) {
  for (const int threads : {1, 2, 4}) {
    Pool pool;
    pool.resize(threads);
    cpu::Turn turn;
    std::atomic<int> passed{0};
    EXPECT_THROW(pool.run(100,
                          [&](int64_t i) {
                            if (i == 10) {
                              turn.fail();
                              throw std::runtime_error("tile 10");
                            }
                            if (!turn.wait(i)) return;
                            EXPECT_EQ(passed++, i);
                            turn.pass(i);
                          }),
                 std::runtime_error);
    EXPECT_LE(passed, 10);
  }
}

}  // namespace
}  // namespace fdqc
