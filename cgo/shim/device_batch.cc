// The batch calls on a device: through the operator's implementation in ATen.
#include "device_batch.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/tensor.h>

#include <limits>
#include <vector>

#include "finite.h"
#include "handles.h"
#include "operator.h"
#include "score.h"
#include "tiles.h"

namespace fdqc {
namespace {

// The caller's rows as tensors, without a copy; good for the call only.
std::vector<Rows> rows_of(const fdqc_batch& batch) {
  std::vector<Rows> rows;
  rows.reserve(batch.segment_count);
  for (int64_t i = 0; i < batch.segment_count; ++i) {
    const fdqc_segment& segment = batch.segments[i];
    Rows to;
    to.embeddings = at::from_blob(const_cast<float*>(segment.rows),
                                  {segment.count, segment.width}, at::kFloat);
    if (segment.projection != nullptr) {
      to.weight = segment.projection->weight;
      to.bias = segment.projection->bias;
    }
    rows.push_back(std::move(to));
  }
  return rows;
}

// Rows with a NaN or an infinity, [count].
std::vector<uint8_t> not_finite(const fdqc_batch& batch) {
  std::vector<uint8_t> bad(batch.count, 0);
  int64_t first = 0;
  for (int64_t s = 0; s < batch.segment_count; ++s) {
    const fdqc_segment& segment = batch.segments[s];
    const int64_t tiles = (segment.count + kTileRows - 1) / kTileRows;
    Pool::instance().run(tiles, [&](int64_t t) {
      const int64_t to = std::min((t + 1) * kTileRows, segment.count);
      for (int64_t i = t * kTileRows; i < to; ++i) {
        bad[first + i] =
            !finite(segment.rows + i * segment.width, segment.width);
      }
    });
    first += segment.count;
  }
  return bad;
}

// Every slot up to `last` has its state; new ones are as loaded. What was
// there stays.
void grow(fdqc_states& states, int64_t last) {
  const int64_t have = states.real.size(0);
  if (last < have) return;
  const int64_t room = std::min(kMaxSlots, std::max(last + 1, 2 * have));
  at::Tensor wider = at::empty({room, states.n}, states.real.options());
  wider.narrow(0, 0, have).copy_(states.real);
  wider.narrow(0, have, room - have).copy_(states.loaded_real.expand(
      {room - have, states.n}));
  states.real = wider;
}

int64_t id_of(const PatternSide& side, int64_t row) {
  return row < 0 ? -1 : side.ids[row];
}

void write(const Outputs& out, const fdqc_patterns& patterns,
           const std::vector<uint8_t>& bad, fdqc_verdict* to) {
  const float* s = out.scores.const_data_ptr<float>();
  const int64_t* p = out.nearest.const_data_ptr<int64_t>();
  const int32_t* f = out.flags.const_data_ptr<int32_t>();
  for (size_t i = 0; i < out.row_status.size();
       ++i, s += kScoreColumns, p += 2) {
    fdqc_verdict& v = to[i];
    v.risk_score = s[kRiskScore];
    v.raw_risk = s[kRawRisk];
    v.base_risk = s[kBaseRisk];
    v.entropy = s[kEntropy];
    v.coherence = s[kCoherence];
    v.novelty = s[kNovelty];
    v.safe_similarity = s[kSafeSimilarity];
    v.unsafe_similarity = s[kUnsafeSimilarity];
    v.safe_distance = s[kSafeDistance];
    v.unsafe_distance = s[kUnsafeDistance];
    v.nearest_safe = id_of(patterns.sides[FDQC_SAFE], p[0]);
    v.nearest_unsafe = id_of(patterns.sides[FDQC_UNSAFE], p[1]);
    v.flags = static_cast<uint32_t>(f[i]);
    v.row_status = static_cast<uint32_t>(out.row_status[i]);
    // Such a row went through as one to skip, unless it was one.
    if (bad[i] == 1) v.row_status = FDQC_ROW_NOT_FINITE;
  }
}

}  // namespace

void project_on_device(const fdqc_batch& batch, float* out,
                       uint32_t* row_status) {
  const fdqc_states& states = *batch.states;
  const NoAutograd below;
  const std::vector<Rows> rows = rows_of(batch);
  const std::vector<uint8_t> bad = not_finite(batch);
  const int64_t n = states.n;
  for (int64_t first = 0; first < batch.count; first += kChunkRows) {
    const int64_t count = std::min(kChunkRows, batch.count - first);
    at::Tensor is_finite;
    const at::Tensor z =
        workspace(rows, n, first, count, states.device, is_finite)
            .to(at::kCPU)
            .contiguous();
    is_finite = is_finite.to(at::kCPU);
    for (int64_t i = 0; i < count; ++i) {
      float* const to = out + (first + i) * n;
      if (bad[first + i] == 0 && is_finite.const_data_ptr<bool>()[i]) {
        std::copy_n(z.const_data_ptr<float>() + i * n, n, to);
        row_status[first + i] = FDQC_ROW_OK;
        continue;
      }
      std::fill_n(to, n, std::numeric_limits<float>::quiet_NaN());
      row_status[first + i] =
          bad[first + i] != 0 ? FDQC_ROW_NOT_FINITE : FDQC_ROW_OVERFLOW;
    }
  }
}

void validate_on_device(const fdqc_batch& batch, fdqc_verdict* out) {
  fdqc_states& states = *batch.states;
  const NoAutograd below;

  Inputs in;
  in.segments = rows_of(batch);
  in.count = batch.count;
  // A row that is not finite moves as little as one to skip.
  std::vector<uint8_t> bad = not_finite(batch);
  std::vector<uint8_t> flags(batch.count, 0);
  for (int64_t i = 0; i < batch.count; ++i) {
    if (batch.row_flags != nullptr) flags[i] = batch.row_flags[i];
    if ((flags[i] & FDQC_ROW_SKIP) != 0) bad[i] = 0;
    if (bad[i] != 0) flags[i] |= FDQC_ROW_SKIP;
  }
  in.row_flags = flags.data();
  in.slots = batch.slots;
  if (batch.slots != nullptr) {
    grow(states,
         *std::max_element(batch.slots, batch.slots + batch.count));
  }
  in.state_real = states.real;
  in.loaded_real = states.loaded_real;
  in.state_imag = states.loaded_imag;
  in.detector = batch.weights->tensors;
  const auto safe = prepared(batch.patterns->sides[FDQC_SAFE], states.n);
  const auto unsafe =
      prepared(batch.patterns->sides[FDQC_UNSAFE], states.n);
  in.sides[FDQC_SAFE] = safe.get();
  in.sides[FDQC_UNSAFE] = unsafe.get();
  in.policy = batch.policy;

  const Outputs result = fdqc::validate(in);
  const at::Tensor moved = at::tensor(
      result.slots,
      at::TensorOptions().dtype(at::kLong).device(states.device));
  // Nothing that can fail comes after the states have moved.
  states.real.index_copy_(0, moved, result.states);
  write(result, *batch.patterns, bad, out);
}

}  // namespace fdqc
