// The CPU as device 0, for as long as one of these lives.
#pragma once

#include <cstdlib>
#include <string>

#include "device.h"

namespace fdqc {

struct Pretended {
  Pretended() { fail("none"); }
  ~Pretended() {
    unsetenv("FDQC_FAULT_DEVICE");
    forget_lost_devices();
  }
  Pretended(const Pretended&) = delete;
  Pretended& operator=(const Pretended&) = delete;

  // As FDQC_FAULT_DEVICE is read (device.h).
  void fail(const std::string& how) {
    setenv("FDQC_FAULT_DEVICE", how.c_str(), 1);
  }
};

}  // namespace fdqc
