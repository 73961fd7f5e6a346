#include <memory>

#include "api.h"
#include "handles.h"
#include "host.h"

namespace fdqc::api {

fdqc_status* weights_new(int32_t device, int32_t n,
                         const float* const tensors[6],
                         fdqc_weights** out) noexcept {
  return guard([&] {
    require(out != nullptr, "weights: out is NULL");
    require(tensors != nullptr, "weights: tensors is NULL");
    require_workspace(n);
    const Place place = place_of(device);
    for (int i = 0; i < 6; ++i) {
      require(tensors[i] != nullptr, "weights: tensor ", i, " is NULL");
    }
    auto weights = std::make_unique<fdqc_weights>();
    weights->n = n;
    weights->place = place;
    if (place.host()) {
      weights->packed.emplace(n, tensors);
    } else {
      const std::vector<int64_t> shapes[6] = {
          {64, 2 * int64_t{n}}, {64}, {32, 64}, {32}, {1, 32}, {1}};
      on_device(place, [&] {
        device_step(0);
        for (int i = 0; i < 6; ++i) {
          weights->tensors.push_back(copy_in(tensors[i], shapes[i], place.at));
        }
      });
    }
    *out = weights.release();
  });
}

fdqc_status* weights_free(fdqc_weights* weights) noexcept {
  return guard([&] { delete weights; });
}

}  // namespace fdqc::api
