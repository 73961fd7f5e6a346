#include "pool.h"

#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <numeric>
#include <set>
#include <string>

namespace fdqc {
namespace {

int process_threads() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("Threads:", 0) == 0) return std::stoi(line.substr(8));
  }
  return -1;
}

// A joined thread may be listed for a moment longer.
int settled_threads(int want) {
  int have = process_threads();
  for (int look = 0; look < 1000 && have != want; ++look) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    have = process_threads();
  }
  return have;
}

double process_cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) +
         1e-9 * static_cast<double>(now.tv_nsec);
}

TEST(Pool, EveryTileRunsOnce) {
  for (const int threads : {1, 2, 3, 8}) {
    Pool pool;
    pool.resize(threads);
    for (const int64_t tiles : {0, 1, 2, 7, 1000}) {
      std::vector<std::atomic<int>> hits(tiles);
      pool.run(tiles, [&](int64_t i) { ++hits[i]; });
      for (int64_t i = 0; i < tiles; ++i) {
        ASSERT_EQ(hits[i].load(), 1)
            << "tile " << i << " of " << tiles << " on " << threads;
      }
    }
  }
}

TEST(Pool, ManyRunsOneAfterAnother) {
  Pool pool;
  pool.resize(3);
  int64_t total = 0;
  for (int round = 0; round < 20000; ++round) {
    std::atomic<int64_t> sum{0};
    pool.run(4, [&](int64_t i) { sum += i; });
    total += sum;
  }
  EXPECT_EQ(total, 20000 * 6);
}

TEST(Pool, RunsAfterItsWorkersFellAsleep) {
  Pool pool;
  pool.resize(2);
  for (int round = 0; round < 20; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    std::atomic<int> count{0};
    pool.run(8, [&](int64_t) { ++count; });
    EXPECT_EQ(count.load(), 8) << "round " << round;
  }
}

TEST(Pool, SeveralThreadsTakePart) {
  Pool pool;
  pool.resize(3);
  std::mutex lock;
  std::condition_variable another;
  std::set<std::thread::id> seen;
  pool.run(3, [&](int64_t) {
    // Nobody leaves before all have come, so no thread does two tiles.
    std::unique_lock<std::mutex> hold(lock);
    seen.insert(std::this_thread::get_id());
    another.notify_all();
    another.wait_for(hold, std::chrono::seconds(20),
                     [&] { return seen.size() == 3; });
  });
  EXPECT_EQ(seen.size(), 3u);
}

TEST(Pool, TheFirstExceptionReachesTheCaller) {
  Pool pool;
  pool.resize(2);
  for (const int64_t bad : {0, 3, 99}) {
    try {
      pool.run(100, [&](int64_t i) {
        if (i == bad) throw std::runtime_error("tile " + std::to_string(i));
      });
      FAIL() << "tile " << bad << " threw, run did not";
    } catch (const std::runtime_error& e) {
      EXPECT_EQ(e.what(), "tile " + std::to_string(bad));
    }
    std::atomic<int> count{0};
    pool.run(10, [&](int64_t) { ++count; });
    EXPECT_EQ(count.load(), 10) << "the run after an exception";
  }
}

TEST(Pool, AnExceptionWithOneThread) {
  Pool pool;
  EXPECT_THROW(pool.run(2, [](int64_t) { throw 3; }), int);
  EXPECT_NO_THROW(pool.resize(2)) << "the pool still takes itself for busy";
}

TEST(Pool, ANestedRunStaysInItsThread) {
  Pool pool;
  pool.resize(2);
  std::atomic<int> count{0};
  std::atomic<int> elsewhere{0};
  pool.run(6, [&](int64_t) {
    const auto self = std::this_thread::get_id();
    pool.run(5, [&](int64_t) {
      ++count;
      if (std::this_thread::get_id() != self) ++elsewhere;
    });
  });
  EXPECT_EQ(count.load(), 30);
  EXPECT_EQ(elsewhere.load(), 0);
}

TEST(Pool, ResizeStartsAndJoinsThreads) {
  Pool pool;
  const int before = process_threads();
  for (const int threads : {4, 2, 1, 3, 3, 1}) {
    pool.resize(threads);
    EXPECT_EQ(pool.threads(), threads);
    EXPECT_EQ(settled_threads(before + threads - 1), before + threads - 1);
    std::atomic<int> count{0};
    pool.run(9, [&](int64_t) { ++count; });
    EXPECT_EQ(count.load(), 9) << threads << " threads";
  }
  EXPECT_THROW(pool.resize(0), std::invalid_argument);
  EXPECT_THROW(pool.run(1, [&](int64_t) { pool.resize(2); }), std::logic_error);
}

TEST(Pool, CallersFromManyThreadsTakeTurns) {
  Pool pool;
  pool.resize(2);
  std::atomic<int64_t> count{0};
  std::vector<std::thread> callers;
  for (int c = 0; c < 8; ++c) {
    callers.emplace_back([&] {
      for (int round = 0; round < 200; ++round) {
        pool.run(5, [&](int64_t) { ++count; });
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(count.load(), 8 * 200 * 5);
}

TEST(Pool, IdleWorkersCostNothing) {
  Pool pool;
  pool.resize(4);
  pool.run(8, [](int64_t) {});
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  const double before = process_cpu_seconds();
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  EXPECT_LT(process_cpu_seconds() - before, 0.03) << "CPU seconds in 0.3 s";
}

}  // namespace
}  // namespace fdqc
