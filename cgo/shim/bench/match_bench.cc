// Rows per second of matching, beside what this machine's FMA units can do:
// alternating turns in one process on one thread, the best turn of each.
//
// usage: match_bench [patterns a side]
#include <time.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <limits>
#include <random>
#include <vector>

#include "bench/roof.h"
#include "side_index.h"

namespace {

using fdqc::Found;
using fdqc::SideIndex;

// Of this thread's processor: what else runs here only disturbs the caches.
double seconds(const std::function<void()>& body) {
  const auto now = [] {
    timespec at;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at);
    return static_cast<double>(at.tv_sec) +
           1e-9 * static_cast<double>(at.tv_nsec);
  };
  const double start = now();
  body();
  return now() - start;
}

// The shortest of some alternating turns of several bodies, each a few
// milliseconds long.
std::vector<double> fastest(std::vector<std::function<void()>> bodies) {
  constexpr double kTurn = 1e-3, kAll = 0.5;
  constexpr int kLeast = 3, kMost = 200;
  std::vector<double> best(bodies.size(),
                           std::numeric_limits<double>::infinity());
  std::vector<int64_t> times;
  for (const auto& body : bodies) {
    body();
    times.push_back(1 + static_cast<int64_t>(kTurn / seconds(body)));
  }
  double spent = 0;
  for (int turn = 0; turn < kLeast || (turn < kMost && spent < kAll); ++turn) {
    for (size_t i = 0; i < bodies.size(); ++i) {
      const double all = seconds([&] {
        for (int64_t k = 0; k < times[i]; ++k) bodies[i]();
      });
      spent += all;
      best[i] = std::min(best[i], all / static_cast<double>(times[i]));
    }
  }
  return best;
}

// What patterns and rows are: points of a normal distribution, or of some
// clusters that are `spread` wide and about one apart. Where float32 cannot
// tell the points of a cluster apart, all of them are compared directly.
struct Scene {
  const char* name;
  int64_t clusters;
  float spread;
};

void measure(const Scene& scene, int64_t n, int64_t patterns, int64_t batch) {
  std::mt19937 engine(1);
  std::normal_distribution<float> normal;
  std::vector<float> middles(scene.clusters * n);
  for (float& value : middles) value = normal(engine);
  const auto point = [&](float* to) {
    const int64_t at = static_cast<int64_t>(engine() % scene.clusters) * n;
    for (int64_t k = 0; k < n; ++k) {
      to[k] = middles[at + k] + scene.spread * normal(engine);
    }
  };
  std::vector<float> rows(patterns * 2 * n, 0.0f), z(batch * n);
  SideIndex safe(n), unsafe(n);
  for (SideIndex* side : {&safe, &unsafe}) {
    for (int64_t i = 0; i < patterns; ++i) point(&rows[i * 2 * n]);
    side->assign(rows.data(), patterns);
  }
  for (int64_t i = 0; i < batch; ++i) point(&z[i * n]);
  std::vector<Found> of_safe(batch), of_unsafe(batch);
  fdqc::MatchScratch scratch;
  SideIndex built(n);
  const std::vector<double> best = fastest({
      [&] {
        safe.refresh();
        unsafe.refresh();
        fdqc::nearest(safe, unsafe, z.data(), batch, of_safe.data(),
                      of_unsafe.data(), scratch);
      },
      [] { fdqc::bench::multiply_add(); },
      [&] { built.assign(rows.data(), patterns); },
  });
  const double roof = fdqc::bench::multiply_add_flops() / best[1];
  const double flops = 2.0 * 2 * n * patterns * batch;
  std::printf("%5lld %6lld %10.3f %12.0f %8.1f %8.1f %6.1f %% %9.1f\n",
              static_cast<long long>(n), static_cast<long long>(batch),
              best[0] * 1e6, batch / best[0], flops / best[0] * 1e-9,
              roof * 1e-9, 100 * flops / best[0] / roof, best[2] * 1e6);
}

}  // namespace

int main(int argc, char** argv) {
  const int64_t patterns = argc > 1 ? std::atoll(argv[1]) : 1000;
  std::printf("%lld patterns a side, %s\n", static_cast<long long>(patterns),
              fdqc::bench::target());
  const Scene scenes[] = {{"one normal distribution", 1, 1},
                          {"20 points, again and again", 20, 0},
                          {"4 clusters 1e-4 wide", 4, 1e-4f}};
  for (const Scene& scene : scenes) {
    std::printf("\n%s\n", scene.name);
    std::puts("    n  batch         us       rows/s   Gflop/s   roof   share"
              "  build us");
    for (const int64_t n : {8, 16, 384}) {
      for (const int64_t batch : {1, 64, 1024}) {
        measure(scene, n, patterns, batch);
      }
    }
  }
}
