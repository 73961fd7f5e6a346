#include "status.h"

#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>
#include <c10/util/Exception.h>
#include <gtest/gtest.h>

#include <atomic>
#include <limits>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "table.h"

namespace fdqc {
namespace {

struct Case {
  const char* name;
  void (*body)();
  int32_t code;
  const char* message;
};

const Case kCases[] = {
    {"invalid argument", [] { throw InvalidArgument("n 0 is not 2 to 1024"); },
     FDQC_INVALID_ARGUMENT, "n 0 is not 2 to 1024"},
    {"device", [] { throw DeviceUnavailable("no driver"); },
     FDQC_DEVICE_UNAVAILABLE, "no driver"},
    {"bad_alloc", [] { throw std::bad_alloc(); }, FDQC_OUT_OF_MEMORY,
     "out of memory"},
    {"device memory",
     [] { TORCH_CHECK_WITH(OutOfMemoryError, false, "CUDA out of memory"); },
     FDQC_OUT_OF_MEMORY, "CUDA out of memory"},
    {"host memory",
     [] { at::empty({std::numeric_limits<int64_t>::max() / 8}, at::kByte); },
     FDQC_OUT_OF_MEMORY, "can't allocate memory"},
    {"c10::Error", [] { TORCH_CHECK(false, "shapes differ"); }, FDQC_INTERNAL,
     "shapes differ"},
    {"std::exception", [] { throw std::runtime_error("broken"); },
     FDQC_INTERNAL, "broken"},
    {"an int", [] { throw 3; }, FDQC_INTERNAL, "not a std::exception"},
};

TEST(Guard, TurnsEveryExceptionIntoItsStatus) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.name);
    EXPECT_FAILS(guard(c.body), c.code, c.message);
  }
}

TEST(Guard, LeavesTheBacktraceOut) {
  const Answer answer(guard([] { TORCH_CHECK(false, "shapes differ"); }));
  EXPECT_EQ(answer.message.find("Exception raised from"), std::string::npos)
      << answer.message;
}

TEST(Guard, SuccessHasNoStatus) {
  bool ran = false;
  EXPECT_EQ(guard([&] { ran = true; }), nullptr);
  EXPECT_TRUE(ran);
}

TEST(Guard, TurnsGradientsOffAndPutsTheModeBack) {
  for (const bool before : {true, false}) {
    c10::AutoGradMode mode(before);
    for (const bool throws : {false, true}) {
      bool inside = true;
      const Answer answer(guard([&] {
        inside = c10::GradMode::is_enabled();
        if (throws) throw 1;
      }));
      EXPECT_FALSE(inside) << "before " << before << " throws " << throws;
      EXPECT_EQ(c10::GradMode::is_enabled(), before) << "throws " << throws;
    }
  }
}

TEST(Status, BelongsToItsCall) {
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 16; ++t) {
    threads.emplace_back([t, &wrong] {
      for (int i = 0; i < 500; ++i) {
        const std::string want = std::to_string(t) + "/" + std::to_string(i);
        const Answer answer(guard([&] { throw InvalidArgument(want); }));
        if (answer.message != want) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong.load(), 0);
}

TEST(Status, FreeingNothingOrTheSharedOneDoesNothing) {
  free_status(nullptr);
  fdqc_status* shared = guard([] { throw std::bad_alloc(); });
  free_status(shared);
  free_status(shared);
  EXPECT_STREQ(shared->message, "out of memory");
}

TEST(Require, PutsItsPartsTogether) {
  EXPECT_FAILS(guard([] { require(false, "n ", 3, " of ", std::string("x")); }),
               FDQC_INVALID_ARGUMENT, "n 3 of x");
  EXPECT_OK(guard([] { require(true, "not said"); }));
}

}  // namespace
}  // namespace fdqc
