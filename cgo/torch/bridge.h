/* How Go reaches the shim: loading, and a function for each entry of the
 * table, since Go cannot call through function pointers. */
#ifndef FDQC_BRIDGE_H
#define FDQC_BRIDGE_H

#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "fdqc.h"

// dlerror's text belongs to the thread of the call that failed: it is copied
// in that call, since Go may move to another thread afterwards. The caller
// frees *why.
static void *open_library(const char *path, char **why) {
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    const char *reason = dlerror();
    *why = strdup(reason ? reason : "the loader gives no reason");
  }
  return library;
}
static uint64_t libtorch_abi_version(void *library) {
  uint64_t (*version)(void) = (uint64_t (*)(void))dlsym(library, "aoti_torch_abi_version");
  return version ? version() : 0;
}
static const fdqc_table *open_table(void *library, uint32_t version) {
  const fdqc_table *(*api)(uint32_t) = (const fdqc_table *(*)(uint32_t))dlsym(library, "fdqc_api");
  return api ? api(version) : 0;
}

// Go cannot call through function pointers.
static void status_free(const fdqc_table *t, fdqc_status *s) { t->status_free(s); }
static fdqc_status *runtime_configure(const fdqc_table *t, int32_t n) { return t->runtime_configure(n); }
static fdqc_status *runtime_info(const fdqc_table *t, fdqc_info *out) { return t->runtime_info(out); }
static fdqc_status *runtime_open_cuda(const fdqc_table *t, const char *path) { return t->runtime_open_cuda(path); }
static fdqc_status *live_handles(const fdqc_table *t, int64_t *out) { return t->live_handles(out); }
static fdqc_status *weights_new(const fdqc_table *t, int32_t device, int32_t n, const float *a, const float *b,
                                const float *c, const float *d, const float *e, const float *f, fdqc_weights **out) {
  const float *tensors[6] = {a, b, c, d, e, f};
  return t->weights_new(device, n, tensors, out);
}
static fdqc_status *weights_free(const fdqc_table *t, fdqc_weights *h) { return t->weights_free(h); }
static fdqc_status *projection_new(const fdqc_table *t, int32_t device, int32_t n, int32_t d, const float *weight,
                                   const float *bias, fdqc_projection **out) {
  return t->projection_new(device, n, d, weight, bias, out);
}
static fdqc_status *projection_free(const fdqc_table *t, fdqc_projection *h) { return t->projection_free(h); }
static fdqc_status *patterns_new(const fdqc_table *t, int32_t device, int32_t n, fdqc_patterns **out) {
  return t->patterns_new(device, n, out);
}
static fdqc_status *patterns_put(const fdqc_table *t, fdqc_patterns *h, int32_t side, int64_t count,
                                 const int64_t *index, const float *rows, const int64_t *ids) {
  return t->patterns_put(h, side, count, index, rows, ids);
}
static fdqc_status *patterns_truncate(const fdqc_table *t, fdqc_patterns *h, int32_t side, int64_t count) {
  return t->patterns_truncate(h, side, count);
}
static fdqc_status *patterns_free(const fdqc_table *t, fdqc_patterns *h) { return t->patterns_free(h); }
static fdqc_status *states_new(const fdqc_table *t, int32_t device, int32_t n, const float *real, const float *imag,
                               fdqc_states **out) {
  return t->states_new(device, n, real, imag, out);
}
static fdqc_status *states_read(const fdqc_table *t, const fdqc_states *h, int32_t slot, float *real, float *imag) {
  return t->states_read(h, slot, real, imag);
}
static fdqc_status *states_free(const fdqc_table *t, fdqc_states *h) { return t->states_free(h); }
/* The batch in hand lies in C memory, and only C writes to it: a store of
 * Go's would hand what was there before, an address of a batch long gone, to
 * the garbage collector's write barrier. What is stored is pinned. */
static void set_segment(fdqc_segment *segments, int64_t i, const float *rows, const fdqc_projection *projection,
                        int64_t count, int32_t width) {
  fdqc_segment s = {rows, projection, count, width, 0};
  segments[i] = s;
}
static void set_batch(fdqc_batch *b, const fdqc_segment *segments, int64_t segment_count, int64_t count,
                      const int32_t *slots, const uint8_t *row_flags, const fdqc_weights *weights,
                      const fdqc_patterns *patterns, fdqc_states *states, fdqc_policy policy) {
  fdqc_batch filled = {segments, segment_count, count, slots, row_flags, weights, patterns, states, policy};
  *b = filled;
}
static fdqc_status *project(const fdqc_table *t, const fdqc_batch *b, float *out, uint32_t *status) {
  return t->project(b, out, status);
}
static fdqc_status *validate(const fdqc_table *t, const fdqc_batch *b, fdqc_verdict *out) {
  return t->validate(b, out);
}
/* A batch of one segment, the usual one, in a single call: what is pinned for
 * the length of a call needs no pin of its own. */
static fdqc_status *validate_segment(const fdqc_table *t, const float *rows, const fdqc_projection *projection,
                                     int64_t count, int32_t width, const int32_t *slots, const uint8_t *row_flags,
                                     const fdqc_weights *weights, const fdqc_patterns *patterns, fdqc_states *states,
                                     fdqc_policy policy, fdqc_verdict *out) {
  fdqc_segment segment = {rows, projection, count, width, 0};
  fdqc_batch batch = {&segment, 1, count, slots, row_flags, weights, patterns, states, policy};
  return t->validate(&batch, out);
}
static fdqc_status *fault_arm(const fdqc_table *t, int32_t kind) { return t->fault_arm(kind); }
static fdqc_status *roofline_measure(const fdqc_table *t, int32_t threads, double seconds, fdqc_roofline *out) {
  return t->roofline_measure(threads, seconds, out);
}
static fdqc_status *device_info(const fdqc_table *t, int32_t device, fdqc_device_info *out) {
  return t->device_info(device, out);
}
/* The one number of it that is asked for after every batch; -1: no answer. */
static int64_t device_out_of_memory(const fdqc_table *t, int32_t device) {
  fdqc_device_info info;
  fdqc_status *status = t->device_info(device, &info);
  if (!status) return info.out_of_memory;
  t->status_free(status);
  return -1;
}
static fdqc_status *states_copy(const fdqc_table *t, const fdqc_states *from, int32_t device, fdqc_states **out) {
  return t->states_copy(from, device, out);
}
static fdqc_status *detector_fit(const fdqc_table *t, int32_t device, int32_t n, int64_t count, const float *rows,
                                 int64_t other_count, const float *others, double *location, double *factor,
                                 double *left, int64_t queries, double *same, double *other, double *moments) {
  return t->detector_fit(device, n, count, rows, other_count, others, location, factor, left, queries, same, other,
                         moments);
}
static fdqc_status *detector_distances(const fdqc_table *t, int32_t device, int32_t n, const double *location,
                                       const double *factor, int64_t count, const float *rows, double *out) {
  return t->detector_distances(device, n, location, factor, count, rows, out);
}

static fdqc_status *detector_nearest(const fdqc_table *t, int32_t device, int32_t n, int64_t count, const float *rows,
                                     int64_t other_count, const float *others, double *out) {
  return t->detector_nearest(device, n, count, rows, other_count, others, out);
}
static int has_fault_arm(const fdqc_table *t) { return t->fault_arm != 0; }

#endif
