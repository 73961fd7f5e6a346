#include "pool.h"

#include <pthread.h>

#include <chrono>
#include <stdexcept>
#include <utility>

namespace fdqc {
namespace {

thread_local bool inside_tile = false;

class Inside {
 public:
  Inside() : before_(inside_tile) { inside_tile = true; }
  ~Inside() { inside_tile = before_; }

 private:
  bool before_;
};

void relax() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#else
  std::atomic_signal_fence(std::memory_order_seq_cst);
#endif
}

// Looks for about 100 us whether `ready` holds. Gives the CPU away between
// looks, for a process that has fewer CPUs than threads.
template <typename Ready>
bool spin(Ready ready) {
  const auto until =
      std::chrono::steady_clock::now() + std::chrono::microseconds(100);
  do {
    for (int i = 0; i < 64; ++i) {
      if (ready()) return true;
      relax();
    }
    std::this_thread::yield();
  } while (std::chrono::steady_clock::now() < until);
  return ready();
}

}  // namespace

namespace {

// Never destroyed: a thread may be computing when the process ends.
std::atomic<Pool*> of_process{nullptr};

}  // namespace

Pool& Pool::instance() {
  static const int made = [] {
    of_process.store(new Pool);
    // A process that forks off has none of the threads.
    return pthread_atfork(nullptr, nullptr,
                          [] { of_process.store(new Pool); });
  }();
  (void)made;
  return *of_process.load();
}

Pool::~Pool() { stop(); }

int Pool::threads() const { return threads_.load(); }

void Pool::resize(int threads) {
  if (threads < 1) throw std::invalid_argument("pool: fewer than one thread");
  if (inside_tile) throw std::logic_error("pool: resize inside a tile");
  const std::lock_guard<std::mutex> hold(gate_);
  if (threads == threads_.load()) return;
  stop();
  const uint64_t seen = round_.load();
  try {
    while (static_cast<int>(workers_.size()) < threads - 1) {
      workers_.emplace_back([this, seen] { work(seen); });
    }
  } catch (...) {
    stop();
    throw;
  }
  threads_.store(threads);
}

void Pool::stop() {
  {
    const std::lock_guard<std::mutex> hold(sleep_);
    stopping_.store(true);
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
  workers_.clear();
  threads_.store(1);
  stopping_.store(false);
}

void Pool::run(int64_t tiles, const std::function<void(int64_t)>& body) {
  if (tiles <= 0) return;
  if (inside_tile || tiles == 1 || threads_.load() == 1) {
    const Inside inside;
    for (int64_t i = 0; i < tiles; ++i) body(i);
    return;
  }
  const std::lock_guard<std::mutex> hold(gate_);
  failed_.store(false);
  failure_ = nullptr;
  {
    const std::lock_guard<std::mutex> publish(sleep_);
    body_ = &body;
    tiles_ = tiles;
    next_.store(0);
    open_ = true;
    round_.fetch_add(1);
  }
  wake_.notify_all();
  claim();
  {
    const std::lock_guard<std::mutex> close(sleep_);
    open_ = false;
  }
  const auto finished = [this] { return joined_.load() == 0; };
  if (!spin(finished)) {
    std::unique_lock<std::mutex> wait(sleep_);
    done_.wait(wait, finished);
  }
  body_ = nullptr;
  if (failed_.load()) {
    std::rethrow_exception(std::exchange(failure_, nullptr));
  }
}

void Pool::claim() {
  const Inside inside;
  for (;;) {
    const int64_t tile = next_.fetch_add(1);
    if (tile >= tiles_) return;
    try {
      (*body_)(tile);
    } catch (...) {
      // The first one; the others find the flag set.
      if (!failed_.exchange(true)) failure_ = std::current_exception();
      next_.store(tiles_);
    }
  }
}

// Waits for a run after `seen` and takes part if it is still open. False when
// the pool stops.
bool Pool::join(uint64_t& seen) {
  const auto ready = [this, &seen] {
    return stopping_.load() || round_.load() != seen;
  };
  for (;;) {
    const bool soon = spin(ready);
    std::unique_lock<std::mutex> hold(sleep_);
    if (!soon) wake_.wait(hold, ready);
    if (stopping_.load()) return false;
    seen = round_.load();
    if (!open_) continue;
    joined_.fetch_add(1);
    return true;
  }
}

void Pool::leave() {
  if (joined_.fetch_sub(1) != 1) return;
  const std::lock_guard<std::mutex> hold(sleep_);
  done_.notify_one();
}

void Pool::work(uint64_t seen) {
  while (join(seen)) {
    claim();
    leave();
  }
}

}  // namespace fdqc
