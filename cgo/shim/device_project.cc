// Rows of a batch in the workspace, as recording wants them.
#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "device_memory.h"
#include "finite.h"
#include "operator.h"
#include "tiles.h"

namespace fdqc {

void project_on_device(const fdqc_batch& batch, float* out,
                       uint32_t* row_status) {
  const fdqc_states& states = *batch.states;
  const NoAutograd below;
  std::vector<Rows> segments;
  for (int64_t i = 0; i < batch.segment_count; ++i) {
    const fdqc_segment& segment = batch.segments[i];
    Rows rows{at::from_blob(const_cast<float*>(segment.rows),
                            {segment.count, segment.width}, at::kFloat),
              {}, {}};
    if (segment.projection != nullptr) {
      rows.weight = segment.projection->weight;
      rows.bias = segment.projection->bias;
    }
    segments.push_back(std::move(rows));
  }
  const int64_t n = states.n;
  std::vector<float> z(batch.count * n);
  std::vector<uint8_t> is_finite(batch.count);
  with_less_memory(batch, [&](int64_t rows) {
    rows = std::min(rows, kChunkRows);
    for (int64_t first = 0; first < batch.count; first += rows) {
      const int64_t count = std::min(rows, batch.count - first);
      device_step(count);
      at::Tensor good;
      const at::Tensor some =
          workspace(segments, n, first, count, states.place.at, good)
              .to(at::kCPU)
              .contiguous();
      good = good.to(at::kCPU);
      std::copy_n(some.const_data_ptr<float>(), count * n, z.data() + first * n);
      std::copy_n(good.const_data_ptr<bool>(), count, is_finite.data() + first);
    }
  });
  int64_t i = 0;
  for (int64_t s = 0; s < batch.segment_count; ++s) {
    const fdqc_segment& segment = batch.segments[s];
    const float* from = segment.rows;
    for (int64_t k = 0; k < segment.count; ++k, ++i, from += segment.width) {
      row_status[i] = !finite(from, segment.width) ? FDQC_ROW_NOT_FINITE
                      : is_finite[i] == 0          ? FDQC_ROW_OVERFLOW
                                                   : FDQC_ROW_OK;
      if (row_status[i] == FDQC_ROW_OK) {
        std::copy_n(z.data() + i * n, n, out + i * n);
      } else {
        std::fill_n(out + i * n, n, std::numeric_limits<float>::quiet_NaN());
      }
    }
  }
}

}  // namespace fdqc
