// What this machine can do at best: the roof that a benchmark puts its
// figures under. Free of LibTorch.
#pragma once

#include "fdqc.h"

namespace fdqc::api {

fdqc_status* roofline_measure(int32_t threads, double seconds,
                              fdqc_roofline* out) noexcept;

}  // namespace fdqc::api
