// Judges batches under callgrind, so that the instructions of a kernel can be
// counted where its time cannot be trusted, and counts what the shim allocates.
//
//   valgrind --tool=callgrind --instr-atstart=no count libfdqc.so
//
// Prints a line for each case: its name, batches counted, rows of a batch,
// allocations of all its batches. Callgrind writes the instructions of each
// case under its name. One thread computes: what several do is no count.
#include <dlfcn.h>
#include <valgrind/callgrind.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "fdqc.h"

// The program's allocation functions stand before the C library's for every
// library that it loads (glibc manual, "Replacing malloc").
extern "C" {
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* old, size_t size);
void* __libc_memalign(size_t alignment, size_t size);
}

namespace {
std::atomic<int64_t> allocations{0};
}

extern "C" {
__attribute__((visibility("default"))) void* malloc(size_t size) {
  ++allocations;
  return __libc_malloc(size);
}
__attribute__((visibility("default"))) void* calloc(size_t count, size_t size) {
  ++allocations;
  return __libc_calloc(count, size);
}
__attribute__((visibility("default"))) void* realloc(void* old, size_t size) {
  ++allocations;
  return __libc_realloc(old, size);
}
__attribute__((visibility("default"))) void* aligned_alloc(size_t alignment, size_t size) {
  ++allocations;
  return __libc_memalign(alignment, size);
}
__attribute__((visibility("default"))) int posix_memalign(void** out, size_t alignment, size_t size) {
  ++allocations;
  *out = __libc_memalign(alignment, size);
  return *out == nullptr ? 12 : 0;  // ENOMEM
}
}

namespace {

const fdqc_table* table;

void check(fdqc_status* status) {
  if (status == nullptr) return;
  std::fprintf(stderr, "count: %s\n", status->message);
  std::exit(1);
}

// Numbers that are the same everywhere: a linear congruence (Knuth, The Art of
// Computer Programming 2, section 3.3.4, table 1, line 26), scaled to (-1, 1).
class Numbers {
 public:
  explicit Numbers(uint64_t seed) : state_(seed) {}
  std::vector<float> draw(size_t count, float scale) {
    std::vector<float> out(count);
    for (float& value : out) {
      state_ = state_ * 6364136223846793005u + 1442695040888963407u;
      value = scale * (static_cast<int32_t>(state_ >> 32) / 2147483648.0f);
    }
    return out;
  }

 private:
  uint64_t state_;
};

struct Case {
  int32_t d, n;
  int64_t patterns, rows;
  int batches;
};

// What fdqc bench measures: a row alone, small and large batches, a
// projection, the full width, a large memory.
constexpr Case kCases[] = {
    {8, 8, 1000, 1, 32},     {8, 8, 1000, 64, 4},      {8, 8, 1000, 1024, 1},
    {768, 8, 1000, 1024, 1}, {16, 16, 1000, 1024, 1},  {384, 384, 1000, 64, 1},
    {8, 8, 8000, 64, 1},
};

void count(const Case& c) {
  Numbers numbers(20);
  const auto d = static_cast<size_t>(c.d), n = static_cast<size_t>(c.n);
  std::vector<float> layers[6] = {
      numbers.draw(64 * 2 * n, 0.2f), numbers.draw(64, 0.1f), numbers.draw(32 * 64, 0.1f),
      numbers.draw(32, 0.1f),         numbers.draw(32, 0.2f), numbers.draw(1, 0.1f)};
  const float* tensors[6];
  for (int i = 0; i < 6; ++i) tensors[i] = layers[i].data();
  fdqc_weights* weights;
  check(table->weights_new(FDQC_DEVICE_CPU, c.n, tensors, &weights));
  fdqc_projection* projection = nullptr;
  if (d != n) {
    const auto weight = numbers.draw(n * d, 0.05f), bias = numbers.draw(n, 0.05f);
    check(table->projection_new(FDQC_DEVICE_CPU, c.n, c.d, weight.data(), bias.data(), &projection));
  }
  fdqc_patterns* patterns;
  check(table->patterns_new(FDQC_DEVICE_CPU, c.n, &patterns));
  for (const int32_t side : {FDQC_SAFE, FDQC_UNSAFE}) {
    std::vector<int64_t> index(c.patterns);
    for (int64_t i = 0; i < c.patterns; ++i) index[i] = i;
    std::vector<float> rows(c.patterns * 2 * n);
    for (int64_t i = 0; i < c.patterns; ++i) {
      const auto real = numbers.draw(n, 1);
      std::copy(real.begin(), real.end(), rows.begin() + i * 2 * n);
    }
    check(table->patterns_put(patterns, side, c.patterns, index.data(), rows.data(), index.data()));
  }
  const auto real = numbers.draw(n, 0.1f), imag = numbers.draw(n, 0.1f);
  fdqc_states* states;
  check(table->states_new(FDQC_DEVICE_CPU, c.n, real.data(), imag.data(), &states));

  const auto rows = numbers.draw(c.rows * d, 1);
  std::vector<fdqc_verdict> verdicts(c.rows);
  const fdqc_segment segment = {rows.data(), projection, c.rows, c.d, 0};
  fdqc_batch batch = {};
  batch.segments = &segment;
  batch.segment_count = 1;
  batch.count = c.rows;
  batch.weights = weights;
  batch.patterns = patterns;
  batch.states = states;
  batch.policy.entropy_threshold = 0.7f;
  batch.policy.collapse_threshold = 0.85f;
  batch.policy.block_threshold = 0.8f;
  batch.policy.tier = FDQC_TIER_GAMMA;

  // What grows or is built once does so in the first batches.
  for (int i = 0; i < 2; ++i) check(table->validate(&batch, verdicts.data()));
  const std::string name = "d=" + std::to_string(c.d) + ",n=" + std::to_string(c.n) +
                           ",patterns=" + std::to_string(c.patterns) + ",batch=" + std::to_string(c.rows);
  const int64_t before = allocations;
  CALLGRIND_START_INSTRUMENTATION;
  CALLGRIND_ZERO_STATS;
  for (int i = 0; i < c.batches; ++i) check(table->validate(&batch, verdicts.data()));
  CALLGRIND_DUMP_STATS_AT(name.c_str());
  CALLGRIND_STOP_INSTRUMENTATION;
  const int64_t allocated = allocations - before;
  std::printf("%s %d %lld %lld\n", name.c_str(), c.batches, static_cast<long long>(c.rows), static_cast<long long>(allocated));
  std::fflush(stdout);

  check(table->states_free(states));
  check(table->patterns_free(patterns));
  check(table->projection_free(projection));
  check(table->weights_free(weights));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: count libfdqc.so\n");
    return 2;
  }
  void* library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    std::fprintf(stderr, "count: %s\n", dlerror());
    return 1;
  }
  using Api = const fdqc_table* (*)(uint32_t);
  const auto api = reinterpret_cast<Api>(dlsym(library, "fdqc_api"));
  table = api == nullptr ? nullptr : api(FDQC_ABI_VERSION);
  if (table == nullptr) {
    std::fprintf(stderr, "count: %s has another ABI than %u\n", argv[1], FDQC_ABI_VERSION);
    return 1;
  }
  check(table->runtime_configure(1));
  for (const Case& c : kCases) count(c);
  return 0;
}
