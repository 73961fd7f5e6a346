// The few calls of the CUDA driver that launching kernels needs, found at run
// time: nothing here is built against CUDA. Names and numbers are those of the
// driver API (CUDA 13.0 reference, sections 6.6 to 6.22), in which they have
// been the same since CUDA 4 and 7.
#pragma once

#include <cstdint>
#include <string>

namespace fdqc {

struct Driver {
  int (*cuDeviceGet)(int* device, int ordinal);
  int (*cuDeviceGetAttribute)(int* value, int attribute, int device);
  int (*cuDevicePrimaryCtxRetain)(void** context, int device);
  int (*cuCtxSetCurrent)(void* context);
  int (*cuModuleLoadData)(void** module, const void* image);
  int (*cuModuleGetFunction)(void** function, void* module, const char* name);
  int (*cuLaunchKernel)(void* function, unsigned grid_x, unsigned grid_y,
                        unsigned grid_z, unsigned block_x, unsigned block_y,
                        unsigned block_z, unsigned shared_bytes, void* stream,
                        void** arguments, void** extra);
  int (*cuGetErrorString)(int error, const char** text);

  // libcuda.so.1, which stays open. Throws DriverError.
  static Driver open();

  // Throws DriverError, with what the driver calls the error, unless it is 0.
  void check(int error, const char* call) const;
};

}  // namespace fdqc
