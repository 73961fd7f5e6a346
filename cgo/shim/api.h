// The functions behind the table of fdqc.h, one for each of its entries and
// described there. A noun's file defines its own; api.cc puts them together.
#pragma once

#include <cstdint>

#include "fdqc.h"

namespace fdqc::api {

fdqc_status* runtime_configure(int32_t threads) noexcept;
fdqc_status* runtime_info(fdqc_info* out) noexcept;
fdqc_status* runtime_open_cuda(const char* path) noexcept;
fdqc_status* live_handles(int64_t* out) noexcept;
fdqc_status* device_info(int32_t device, fdqc_device_info* out) noexcept;

fdqc_status* weights_new(int32_t device, int32_t n,
                         const float* const tensors[6],
                         fdqc_weights** out) noexcept;
fdqc_status* weights_free(fdqc_weights* weights) noexcept;

fdqc_status* projection_new(int32_t device, int32_t n, int32_t d,
                            const float* weight, const float* bias,
                            fdqc_projection** out) noexcept;
fdqc_status* projection_free(fdqc_projection* projection) noexcept;

fdqc_status* patterns_new(int32_t device, int32_t n,
                          fdqc_patterns** out) noexcept;
fdqc_status* patterns_put(fdqc_patterns* patterns, int32_t side, int64_t count,
                          const int64_t* index, const float* rows,
                          const int64_t* ids) noexcept;
fdqc_status* patterns_truncate(fdqc_patterns* patterns, int32_t side,
                               int64_t count) noexcept;
fdqc_status* patterns_free(fdqc_patterns* patterns) noexcept;

fdqc_status* states_new(int32_t device, int32_t n, const float* real,
                        const float* imag, fdqc_states** out) noexcept;
fdqc_status* states_read(const fdqc_states* states, int32_t slot, float* real,
                         float* imag) noexcept;
fdqc_status* states_copy(const fdqc_states* from, int32_t device,
                         fdqc_states** out) noexcept;
fdqc_status* states_free(fdqc_states* states) noexcept;

fdqc_status* detector_fit(int32_t device, int32_t n, int64_t count,
                          const float* rows, int64_t other_count,
                          const float* others, double* location,
                          double* factor, double* left, int64_t queries,
                          double* same, double* other,
                          double* moments) noexcept;
fdqc_status* detector_distances(int32_t device, int32_t n,
                                const double* location, const double* factor,
                                int64_t count, const float* rows,
                                double* out) noexcept;
fdqc_status* detector_nearest(int32_t device, int32_t n, int64_t count,
                              const float* rows, int64_t other_count,
                              const float* others, double* out) noexcept;

// Both in batch.cc.
fdqc_status* project(const fdqc_batch* batch, float* out,
                     uint32_t* row_status) noexcept;
fdqc_status* validate(const fdqc_batch* batch, fdqc_verdict* out) noexcept;

}  // namespace fdqc::api
