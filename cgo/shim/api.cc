#include "api.h"

#include "roofline.h"
#include "status.h"

namespace fdqc {
namespace {

#ifdef FDQC_FAULTS
fdqc_status* fault_arm(int32_t kind) noexcept {
  return guard([&] { arm_fault(kind); });
}
#else
constexpr fdqc_status* (*fault_arm)(int32_t) = nullptr;
#endif

// In the order of the struct; a missing entry would not compile, since the
// last one would have the wrong type.
constexpr fdqc_table kTable = {
    FDQC_ABI_VERSION,
    sizeof(fdqc_table),
    free_status,
    api::runtime_configure,
    api::runtime_info,
    api::runtime_open_cuda,
    api::live_handles,
    api::weights_new,
    api::weights_free,
    api::projection_new,
    api::projection_free,
    api::patterns_new,
    api::patterns_put,
    api::patterns_truncate,
    api::patterns_free,
    api::states_new,
    api::states_read,
    api::states_free,
    api::project,
    api::validate,
    fault_arm,
    api::roofline_measure,
    api::device_info,
    api::states_copy,
    api::detector_fit,
    api::detector_distances,
    api::detector_nearest,
};

static_assert(sizeof(fdqc_verdict) == 64, "a verdict is 64 bytes");

}  // namespace
}  // namespace fdqc

extern "C" const fdqc_table* fdqc_api(uint32_t abi_version) {
  return abi_version == FDQC_ABI_VERSION ? &fdqc::kTable : nullptr;
}
