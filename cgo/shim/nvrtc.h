// NVRTC, NVIDIA's compiler of kernels at run time: it comes with LibTorch's CUDA
// packages, is found at run time, and needs neither a driver nor a GPU.
#pragma once

#include <string>
#include <vector>

namespace fdqc {

class Nvrtc {
 public:
  // The first of the folders with libnvrtc; it stays open. Throws DriverError
  // naming the folders when none has it.
  static Nvrtc open(const std::vector<std::string>& folders);

  // The folders where the packages beside a lib folder of LibTorch have it.
  static std::vector<std::string> beside(const std::string& libtorch);

  // The kernels of validate.cu for a workspace dimension and a compute
  // capability (90 is 9.0): machine code, or PTX where NVRTC knows the
  // capability not yet. Throws DriverError with the compiler's words.
  std::string compile(int64_t n, int capability) const;

 private:
  void check(int error, const char* call) const;

  int (*create_)(void** program, const char* source, const char* name,
                 int headers, const char* const* texts,
                 const char* const* names);
  int (*compile_)(void* program, int options, const char* const* list);
  int (*destroy_)(void** program);
  int (*log_size_)(void* program, size_t* size);
  int (*log_)(void* program, char* to);
  int (*cubin_size_)(void* program, size_t* size);
  int (*cubin_)(void* program, char* to);
  int (*ptx_size_)(void* program, size_t* size);
  int (*ptx_)(void* program, char* to);
  int (*archs_count_)(int* count);
  int (*archs_)(int* list);
  const char* (*error_)(int error);
};

}  // namespace fdqc
