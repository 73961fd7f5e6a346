#include "nvrtc.h"

#include <dirent.h>
#include <dlfcn.h>

#include <algorithm>

#include "device.h"
#include "symbol.h"

namespace fdqc {
namespace {

// Made by build.mk of the files in cuda/.
constexpr char kSource[] =
#include "validate.cu.inc"
    ;
constexpr char kArguments[] =
#include "arguments.h.inc"
    ;

// NVRTC opens its second half by name, where the loader may not look: what is
// loaded already, the loader takes.
void open_builtins(const std::string& folder) {
  DIR* const list = opendir(folder.c_str());
  if (list == nullptr) return;
  while (const dirent* entry = readdir(list)) {
    const std::string name = entry->d_name;
    if (name.rfind("libnvrtc-builtins.so", 0) == 0) {
      dlopen((folder + "/" + name).c_str(), RTLD_NOW | RTLD_LOCAL);
    }
  }
  closedir(list);
}

}  // namespace

std::vector<std::string> Nvrtc::beside(const std::string& libtorch) {
  return {libtorch + "/../../nvidia/cu13/lib",
          libtorch + "/../../nvidia/cuda_nvrtc/lib", libtorch};
}

Nvrtc Nvrtc::open(const std::vector<std::string>& folders) {
  void* library = nullptr;
  std::string looked;
  for (const std::string& folder : folders) {
    open_builtins(folder);
    library = dlopen((folder + "/libnvrtc.so.13").c_str(),
                     RTLD_NOW | RTLD_LOCAL);
    if (library != nullptr) break;
    looked += " " + folder;
  }
  if (library == nullptr) {
    throw DriverError(-1, "there is no libnvrtc.so.13 in" + looked);
  }
  Nvrtc n;
  find(library, "nvrtcCreateProgram", n.create_);
  find(library, "nvrtcCompileProgram", n.compile_);
  find(library, "nvrtcDestroyProgram", n.destroy_);
  find(library, "nvrtcGetProgramLogSize", n.log_size_);
  find(library, "nvrtcGetProgramLog", n.log_);
  find(library, "nvrtcGetCUBINSize", n.cubin_size_);
  find(library, "nvrtcGetCUBIN", n.cubin_);
  find(library, "nvrtcGetPTXSize", n.ptx_size_);
  find(library, "nvrtcGetPTX", n.ptx_);
  find(library, "nvrtcGetNumSupportedArchs", n.archs_count_);
  find(library, "nvrtcGetSupportedArchs", n.archs_);
  find(library, "nvrtcGetErrorString", n.error_);
  return n;
}

void Nvrtc::check(int error, const char* call) const {
  if (error == 0) return;
  throw DriverError(-1, std::string(call) + ": " + error_(error));
}

std::string Nvrtc::compile(int64_t n, int capability) const {
  int count = 0;
  check(archs_count_(&count), "nvrtcGetNumSupportedArchs");
  std::vector<int> archs(count);
  check(archs_(archs.data()), "nvrtcGetSupportedArchs");
  const bool known =
      std::find(archs.begin(), archs.end(), capability) != archs.end();
  int target = capability;
  if (!known) {
    // The newest that is older: its PTX the driver compiles for what is newer.
    const auto newer = std::upper_bound(archs.begin(), archs.end(), capability);
    if (newer == archs.begin()) {
      throw DriverError(-1, "NVRTC compiles nothing for compute capability " +
                                std::to_string(capability));
    }
    target = *(newer - 1);
  }
  const std::string arch = std::string("--gpu-architecture=") +
                           (known ? "sm_" : "compute_") +
                           std::to_string(target);
  const std::string width = "-DFDQC_N=" + std::to_string(n);
  // Which pattern is nearest is defined by sums that round twice.
  const std::vector<const char*> options = {arch.c_str(), width.c_str(),
                                            "--std=c++17", "--fmad=false"};
  const char* const header = kArguments;
  const char* const name = "arguments.h";
  struct Program {
    const Nvrtc& of;
    void* at = nullptr;
    ~Program() { of.destroy_(&at); }
  } program{*this};
  check(create_(&program.at, kSource, "validate.cu", 1, &header, &name),
        "nvrtcCreateProgram");
  const int failed = compile_(program.at, static_cast<int>(options.size()),
                              options.data());
  size_t size = 0;
  if (failed != 0) {
    std::string log;
    if (log_size_(program.at, &size) == 0 && size > 0) {
      log.resize(size);
      log_(program.at, log.data());
    }
    throw DriverError(-1, std::string("nvrtcCompileProgram: ") +
                              error_(failed) + ": " + log.c_str());
  }
  check((known ? cubin_size_ : ptx_size_)(program.at, &size),
        "nvrtcGetCUBINSize");
  std::string image(size, '\0');
  check((known ? cubin_ : ptx_)(program.at, image.data()), "nvrtcGetCUBIN");
  return image;
}

}  // namespace fdqc
