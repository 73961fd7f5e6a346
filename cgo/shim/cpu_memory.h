// Memory of the CPU kernel. No LibTorch in here.
#pragma once

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

namespace fdqc::cpu {

// Floats that start at a cache line, or, where they fill one, at a huge page
// (of 2 MB), which the kernel is asked to make them of.
class Floats {
 public:
  Floats() = default;
  // Zeros. Throws std::bad_alloc.
  explicit Floats(int64_t count) { reserve(count); }

  // Room for `count`; what was there is lost and all is zero when it grows.
  void reserve(int64_t count) {
    if (count <= room_) return;
    constexpr size_t kLine = 64, kHugePage = size_t{1} << 21;
    const size_t wanted = static_cast<size_t>(count) * sizeof(float);
    const size_t align = wanted >= kHugePage ? kHugePage : kLine;
    const size_t bytes = (wanted + align - 1) / align * align;
    void* const memory = std::aligned_alloc(align, bytes);
    if (memory == nullptr) throw std::bad_alloc();
    // Advice: without it everything works, only slower.
    if (align == kHugePage) (void)madvise(memory, bytes, MADV_HUGEPAGE);
    std::memset(memory, 0, bytes);
    floats_.reset(static_cast<float*>(memory));
    room_ = static_cast<int64_t>(bytes / sizeof(float));
  }

  float* data() { return floats_.get(); }
  const float* data() const { return floats_.get(); }

 private:
  struct Free {
    void operator()(float* memory) const { std::free(memory); }
  };
  std::unique_ptr<float[], Free> floats_;
  int64_t room_ = 0;
};

}  // namespace fdqc::cpu
