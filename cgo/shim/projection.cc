#include <memory>

#include "api.h"
#include "handles.h"
#include "host.h"

namespace fdqc::api {

fdqc_status* projection_new(int32_t device, int32_t n, int32_t d,
                            const float* weight, const float* bias,
                            fdqc_projection** out) noexcept {
  return guard([&] {
    require(out != nullptr, "projection: out is NULL");
    require(weight != nullptr, "projection: weight is NULL");
    require(bias != nullptr, "projection: bias is NULL");
    require_workspace(n);
    require(d >= 1 && d <= 4096, "projection: width ", d, " is not 1 to 4096");
    const Place place = place_of(device);
    auto projection = std::make_unique<fdqc_projection>();
    projection->n = n;
    projection->d = d;
    projection->place = place;
    if (place.host()) {
      projection->packed.emplace(n, d, weight, bias);
    } else {
      on_device(place, [&] {
        device_step(0);
        projection->weight = copy_in(weight, {n, d}, place.at);
        projection->bias = copy_in(bias, {n}, place.at);
      });
    }
    *out = projection.release();
  });
}

fdqc_status* projection_free(fdqc_projection* projection) noexcept {
  return guard([&] { delete projection; });
}

}  // namespace fdqc::api
