#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "api.h"
#include "handles.h"
#include "host.h"

namespace fdqc {

at::Tensor PatternSide::active() const { return rows.narrow(0, 0, count); }

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

// Room for `count` rows. What is in use stays as it is, also when it throws.
void make_room(PatternSide& side, int64_t count) {
  constexpr int64_t kLeast = 64;
  const int64_t ids = static_cast<int64_t>(side.ids.capacity());
  if (count > ids) side.ids.reserve(std::max({count, 2 * ids, kLeast}));
  if (side.index) {
    side.index->reserve(std::max(count, kLeast));
    return;
  }
  const int64_t room = side.rows.size(0);
  if (count <= room) return;
  at::Tensor wider = at::empty({std::max({count, 2 * room, kLeast}),
                                side.rows.size(1)},
                               side.rows.options());
  wider.narrow(0, 0, side.count).copy_(side.active());
  side.rows = std::move(wider);
}

}  // namespace

namespace api {

fdqc_status* patterns_new(int32_t device, int32_t n,
                          fdqc_patterns** out) noexcept {
  return guard([&] {
    require(out != nullptr, "patterns: out is NULL");
    require_workspace(n);
    const c10::Device on = device_of(device);
    auto patterns = std::make_unique<fdqc_patterns>();
    patterns->n = n;
    patterns->device = on;
    for (PatternSide& side : patterns->sides) {
      if (on.is_cpu()) {
        side.index.emplace(n);
      } else {
        side.rows = copy_in(nullptr, {0, 2 * n}, on);
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
    // Whatever can fail comes before the first row is written.
    at::Tensor from;
    if (!to.index) from = copy_in(rows, {count, width}, patterns->device);
    make_room(to, after);
    to.ids.resize(after);
    for (int64_t i = 0; i < count;) {
      int64_t end = i + 1;
      if (to.index) {
        to.index->put(index[i], rows + i * width);
      } else {
        // Neighbours go in one copy: an append is one on a device.
        while (end < count && index[end] == index[end - 1] + 1) ++end;
        to.rows.narrow(0, index[i], end - i).copy_(from.narrow(0, i, end - i));
      }
      std::copy(ids + i, ids + end, to.ids.begin() + index[i]);
      i = end;
    }
    to.count = after;
    ++to.version;
  });
}

fdqc_status* patterns_truncate(fdqc_patterns* patterns, int32_t side,
                               int64_t count) noexcept {
  return guard([&] {
    PatternSide& from = side_of(patterns, side);
    require(count >= 0 && count <= from.count, "truncate patterns: count ",
            count, " is not 0 to ", from.count);
    if (count == from.count) return;
    if (from.index) from.index->truncate(count);
    from.ids.resize(count);
    from.count = count;
    ++from.version;
  });
}

fdqc_status* patterns_free(fdqc_patterns* patterns) noexcept {
  return guard([&] { delete patterns; });
}

}  // namespace api
}  // namespace fdqc
