#include "kernels.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <utility>

#include "api.h"
#include "nvrtc.h"
#include "runtime.h"
#include "status.h"

namespace fdqc {
namespace {

// CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR.
constexpr int kMajor = 75, kMinor = 76;
// Blocks of a grid from which on the largest GPUs are busy, a few times over.
constexpr int64_t kBusyBlocks = 2048;
constexpr int64_t kLeastChunk = 4 * cuda::kPatternTile;

std::string libtorch_folder;
// By place and workspace dimension, what is loaded; NULL what cannot be.
std::map<std::pair<int32_t, int64_t>, std::unique_ptr<Kernels>> loaded;
std::map<int32_t, std::string> reports;

}  // namespace

Kernels::Kernels(const Driver& driver, int32_t device, int64_t n,
                 const std::string& image)
    : driver_(driver), n_(n) {
  int number = 0;
  driver_.check(driver_.cuDeviceGet(&number, device), "cuDeviceGet");
  // The context that LibTorch computes in; it is never given back.
  driver_.check(driver_.cuDevicePrimaryCtxRetain(&context_, number),
                "cuDevicePrimaryCtxRetain");
  driver_.check(driver_.cuCtxSetCurrent(context_), "cuCtxSetCurrent");
  void* module = nullptr;
  driver_.check(driver_.cuModuleLoadData(&module, image.data()),
                "cuModuleLoadData");
  const std::pair<const char*, void**> functions[] = {
      {"fdqc_settle", &settle_},           {"fdqc_scan", &scan_},
      {"fdqc_scan_repair", &scan_repair_}, {"fdqc_scan_finish", &scan_finish_},
      {"fdqc_match", &match_},             {"fdqc_judge", &judge_}};
  for (const auto& [name, to] : functions) {
    driver_.check(driver_.cuModuleGetFunction(to, module, name), name);
  }
}

void Kernels::launch(void* function, int64_t threads, int64_t y,
                     const void* arguments, void* stream) const {
  const int64_t blocks = (threads + cuda::kThreads - 1) / cuda::kThreads;
  // A grid's limits are 2^31 - 1 and 65,535; tiles are far below them.
  require(blocks < (int64_t{1} << 31) && y < 65536, "kernel: a grid of ",
          blocks, " by ", y, " blocks");
  if (blocks == 0 || y == 0) return;
  // The thread may have come without a context, or with another device's.
  driver_.check(driver_.cuCtxSetCurrent(context_), "cuCtxSetCurrent");
  void* list[] = {const_cast<void*>(arguments)};
  driver_.check(driver_.cuLaunchKernel(
                    function, static_cast<unsigned>(blocks),
                    static_cast<unsigned>(y), 1, cuda::kThreads, 1, 1, 0,
                    stream, list, nullptr),
                "cuLaunchKernel");
}

void Kernels::settle(const cuda::Settle& a, void* stream) const {
  launch(settle_, a.rows, 1, &a, stream);
}

void Kernels::scan(const cuda::Scan& a, void* stream) const {
  const int64_t blocks = (a.rows + cuda::kScanBlock - 1) / cuda::kScanBlock;
  launch(scan_, blocks * a.n, 1, &a, stream);
  if (blocks > 1) launch(scan_repair_, a.n, 1, &a, stream);
  launch(scan_finish_, a.rows * a.n, 1, &a, stream);
}

void Kernels::match(const cuda::Match& a, void* stream) const {
  launch(match_, a.rows, int64_t{a.sides[0].chunks} + a.sides[1].chunks, &a,
         stream);
}

void Kernels::judge(const cuda::Verdict& a, void* stream) const {
  launch(judge_, a.rows, 1, &a, stream);
}

int64_t chunk_of(int64_t patterns, int64_t rows) {
  const int64_t blocks = (rows + cuda::kThreads - 1) / cuda::kThreads;
  const int64_t chunks = std::max<int64_t>(1, kBusyBlocks / 2 / blocks);
  const int64_t chunk = std::max((patterns + chunks - 1) / chunks, kLeastChunk);
  return (chunk + cuda::kPatternTile - 1) / cuda::kPatternTile *
         cuda::kPatternTile;
}

int capability_of(const Driver& driver, int32_t device) {
  int number = 0, major = 0, minor = 0;
  driver.check(driver.cuDeviceGet(&number, device), "cuDeviceGet");
  driver.check(driver.cuDeviceGetAttribute(&major, kMajor, number),
               "cuDeviceGetAttribute");
  driver.check(driver.cuDeviceGetAttribute(&minor, kMinor, number),
               "cuDeviceGetAttribute");
  return 10 * major + minor;
}

void set_kernel_compiler(const std::string& libtorch) {
  libtorch_folder = libtorch;
}

const Kernels* kernels_of(const Place& place, int64_t n) {
  const auto key = std::make_pair(place.number, n);
  const auto found = loaded.find(key);
  if (found != loaded.end()) return found->second.get();
  std::unique_ptr<Kernels> made;
  std::string report;
  if (n > cuda::kMostWidth) {
    report = "operators of LibTorch: there are kernels for a workspace of 2 to " +
             std::to_string(cuda::kMostWidth);
  } else if (place.at.is_cpu()) {
    report = "operators of LibTorch: the device is the CPU";
  } else {
    try {
      const Driver driver = Driver::open();
      const int capability = capability_of(driver, place.number);
      made = std::make_unique<Kernels>(
          driver, place.number, n,
          Nvrtc::open(Nvrtc::beside(libtorch_folder)).compile(n, capability));
      report = "kernels for compute capability " +
               std::to_string(capability / 10) + "." +
               std::to_string(capability % 10);
      const std::string wrong = check_kernels(place, n, *made);
      if (!wrong.empty()) {
        made.reset();
        report = "operators of LibTorch: the kernels failed their check: " +
                 wrong;
      }
    } catch (const DriverError& e) {
      made.reset();
      report = std::string("operators of LibTorch: ") + e.what();
    }
  }
  reports[place.number] = report;
  return (loaded[key] = std::move(made)).get();
}

namespace api {

fdqc_status* device_info(int32_t device, fdqc_device_info* out) noexcept {
  return guard([&] {
    require(out != nullptr, "device info: out is NULL");
    require(device >= 0 && device < std::max(1, cuda_devices()),
            "device info: ", device, " is no CUDA device in use");
    Place place;
    place.number = device;
    fdqc_device_info info{};
    const auto report = reports.find(device);
    if (report != reports.end()) {
      std::strncpy(info.kernels, report->second.c_str(),
                   sizeof(info.kernels) - 1);
    }
    const DeviceCounts& counts = counts_of(place);
    info.out_of_memory = counts.out_of_memory;
    info.tile_rows = counts.tile_rows;
    info.lost = is_lost(place) ? 1 : 0;
    *out = info;
  });
}

}  // namespace api

}  // namespace fdqc
