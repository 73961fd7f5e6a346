#include <ATen/Parallel.h>

#include <cstring>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "pool.h"
#include "table.h"

namespace {

TEST(Api, AnswersOnlyItsOwnVersion) {
  const fdqc_table* of = fdqc_api(FDQC_ABI_VERSION);
  ASSERT_NE(of, nullptr);
  EXPECT_EQ(of->abi_version, FDQC_ABI_VERSION);
  EXPECT_EQ(of->size, sizeof(fdqc_table));
  EXPECT_EQ(fdqc_api(FDQC_ABI_VERSION + 1), nullptr);
  EXPECT_EQ(fdqc_api(0), nullptr);
}

// Every function of the table with arguments that are as good as none: what
// counts is that the armed fault comes back as a status.
std::vector<std::function<fdqc_status*()>> calls() {
  static fdqc_info info;
  static int64_t count;
  const fdqc_table& t = table();
  return {
      [&] { return t.runtime_configure(1); },
      [&] { return t.runtime_info(&info); },
      [&] { return t.runtime_open_cuda("/nothing"); },
      [&] { return t.live_handles(&count); },
      [&] { return t.weights_new(-1, 8, nullptr, nullptr); },
      [&] { return t.weights_free(nullptr); },
      [&] { return t.projection_new(-1, 8, 8, nullptr, nullptr, nullptr); },
      [&] { return t.projection_free(nullptr); },
      [&] { return t.patterns_new(-1, 8, nullptr); },
      [&] { return t.patterns_put(nullptr, 0, 0, nullptr, nullptr, nullptr); },
      [&] { return t.patterns_truncate(nullptr, 0, 0); },
      [&] { return t.patterns_free(nullptr); },
      [&] { return t.states_new(-1, 8, nullptr, nullptr, nullptr); },
      [&] { return t.states_read(nullptr, 0, nullptr, nullptr); },
      [&] { return t.states_free(nullptr); },
      [&] { return t.project(nullptr, nullptr, nullptr); },
      [&] { return t.validate(nullptr, nullptr); },
      [&] { return t.fault_arm(1); },
      [&] { return t.roofline_measure(1, 0.1, nullptr); },
      [&] { return t.device_info(0, nullptr); },
      [&] { return t.states_copy(nullptr, -1, nullptr); },
      [&] { return t.detector_fit(-1, 8, 0, nullptr, 0, nullptr, nullptr, nullptr, nullptr, 0, nullptr, nullptr, nullptr); },
      [&] { return t.detector_distances(-1, 8, nullptr, nullptr, 0, nullptr, nullptr); },
      [&] { return t.detector_nearest(-1, 8, 0, nullptr, 0, nullptr, nullptr); },
  };
}

TEST(Api, EveryFunctionGuardsItsBody) {
  struct Kind {
    int32_t kind, code;
    const char* message;
  };
  const Kind kinds[] = {{1, FDQC_INTERNAL, "injected std::runtime_error"},
                        {2, FDQC_OUT_OF_MEMORY, "out of memory"},
                        {3, FDQC_INTERNAL, "not a std::exception"},
                        {4, FDQC_INTERNAL, "injected c10::Error"}};
  const auto functions = calls();
  // All but status_free, which has no status of its own.
  ASSERT_EQ(functions.size() + 1,
            (sizeof(fdqc_table) - offsetof(fdqc_table, status_free)) /
                sizeof(void*));
  for (size_t i = 0; i < functions.size(); ++i) {
    for (const Kind& k : kinds) {
      SCOPED_TRACE("function " + std::to_string(i) + " kind " + std::to_string(k.kind));
      EXPECT_OK(table().fault_arm(k.kind));
      EXPECT_FAILS(functions[i](), k.code, k.message);
    }
  }
  for (const int32_t kind : {0, 5}) {
    EXPECT_FAILS(table().fault_arm(kind), FDQC_INVALID_ARGUMENT, "fault kind");
  }
}

TEST(Runtime, ConfiguresThreads) {
  for (const int32_t threads : {3, 1, 2}) {
    EXPECT_OK(table().runtime_configure(threads));
    fdqc_info info;
    EXPECT_OK(table().runtime_info(&info));
    EXPECT_EQ(info.threads, threads);
    EXPECT_EQ(fdqc::Pool::instance().threads(), threads);
    EXPECT_STREQ(info.libtorch_version, "2.11.0");
    EXPECT_GT(std::strlen(info.cpu_capability), 0u);
  }
  for (const int32_t threads : {-1, 0, 1025}) {
    EXPECT_FAILS(table().runtime_configure(threads), FDQC_INVALID_ARGUMENT, "threads");
  }
  EXPECT_FAILS(table().runtime_info(nullptr), FDQC_INVALID_ARGUMENT, "NULL");
}

// OpenMP's number of threads is per thread: one that enters for the first
// time must not bring a team.
TEST(Runtime, EveryThreadComputesAlone) {
  for (int i = 0; i < 4; ++i) {
    std::thread([] {
      int64_t count = 0;
      EXPECT_OK(table().live_handles(&count));
      EXPECT_EQ(at::get_num_threads(), 1);
    }).join();
  }
}

TEST(Runtime, CudaIsRefusedInWords) {
  EXPECT_FAILS(table().runtime_open_cuda(nullptr), FDQC_INVALID_ARGUMENT, "not absolute");
  EXPECT_FAILS(table().runtime_open_cuda("libtorch_cuda.so"), FDQC_INVALID_ARGUMENT, "not absolute");
  EXPECT_FAILS(table().runtime_open_cuda("/nowhere/libtorch_cuda.so"), FDQC_DEVICE_UNAVAILABLE, ".so");
}

}  // namespace
