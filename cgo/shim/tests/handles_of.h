// Handles of the C ABI for a reference model, freed with the object.
#pragma once

#include <gtest/gtest.h>

#include <numeric>

#include "api.h"
#include "reference.h"
#include "status.h"

namespace fdqc {

// The message of a status, which is freed; empty for success.
inline std::string take(fdqc_status* status) {
  const std::string message = status == nullptr ? "" : status->message;
  free_status(status);
  return message;
}

struct Handles {
  explicit Handles(const reference::Model& model,
                   int32_t device = FDQC_DEVICE_CPU)
      : n(model.n), on(device) {
    const int32_t n32 = static_cast<int32_t>(n);
    const float* tensors[6];
    for (int i = 0; i < 6; ++i) tensors[i] = model.tensors[i].data();
    EXPECT_EQ(take(api::weights_new(on, n32, tensors, &weights)),
              "");
    EXPECT_EQ(take(api::states_new(on, n32, model.real.data(),
                                   model.imag.data(), &states)),
              "");
    EXPECT_EQ(take(api::patterns_new(on, n32, &patterns)), "");
    put(FDQC_SAFE, model.safe, 1000);
    put(FDQC_UNSAFE, model.unsafe, 2000000);
  }
  ~Handles() {
    api::weights_free(weights);
    api::states_free(states);
    api::patterns_free(patterns);
    for (fdqc_projection* p : projections) api::projection_free(p);
  }
  Handles(const Handles&) = delete;
  Handles& operator=(const Handles&) = delete;

  // Ids are first_id, first_id + 1, ..
  void put(int32_t side, const reference::Floats& rows, int64_t first_id) {
    const int64_t count = static_cast<int64_t>(rows.size()) / (2 * n);
    std::vector<int64_t> index(count), ids(count);
    std::iota(index.begin(), index.end(), 0);
    std::iota(ids.begin(), ids.end(), first_id);
    EXPECT_EQ(take(api::patterns_put(patterns, side, count, index.data(),
                                     rows.data(), ids.data())),
              "");
  }

  fdqc_projection* project_from(int32_t d, const reference::Floats& weight,
                                const reference::Floats& bias) {
    projections.push_back(nullptr);
    EXPECT_EQ(take(api::projection_new(on, static_cast<int32_t>(n), d,
                                       weight.data(), bias.data(),
                                       &projections.back())),
              "");
    return projections.back();
  }

  reference::Floats state(int32_t slot) const {
    reference::Floats real(n), imag(n);
    EXPECT_EQ(take(api::states_read(states, slot, real.data(), imag.data())),
              "");
    return real;
  }

  int64_t n;
  int32_t on;
  fdqc_weights* weights = nullptr;
  fdqc_states* states = nullptr;
  fdqc_patterns* patterns = nullptr;
  std::vector<fdqc_projection*> projections;
};

// One batch of rows of width n, or of the segments that are given.
struct Batch {
  Batch(const Handles& handles, const reference::Model& model,
        const float* rows, int64_t count) {
    segment = {rows, nullptr, count, static_cast<int32_t>(model.n), 0};
    batch.segments = &segment;
    batch.segment_count = 1;
    batch.count = count;
    batch.weights = handles.weights;
    batch.patterns = handles.patterns;
    batch.states = handles.states;
    batch.policy = model.policy;
  }
  Batch(const Batch&) = delete;
  Batch& operator=(const Batch&) = delete;

  std::vector<fdqc_verdict> judge() const {
    std::vector<fdqc_verdict> out(batch.count);
    EXPECT_EQ(take(api::validate(&batch, out.data())), "");
    return out;
  }

  fdqc_segment segment{};
  fdqc_batch batch{};
};

}  // namespace fdqc
