#include "driver.h"

#include <dlfcn.h>

#include "device.h"
#include "symbol.h"

namespace fdqc {
Driver Driver::open() {
  void* const library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) throw DriverError(-1, dlerror());
  Driver d;
  find(library, "cuDeviceGet", d.cuDeviceGet);
  find(library, "cuDeviceGetAttribute", d.cuDeviceGetAttribute);
  find(library, "cuDevicePrimaryCtxRetain", d.cuDevicePrimaryCtxRetain);
  find(library, "cuCtxSetCurrent", d.cuCtxSetCurrent);
  find(library, "cuModuleLoadData", d.cuModuleLoadData);
  find(library, "cuModuleGetFunction", d.cuModuleGetFunction);
  find(library, "cuLaunchKernel", d.cuLaunchKernel);
  find(library, "cuGetErrorString", d.cuGetErrorString);
  return d;
}

void Driver::check(int error, const char* call) const {
  if (error == 0) return;
  const char* text = nullptr;
  if (cuGetErrorString(error, &text) != 0 || text == nullptr) text = "unknown";
  throw DriverError(error, std::string(call) + ": " + text + " (error " +
                               std::to_string(error) + ")");
}

}  // namespace fdqc
