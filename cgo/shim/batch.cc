// The batch calls of the C ABI: host rows in, verdicts out.
#include "api.h"
#include "cpu_validate.h"
#include "device_batch.h"
#include "handles.h"
#include "operator.h"

namespace fdqc {
namespace {

void check_segments(const fdqc_batch& batch, const fdqc_states& states) {
  require(batch.segments != nullptr && batch.segment_count >= 1,
          "batch: no segments");
  require(batch.count >= 1 && batch.count <= kMaxBatch, "batch: ", batch.count,
          " rows are not 1 to ", kMaxBatch);
  require(batch.segment_count <= batch.count, "batch: ", batch.segment_count,
          " segments for ", batch.count, " rows");
  int64_t count = 0;
  for (int64_t i = 0; i < batch.segment_count; ++i) {
    const fdqc_segment& segment = batch.segments[i];
    require(segment.rows != nullptr, "batch: segment ", i, ": rows is NULL");
    require(segment.count >= 1 && segment.count <= batch.count - count,
            "batch: segment ", i, ": ", segment.count, " rows, ",
            batch.count - count, " of the batch are left");
    require(segment.width >= 1 && segment.width <= kMaxWidth,
            "batch: segment ", i, ": width ", segment.width, " is not 1 to ",
            kMaxWidth);
    count += segment.count;
    if (segment.projection == nullptr) {
      require(segment.width == states.n, "batch: segment ", i, ": width ",
              segment.width, " has no projection to ", states.n);
      continue;
    }
    const fdqc_projection& projection = *segment.projection;
    require(projection.n == states.n && projection.d == segment.width,
            "batch: segment ", i, ": the projection is from ", projection.d,
            " to ", projection.n, ", expected is ", segment.width, " to ",
            states.n);
    require(projection.place == states.place,
            "batch: segment ", i, ": the projection is on another device");
  }
  require(count == batch.count, "batch: the segments have ", count,
          " rows, the batch ", batch.count);
}

void check_batch(const fdqc_batch& batch) {
  require(batch.weights != nullptr, "batch: weights is NULL");
  require(batch.patterns != nullptr, "batch: patterns is NULL");
  const int32_t n = batch.states->n;
  require(batch.weights->n == n, "batch: weights for n = ", batch.weights->n,
          ", states for ", n);
  require(batch.patterns->n == n, "batch: patterns for n = ",
          batch.patterns->n, ", states for ", n);
  require(batch.weights->place == batch.states->place &&
              batch.patterns->place == batch.states->place,
          "batch: weights, patterns and states are not on one device");
  for (int64_t i = 0; batch.slots != nullptr && i < batch.count; ++i) {
    require(batch.slots[i] >= 0 && batch.slots[i] < kMaxSlots, "batch: slot ",
            batch.slots[i], " of row ", i, " is not 0 to ", kMaxSlots - 1);
  }
  for (int64_t i = 0; batch.row_flags != nullptr && i < batch.count; ++i) {
    require((batch.row_flags[i] & ~kKnownRowFlags) == 0, "batch: flags ",
            int32_t{batch.row_flags[i]}, " of row ", i, " are unknown");
  }
}

cpu::Rows rows_of(const fdqc_batch& batch) {
  std::vector<cpu::Segment>& to = batch.states->segments;
  to.clear();
  for (int64_t i = 0; i < batch.segment_count; ++i) {
    const fdqc_segment& from = batch.segments[i];
    to.push_back({from.rows,
                  from.projection == nullptr ? nullptr
                                             : &*from.projection->packed,
                  from.count, from.width});
  }
  return {to.data(), batch.segment_count, batch.count, batch.states->n};
}

void validate_on_cpu(const fdqc_batch& batch, fdqc_verdict* out) {
  const PatternSide& safe = batch.patterns->sides[FDQC_SAFE];
  const PatternSide& unsafe = batch.patterns->sides[FDQC_UNSAFE];
  // Between batches nobody matches: a tree that is complete is taken now.
  safe.index->refresh();
  unsafe.index->refresh();
  cpu::validate({rows_of(batch),
                 batch.slots,
                 batch.row_flags,
                 &*batch.weights->packed,
                 {&*safe.index, &*unsafe.index},
                 {safe.ids.data(), unsafe.ids.data()},
                 batch.policy},
                *batch.states->host, out);
}

}  // namespace

namespace api {

fdqc_status* project(const fdqc_batch* batch, float* out,
                     uint32_t* row_status) noexcept {
  return guard([&] {
    require(batch != nullptr && out != nullptr && row_status != nullptr,
            "project: batch, out or row_status is NULL");
    require(batch->states != nullptr, "project: states is NULL");
    check_segments(*batch, *batch->states);
    if (batch->states->place.host()) {
      cpu::project(rows_of(*batch), out, row_status);
    } else {
      project_on_device(*batch, out, row_status);
    }
  });
}

fdqc_status* validate(const fdqc_batch* batch, fdqc_verdict* out) noexcept {
  return guard([&] {
    require(batch != nullptr && out != nullptr,
            "validate: batch or out is NULL");
    require(batch->states != nullptr, "validate: states is NULL");
    check_segments(*batch, *batch->states);
    check_batch(*batch);
    check_policy(batch->policy);
    if (batch->states->place.host()) {
      validate_on_cpu(*batch, out);
    } else {
      validate_on_device(*batch, out);
    }
  });
}

}  // namespace api
}  // namespace fdqc
