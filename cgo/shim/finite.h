// Whether numbers of host memory are finite.
#pragma once

#include <cstdint>
#include <cstring>

namespace fdqc {

// By the exponent bits: a loop that compilers vectorise.
inline bool finite(const float* from, int64_t count) {
  constexpr uint32_t kExponent = 0x7f800000u;
  uint32_t bad = 0;
  for (int64_t i = 0; i < count; ++i) {
    uint32_t bits;
    std::memcpy(&bits, from + i, sizeof(bits));
    bad |= static_cast<uint32_t>((bits & kExponent) == kExponent);
  }
  return bad == 0;
}

}  // namespace fdqc
