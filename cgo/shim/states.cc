#include <algorithm>
#include <memory>
#include <vector>

#include "api.h"
#include "device_batch.h"
#include "handles.h"
#include "host.h"
#include "kernels.h"

namespace fdqc {
std::unique_ptr<fdqc_states> make_states(const Place& place, cpu::States host,
                                         bool kernels) {
  const int64_t n = host.n();
  auto states = std::make_unique<fdqc_states>();
  states->n = static_cast<int32_t>(n);
  states->place = place;
  states->host.emplace(std::move(host));
  if (place.host()) return states;
  on_device(place, [&] {
    device_step(0);
    const cpu::States& from = *states->host;
    states->loaded_real = copy_in(from.loaded_real(), {n}, place.at);
    states->loaded_imag = copy_in(from.imag(), {n}, place.at);
    states->real = copy_in(from.real(0), {from.slots(), n}, place.at);
    states->room = std::make_shared<DeviceRoom>(place.at);
    if (kernels) states->kernels = kernels_of(place, n);
  });
  return states;
}

namespace api {

fdqc_status* states_new(int32_t device, int32_t n, const float* real,
                        const float* imag, fdqc_states** out) noexcept {
  return guard([&] {
    require(out != nullptr, "states: out is NULL");
    require(real != nullptr, "states: real is NULL");
    require(imag != nullptr, "states: imag is NULL");
    require_workspace(n);
    const Place place = place_of(device);
    *out = make_states(place, {n, real, imag}, /*kernels=*/true).release();
  });
}

fdqc_status* states_copy(const fdqc_states* from, int32_t device,
                         fdqc_states** out) noexcept {
  return guard([&] {
    require(from != nullptr, "copy states: the handle is NULL");
    require(out != nullptr, "copy states: out is NULL");
    *out = make_states(place_of(device), *from->host, /*kernels=*/true)
               .release();
  });
}

fdqc_status* states_read(const fdqc_states* states, int32_t slot, float* real,
                         float* imag) noexcept {
  return guard([&] {
    require(states != nullptr, "read state: the handle is NULL");
    require(real != nullptr && imag != nullptr,
            "read state: real or imag is NULL");
    require(slot >= 0, "read state: slot ", slot, " is negative");
    std::copy_n(states->host->real(slot), states->n, real);
    std::copy_n(states->host->imag(), states->n, imag);
  });
}

fdqc_status* states_free(fdqc_states* states) noexcept {
  return guard([&] {
    if (states != nullptr && is_lost(states->place)) {
      // To give pinned memory back LibTorch asks the device, which throws where
      // nothing may be thrown. The process keeps it.
      static auto* const kept = new std::vector<std::shared_ptr<DeviceRoom>>;
      kept->push_back(states->room);
    }
    delete states;
  });
}

}  // namespace api
}  // namespace fdqc
