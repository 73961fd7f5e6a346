// The CUDA kernels on the CPU, each against what it must give; and what opens
// them.
#include "kernels.h"

#include <ATen/ops/from_blob.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <limits>


#include "cpu_scan.h"
#include "emulation.h"
#include "match.h"
#include "nvrtc.h"
#include "pretended.h"
#include "reference.h"

namespace fdqc {
namespace {

using reference::Floats;
using reference::Source;

TEST(Kernels, CheckThemselves) {
  const Pretended pretended;
  const Place place{0, c10::kCPU};
  for (const int64_t n : {2, 8, 16, 31}) {
    EXPECT_EQ(check_kernels(place, n, *emulation::kernels(n)), "") << "n " << n;
  }
  const auto kernels = emulation::kernels(8);
  struct Case {
    emulation::Damage damage;
    const char* says;
  };
  for (const Case c :
       {Case{emulation::Damage::kNearest, "nearest pattern of row 20"},
        {emulation::Damage::kState, "state of slot 0"},
        {emulation::Damage::kFlags, "flags of row 0"}}) {
    emulation::set_damage(c.damage);
    EXPECT_EQ(check_kernels(place, 8, *kernels), c.says);
  }
  emulation::set_damage(emulation::Damage::kLaunchFails);
  EXPECT_THROW(check_kernels(place, 8, *kernels), DeviceLost);
  emulation::set_damage(emulation::Damage::kNone);
}

TEST(Kernels, WhatTheDriverRefusesIsNamed) {
  try {
    Kernels(emulation::driver(), 1, 8, "8");
    FAIL() << "there is no device 1";
  } catch (const DriverError& e) {
    EXPECT_STREQ(e.what(), "cuDeviceGet: another error (error 101)");
    EXPECT_EQ(e.code(), 101);
  }
  EXPECT_THROW(Kernels(emulation::driver(), 0, 8, "no image"), DriverError);
  EXPECT_EQ(capability_of(emulation::driver(), 0), 90);
}

TEST(Kernels, ChunksCoverThePatternsAndKeepGridsSmall) {
  for (const int64_t patterns : {1, 511, 512, 513, 100000, 20000000}) {
    for (const int64_t rows : {1, 128, 129, 4096, 16384}) {
      const int64_t chunk = chunk_of(patterns, rows);
      EXPECT_GE(chunk, 512);
      EXPECT_EQ(chunk % cuda::kPatternTile, 0);
      EXPECT_LE((patterns + chunk - 1) / chunk, 1024);
    }
  }
}

// The bits of one row after another, also where a guess was wrong.
TEST(ScanKernel, GivesTheBitsOfTheRecurrence) {
  const auto kernels = emulation::kernels(8);
  for (const int64_t n : {1, 8, 31}) {
    for (const int64_t rows : {1, 255, 256, 257, 3000}) {
      for (const bool first : {false, true}) {
        Source source(static_cast<uint32_t>(rows + n));
        Floats z = source.normals(rows * n, 1);
        if (rows == 3000) {
          // From far away, and standing still: what was guessed wrong stays
          // wrong for long.
          for (int64_t i = 0; i < rows * n; ++i) {
            if (i / n < 300) z[i] = 1e30f;
            if (i / n > 1000) z[i] = 0;
          }
        }
        Floats state = source.normals(n, 3), want_state = state;
        Floats want(rows * n), got(rows * n), guess((rows / 256 + 1) * n);
        cpu::scan(want_state.data(), z.data(), rows, n, first, want.data());
        const std::vector<uint8_t> ok(rows, 1);
        cuda::Scan a{};
        a.z = z.data();
        a.ok = ok.data();
        a.states = state.data();
        a.loaded = state.data();
        a.out = got.data();
        a.guess = guess.data();
        a.rows = rows;
        a.n = static_cast<int>(n);
        a.first_element = first;
        kernels->scan(a, nullptr);
        ASSERT_EQ(got, want) << rows << " rows of " << n;
        ASSERT_EQ(state, want_state) << rows << " rows of " << n;
      }
    }
  }
}

// Both sides with every kind of pattern, in one chunk and in many.
TEST(MatchKernel, FindsTheNearestByTheDefinition) {
  struct Scene {
    const char* name;
    float at, spread;
    int whole;  // numbers are this many whole values, 0: any
  };
  for (const int64_t n : {2, 8, 31}) {
    const auto kernels = emulation::kernels(n);
    for (const Scene scene :
         {Scene{"random", 0, 1, 0}, {"tight and far away", 1e3f, 1e-4f, 0},
          {"ties and twins", 0, 1, 2}, {"huge", 0, 1e30f, 0},
          {"where norms end", 0, 5e18f, 0}, {"denormal", 0, 1e-42f, 0}}) {
      for (const int64_t count : {0, 1, 129, 300}) {
        Source source(static_cast<uint32_t>(n * 1000 + count));
        const int64_t rows = 150;
        const auto draw = [&](int64_t numbers, bool tails) {
          Floats to(numbers);
          for (int64_t i = 0; i < numbers; ++i) {
            to[i] = scene.whole > 0
                        ? static_cast<float>(source.below(scene.whole))
                        : scene.at + scene.spread * source.normal();
            if (tails && i % (2 * n) >= n) to[i] = 0;
          }
          return to;
        };
        const Floats sides[2] = {draw(count * 2 * n, true),
                                 draw((count + 1) / 2 * 2 * n, false)};
        Floats z = draw(rows * n, false);
        z[3 * n] = 2e19f;
        z[4 * n] = 1e38f;
        std::vector<uint8_t> ok(rows, 1);
        ok[7] = 0;
        PreparedSide prepared[2];
        // Several chunks, or one.
        std::vector<int64_t> chunks_of = {1024};
        if (count == 300) chunks_of.push_back(128);
        for (const int64_t chunk : chunks_of) {
          cuda::Match a{};
          a.z = z.data();
          a.ok = ok.data();
          a.rows = rows;
          int chunks = 0;
          for (const int side : {0, 1}) {
            const int64_t of = static_cast<int64_t>(sides[side].size()) /
                               (2 * n);
            prepared[side] =
                prepare(at::from_blob(const_cast<float*>(sides[side].data()),
                                      {of, 2 * n}, at::kFloat), n);
            a.sides[side] = {sides[side].data(),
                             prepared[side].lower.const_data_ptr<float>(),
                             prepared[side].centre.const_data_ptr<double>(),
                             of, chunk,
                             static_cast<int>((of + chunk - 1) / chunk),
                             prepared[side].tail_zero ? 0 : 1};
            chunks += a.sides[side].chunks;
          }
          std::vector<double> squared(chunks * rows);
          std::vector<long long> nearest(chunks * rows);
          a.squared = squared.data();
          a.nearest = nearest.data();
          kernels->match(a, nullptr);
          int first = 0;
          for (const int side : {0, 1}) {
            for (int64_t i = 0; i < rows; ++i) {
              double best = std::numeric_limits<double>::infinity();
              int64_t got = -1;
              for (int c = first; c < first + a.sides[side].chunks; ++c) {
                if (squared[c * rows + i] < best) {
                  best = squared[c * rows + i];
                  got = nearest[c * rows + i];
                }
              }
              if (ok[i] == 0) {
                ASSERT_EQ(got, -1);
                continue;
              }
              const reference::Winner want =
                  reference::nearest(z.data() + i * n, n, sides[side]);
              ASSERT_EQ(got, want.row)
                  << scene.name << ", n " << n << ", " << count
                  << " patterns, chunks of " << chunk << ", side " << side
                  << ", row " << i;
              if (got >= 0) {
                ASSERT_EQ(best, want.squared) << scene.name;
              }
            }
            first += a.sides[side].chunks;
          }
        }
      }
    }
  }
}

// FDQC_NVRTC is the folder with NVIDIA's compiler: `make test-kernels` sets it.
TEST(NvrtcCompiles, EveryKernelForEveryArchitecture) {
  const char* const folder = std::getenv("FDQC_NVRTC");
  ASSERT_NE(folder, nullptr) << "run make test-kernels";
  const Nvrtc nvrtc = Nvrtc::open({"/nowhere", folder});
  for (const int capability : {80, 90, 100}) {
    for (const int64_t n : {8, 31}) {
      if (n == 8 && capability != 90) continue;
      const std::string image = nvrtc.compile(n, capability);
      EXPECT_EQ(image.substr(1, 3), "ELF");
      for (const char* kernel :
           {"fdqc_settle", "fdqc_scan", "fdqc_scan_repair", "fdqc_scan_finish",
            "fdqc_match", "fdqc_judge"}) {
        EXPECT_NE(image.find(std::string(".text.") + kernel + '\0'),
                  std::string::npos) << kernel << ", capability " << capability;
      }
    }
  }
  // A capability that this NVRTC does not know gets PTX of one before.
  EXPECT_NE(nvrtc.compile(8, 99).find(".target sm_90"), std::string::npos);
  EXPECT_THROW(nvrtc.compile(8, 20), DriverError);
  try {
    nvrtc.compile(-1, 90);
    FAIL() << "there is no such workspace";
  } catch (const DriverError& e) {
    EXPECT_NE(std::string(e.what()).find("validate.cu("), std::string::npos)
        << e.what() << ": the compiler's words are not there";
  }
}

TEST(Nvrtc, WhereItIsLookedForIsNamed) {
  try {
    Nvrtc::open(Nvrtc::beside("/no/torch/lib"));
    FAIL() << "found";
  } catch (const DriverError& e) {
    EXPECT_STREQ(e.what(),
                 "there is no libnvrtc.so.13 in "
                 "/no/torch/lib/../../nvidia/cu13/lib "
                 "/no/torch/lib/../../nvidia/cuda_nvrtc/lib /no/torch/lib");
  }
}

}  // namespace
}  // namespace fdqc
