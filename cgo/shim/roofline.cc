#include "roofline.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "status.h"

// The part below is compiled once for every instruction set.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "roofline.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace fdqc {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Twelve chains of dependent multiply-adds: as many as two units with a
// latency of five cycles need, and with their two operands as many as sixteen
// registers hold. Every element goes to 1, none becomes denormal. Answers the
// floating-point operations, two a multiply-add.
double multiply_add(int64_t rounds, float* sink) {
  const hn::ScalableTag<float> d;
  constexpr int kChains = 12;
  // Each starts elsewhere, and where is not known to the compiler: it makes
  // one of chains that are alike.
  volatile float half = 0.5f;
  const auto x = hn::Set(d, half);
  hn::Vec<decltype(d)> sums[kChains];
  for (int i = 0; i < kChains; ++i) {
    sums[i] = hn::Set(d, half * static_cast<float>(i));
  }
  for (int64_t round = 0; round < rounds; ++round) {
    for (auto& sum : sums) sum = hn::MulAdd(sum, x, x);
  }
  for (const auto& sum : sums) *sink += hn::GetLane(hn::SumOfLanes(d, sum));
  return 2.0 * kChains * static_cast<double>(hn::Lanes(d)) *
         static_cast<double>(rounds);
}

// Sums count values, a multiple of eight vectors, and answers their bytes.
double read(const float* values, int64_t count, float* sink) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = hn::Lanes(d);
  auto a = hn::Zero(d), b = a, c = a, e = a;
  for (int64_t i = 0; i < count; i += 8 * lanes) {
    a = hn::Add(a, hn::Add(hn::LoadU(d, values + i), hn::LoadU(d, values + i + lanes)));
    b = hn::Add(b, hn::Add(hn::LoadU(d, values + i + 2 * lanes), hn::LoadU(d, values + i + 3 * lanes)));
    c = hn::Add(c, hn::Add(hn::LoadU(d, values + i + 4 * lanes), hn::LoadU(d, values + i + 5 * lanes)));
    e = hn::Add(e, hn::Add(hn::LoadU(d, values + i + 6 * lanes), hn::LoadU(d, values + i + 7 * lanes)));
  }
  *sink += hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(a, b), hn::Add(c, e))));
  return static_cast<double>(count) * sizeof(float);
}

}  // namespace HWY_NAMESPACE
}  // namespace fdqc
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fdqc {
namespace {

HWY_EXPORT(multiply_add);
HWY_EXPORT(read);

using Clock = std::chrono::steady_clock;

// Of all threads together: larger than the caches of one socket.
constexpr int64_t kBufferFloats = int64_t{1} << 26;
// What one call of the loops does, so that a clock is read seldom.
constexpr int64_t kRounds = 1 << 14;
constexpr int64_t kBlock = 1 << 18;
// The roof is the best of several slices: what disturbs a slice lowers it.
constexpr int kSlices = 8;

// Threads that are let go together and joined whatever happens.
class Team {
 public:
  ~Team() { join(); }
  template <typename F>
  void add(F&& body) {
    threads_.emplace_back([this, body] {
      while (!go_.load()) std::this_thread::yield();
      body();
    });
  }
  void join() {
    go_ = true;
    for (std::thread& t : threads_) t.join();
    threads_.clear();
  }

 private:
  std::atomic<bool> go_{false};
  std::vector<std::thread> threads_;
};

// work(thread, call) answers what it did; the best rate of all threads
// together.
template <typename F>
double best_rate(int threads, double seconds, const F& work) {
  const auto slice = std::chrono::duration<double>(seconds / kSlices);
  double best = 0;
  for (int i = 0; i < kSlices; ++i) {
    std::vector<double> rates(threads);
    Team team;
    for (int t = 0; t < threads; ++t) {
      team.add([&, t] {
        const auto start = Clock::now();
        std::chrono::duration<double> elapsed{0};
        double done = 0;
        for (int64_t call = 0; elapsed < slice || call == 0; ++call) {
          done += work(t, call);
          elapsed = Clock::now() - start;
        }
        rates[t] = done / elapsed.count();
      });
    }
    team.join();
    double sum = 0;
    for (const double rate : rates) sum += rate;
    best = std::max(best, sum);
  }
  return best;
}

}  // namespace

namespace api {

fdqc_status* roofline_measure(int32_t threads, double seconds,
                              fdqc_roofline* out) noexcept {
  return guard([&] {
    require(threads >= 1 && threads <= 1024, "threads ", threads,
            " is not 1 to 1024");
    require(seconds > 0 && seconds <= 60, "seconds ", seconds,
            " is not above 0 and at most 60");
    require(out != nullptr, "out is NULL");
    fdqc_roofline roofline;
    // A line of its own for each thread's sink.
    std::vector<float> sinks(threads * 16, 0.0f);
    roofline.flops_per_second = best_rate(threads, seconds / 2, [&](int t, int64_t) {
      return HWY_DYNAMIC_DISPATCH(multiply_add)(kRounds, &sinks[t * 16]);
    });
    // Written once: pages that were not are one page of zeros, in the cache.
    const std::vector<float> buffer(kBufferFloats, 1.0f);
    const int64_t blocks = kBufferFloats / kBlock / threads + 1;
    roofline.bytes_per_second = best_rate(threads, seconds / 2, [&](int t, int64_t call) {
      const int64_t block = (t * blocks + call % blocks) % (kBufferFloats / kBlock);
      return HWY_DYNAMIC_DISPATCH(read)(&buffer[block * kBlock], kBlock, &sinks[t * 16]);
    });
    // Reads what the loops computed, so that they compute it.
    for (const float sink : sinks) require(sink >= 0, "a sum of ones is ", sink);
    *out = roofline;
  });
}

}  // namespace api
}  // namespace fdqc
#endif  // HWY_ONCE
