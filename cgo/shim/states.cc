#include <algorithm>
#include <memory>

#include "api.h"
#include "handles.h"
#include "host.h"

namespace fdqc::api {

fdqc_status* states_new(int32_t device, int32_t n, const float* real,
                        const float* imag, fdqc_states** out) noexcept {
  return guard([&] {
    require(out != nullptr, "states: out is NULL");
    require(real != nullptr, "states: real is NULL");
    require(imag != nullptr, "states: imag is NULL");
    require_workspace(n);
    const c10::Device on = device_of(device);
    auto states = std::make_unique<fdqc_states>();
    states->n = n;
    states->device = on;
    if (on.is_cpu()) {
      states->host.emplace(n, real, imag);
    } else {
      states->loaded_real = copy_in(real, {n}, on);
      states->loaded_imag = copy_in(imag, {n}, on);
      states->real = copy_in(real, {1, n}, on);
    }
    *out = states.release();
  });
}

fdqc_status* states_read(const fdqc_states* states, int32_t slot, float* real,
                         float* imag) noexcept {
  return guard([&] {
    require(states != nullptr, "read state: the handle is NULL");
    require(real != nullptr && imag != nullptr,
            "read state: real or imag is NULL");
    require(slot >= 0, "read state: slot ", slot, " is negative");
    if (states->host) {
      std::copy_n(states->host->real(slot), states->n, real);
      std::copy_n(states->host->imag(), states->n, imag);
      return;
    }
    // A slot that no batch has named yet is as loaded.
    copy_out(slot < states->real.size(0) ? states->real[slot]
                                         : states->loaded_real,
             real);
    copy_out(states->loaded_imag, imag);
  });
}

fdqc_status* states_free(fdqc_states* states) noexcept {
  return guard([&] { delete states; });
}

}  // namespace fdqc::api
