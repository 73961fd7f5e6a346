// The order of tiles that run side by side. No LibTorch in here.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>

namespace fdqc::cpu {

// Lets tiles into the part of their work that has an order, one by one. The
// pool hands tiles out in order, so the one that is waited for always runs; a
// tile that fails must say so, or those behind it wait for ever.
class Turn {
 public:
  // True when the tile before has passed, false when any tile failed.
  bool wait(int64_t tile) const {
    for (int look = 1; now_.load(std::memory_order_acquire) != tile; ++look) {
      if (failed_.load(std::memory_order_relaxed)) return false;
      // Gives the CPU away now and then: the tile before may need it.
      if (look % 64 == 0) {
        std::this_thread::yield();
      } else {
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#endif
      }
    }
    return true;
  }
  void pass(int64_t tile) { now_.store(tile + 1, std::memory_order_release); }
  void fail() { failed_.store(true, std::memory_order_relaxed); }

 private:
  std::atomic<int64_t> now_{0};
  std::atomic<bool> failed_{false};
};

}  // namespace fdqc::cpu
