// The CUDA driver and the kernels of cuda/validate.cu on the CPU: the same text
// compiled as C++, a thread for each thread of a block where threads meet.
#pragma once

#include <cstdint>
#include <memory>

#include "driver.h"
#include "kernels.h"

namespace fdqc::emulation {

// What a launch does wrong, to be found out.
enum class Damage { kNone, kNearest, kState, kFlags, kLaunchFails };

// A driver of one device, of compute capability 9.0, whose memory is the
// host's. The image of a module is the workspace dimension in digits.
Driver driver();

// The kernels of a workspace dimension: 2, 3, 8, 12, 16 or 31.
std::unique_ptr<Kernels> kernels(int64_t n);

void set_damage(Damage damage);
int64_t launches();  // since the process began

}  // namespace fdqc::emulation
