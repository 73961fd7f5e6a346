// Matching through a tree beside sweeping over all patterns: CPU seconds of
// one thread, the best of alternating turns, and the number of patterns from
// which on a tree wins.
//
// usage: tree_bench [most patterns]
#include <time.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <limits>
#include <random>
#include <vector>

#include "match_kernels.h"
#include "tree.h"

namespace {

using fdqc::Found;

constexpr int64_t kBatch = 1024;

double now() {
  timespec at;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at);
  return static_cast<double>(at.tv_sec) +
         1e-9 * static_cast<double>(at.tv_nsec);
}

double seconds(const std::function<void()>& body) {
  const double start = now();
  body();
  return now() - start;
}

// Rows [count, n]: normal, or normal around a thousand middles.
std::vector<float> draw(std::mt19937_64& engine, int64_t n, int64_t count,
                        const std::vector<float>& middles) {
  std::normal_distribution<float> normal;
  std::vector<float> rows(count * n);
  for (int64_t i = 0; i < count; ++i) {
    const size_t middle = middles.empty() ? 0 : engine() % 1000 * n;
    for (int64_t k = 0; k < n; ++k) {
      rows[i * n + k] = middles.empty()
                            ? normal(engine)
                            : middles[middle + k] + 0.1f * normal(engine);
    }
  }
  return rows;
}

// Whether the tree wins.
bool measure(int64_t n, int64_t count, bool clusters) {
  std::mt19937_64 engine(1);
  std::vector<float> middles;
  if (clusters) {
    middles = draw(engine, n, 1000, {});
    for (float& value : middles) value *= 2;
  }
  const std::vector<float> heads = draw(engine, n, count, middles);
  const std::vector<float> z = draw(engine, n, kBatch, middles);
  fdqc::SideIndex side(n);
  {
    std::vector<float> rows(count * 2 * n, 0.0f);
    for (int64_t i = 0; i < count; ++i) {
      std::copy_n(&heads[i * n], n, &rows[i * 2 * n]);
    }
    side.assign(rows.data(), count);
  }
  const std::atomic<bool> go{false};
  std::unique_ptr<fdqc::Tree> tree;
  const double build = seconds(
      [&] { tree = fdqc::Tree::build(heads.data(), n, count, n, go); });
  const fdqc::Leaves none(n, 0);
  fdqc::MatchScratch scratch;
  const Found nothing{std::numeric_limits<double>::infinity(), -1};
  std::vector<Found> swept(kBatch), found(kBatch);
  fdqc::TreeWork work;
  // A sweep over many patterns takes long: fewer rows tell as much.
  const int64_t rows = std::clamp<int64_t>(100000000 / count, 48, kBatch);
  double sweep = std::numeric_limits<double>::infinity(), walk = sweep;
  const double end = now() + 1;
  do {
    sweep = std::min(sweep, seconds([&] {
                       std::fill(swept.begin(), swept.end(), nothing);
                       fdqc::match_range(side, 0, count, z.data(), rows,
                                         swept.data(), scratch);
                     }) / static_cast<double>(rows));
    walk = std::min(walk, seconds([&] {
                      std::fill(found.begin(), found.end(), nothing);
                      work = fdqc::search(*tree, none, z.data(), kBatch,
                                          found.data());
                    }) / kBatch);
  } while (now() < end);
  for (int64_t i = 0; i < rows; ++i) {
    if (swept[i].index != found[i].index) {
      std::printf("row %lld: another pattern\n", static_cast<long long>(i));
      std::exit(1);
    }
  }
  const double steps =
      static_cast<double>(work.leaves + work.nodes) / kBatch;
  std::printf("%4lld %-9s %8lld %10.0f %10.0f %7.2f %9.1f %10.0f %8.3f\n",
              static_cast<long long>(n), clusters ? "clusters" : "normal",
              static_cast<long long>(count), 1 / sweep, 1 / walk,
              sweep / walk, steps,
              walk / steps / (sweep / static_cast<double>(count)), build);
  return walk < sweep;
}

}  // namespace

int main(int argc, char** argv) {
  const int64_t most = argc > 1 ? std::atoll(argv[1]) : 1000000;
  std::puts("                           sweep       tree    tree     steps"
            "   patterns    build\n"
            "   n data      patterns  rows/s     rows/s  /sweep    a row"
            "     a step  seconds");
  for (const int64_t n : {4, 8, 12, 16}) {
    for (const bool clusters : {false, true}) {
      int64_t crossover = 0;
      for (int64_t count = 100; count <= most; count *= 10) {
        for (const int64_t part : {1, 2, 5}) {
          if (part * count > most) break;
          const bool wins = measure(n, part * count, clusters);
          if (!wins) crossover = 0;
          if (wins && crossover == 0) crossover = part * count;
        }
      }
      std::printf("     crossover: %lld patterns\n",
                  static_cast<long long>(crossover));
    }
  }
}
