#include <algorithm>
#include <cmath>
#include <memory>

#include "api.h"
#include "handles.h"
#include "host.h"

namespace fdqc {

namespace {

PatternSide& side_of(fdqc_patterns* patterns, int32_t side) {
  require(patterns != nullptr, "patterns: the handle is NULL");
  require(side == FDQC_SAFE || side == FDQC_UNSAFE, "patterns: side ", side,
          " is neither 0 (safe) nor 1 (unsafe)");
  return patterns->sides[side];
}

// The side's count after the rows are put; throws before anything is written.
int64_t check_put(const PatternSide& side, int64_t width, int64_t count,
                  const int64_t* index, const float* rows,
                  const int64_t* ids) {
  require(count >= 0, "put patterns: count ", count, " is negative");
  if (count == 0) return side.count;
  require(index != nullptr && rows != nullptr && ids != nullptr,
          "put patterns: index, rows or ids is NULL");
  int64_t after = side.count;
  for (int64_t i = 0; i < count; ++i) {
    require(index[i] >= 0 && index[i] <= after, "put patterns: index ",
            index[i], " of row ", i, " is not 0 to ", after);
    require(ids[i] >= 0, "put patterns: id ", ids[i], " of row ", i,
            " is negative");
    if (index[i] == after) ++after;
    for (int64_t k = 0; k < width; ++k) {
      require(std::isfinite(rows[i * width + k]), "put patterns: element ", k,
              " of row ", i, " is not finite");
    }
  }
  return after;
}

}  // namespace

namespace api {

fdqc_status* patterns_new(int32_t device, int32_t n,
                          fdqc_patterns** out) noexcept {
  return guard([&] {
    require(out != nullptr, "patterns: out is NULL");
    require_workspace(n);
    const Place place = place_of(device);
    auto patterns = std::make_unique<fdqc_patterns>();
    patterns->n = n;
    patterns->place = place;
    for (PatternSide& side : patterns->sides) {
      if (place.host()) {
        side.index.emplace(n);
      } else {
        on_device(place, [&] { side.device.emplace(n, place.at); });
      }
    }
    *out = patterns.release();
  });
}

fdqc_status* patterns_put(fdqc_patterns* patterns, int32_t side, int64_t count,
                          const int64_t* index, const float* rows,
                          const int64_t* ids) noexcept {
  return guard([&] {
    PatternSide& to = side_of(patterns, side);
    const int64_t width = 2 * int64_t{patterns->n};
    const int64_t after = check_put(to, width, count, index, rows, ids);
    if (count == 0) return;
    // Whatever can fail comes before the first id is written.
    constexpr int64_t kLeast = 64;
    const int64_t room = static_cast<int64_t>(to.ids.capacity());
    if (after > room) to.ids.reserve(std::max({after, 2 * room, kLeast}));
    if (to.index) {
      to.index->reserve(std::max(after, kLeast));
      for (int64_t i = 0; i < count; ++i) {
        to.index->put(index[i], rows + i * width);
      }
    } else {
      on_device(patterns->place, [&] { to.device->put(count, index, rows); });
    }
    to.ids.resize(after);
    for (int64_t i = 0; i < count; ++i) to.ids[index[i]] = ids[i];
    to.count = after;
  });
}

fdqc_status* patterns_truncate(fdqc_patterns* patterns, int32_t side,
                               int64_t count) noexcept {
  return guard([&] {
    PatternSide& from = side_of(patterns, side);
    require(count >= 0 && count <= from.count, "truncate patterns: count ",
            count, " is not 0 to ", from.count);
    if (count == from.count) return;
    if (from.index) {
      from.index->truncate(count);
    } else {
      on_device(patterns->place, [&] { from.device->truncate(count); });
    }
    from.ids.resize(count);
    from.count = count;
  });
}

fdqc_status* patterns_free(fdqc_patterns* patterns) noexcept {
  return guard([&] { delete patterns; });
}

}  // namespace api
}  // namespace fdqc
