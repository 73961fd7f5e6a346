/* The C ABI of the shim over LibTorch: what crosses between Go and C++.
 *
 * The shared object exports one symbol, fdqc_api(version). It answers with a
 * table of function pointers, or with NULL when the caller was built against
 * another version of this header.
 *
 * Errors. Every function returns its own status: NULL when it succeeded,
 * otherwise an object with a code and a message that the caller frees with
 * status_free. There is no "last error". No C++ exception crosses.
 *
 * Ownership. A handle is made as the last step of its *_new function and
 * belongs to the caller until *_free. Memory that the caller passes in is
 * read or written during the call only. Freeing NULL does nothing.
 *
 * Threads. Calls are serialised by the caller (one gate in cgo/torch);
 * status_free and live_handles may be called at any time.
 */
#ifndef FDQC_H
#define FDQC_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Raised by one with every incompatible change of this header. */
#define FDQC_ABI_VERSION 5u

/* ---- status ---- */

enum {
  FDQC_INVALID_ARGUMENT = 1,  /* a shape, a pointer or a number is wrong */
  FDQC_OUT_OF_MEMORY = 2,     /* host or device memory */
  FDQC_DEVICE_UNAVAILABLE = 3, /* CUDA was asked for and is not there */
  FDQC_INTERNAL = 4,          /* anything else that LibTorch or C++ threw */
  FDQC_DEVICE_LOST = 5 /* a CUDA device failed; every later call on it says so */
};

typedef struct fdqc_status {
  int32_t code;        /* one of the codes above */
  const char *message; /* UTF-8, never NULL, owned by the status */
} fdqc_status;

/* ---- handles ---- */

typedef struct fdqc_weights fdqc_weights;       /* the risk detector */
typedef struct fdqc_projection fdqc_projection; /* one Linear(d, n) */
typedef struct fdqc_patterns fdqc_patterns;     /* both sides of the memory */
typedef struct fdqc_states fdqc_states;         /* one state a session slot */

/* A device: -1 is the CPU, 0 and above a CUDA device. */
#define FDQC_DEVICE_CPU (-1)

/* Sides of the pattern memory. */
enum { FDQC_SAFE = 0, FDQC_UNSAFE = 1 };

/* ---- one batch ---- */

/* Consecutive rows of one width. width == n needs no projection (NULL). */
typedef struct fdqc_segment {
  const float *rows;                 /* [count, width], row-major */
  const fdqc_projection *projection; /* Linear(width, n), or NULL */
  int64_t count;                     /* > 0 */
  int32_t width;                     /* 1 .. 4096 */
  int32_t reserved;                  /* 0 */
} fdqc_segment;

/* Bits of fdqc_batch.row_flags. */
enum {
  FDQC_ROW_SKIP = 1,      /* basic checks failed: judge nothing, move no state */
  FDQC_ROW_RESET = 2,     /* the row's slot starts anew from the loaded state */
  FDQC_ROW_NO_ALLOW = 4   /* the decision is at most review */
};

enum { FDQC_STATE_ROW = 0, FDQC_STATE_FIRST_ELEMENT = 1 };

/* Tiers of autonomy, validator specification section 2, step 14. */
enum {
  FDQC_TIER_ALPHA = 0,
  FDQC_TIER_BETA = 1,
  FDQC_TIER_GAMMA = 2,
  FDQC_TIER_DELTA = 3,
  FDQC_TIER_EPSILON = 4,
  FDQC_TIER_OMEGA = 5
};

typedef struct fdqc_policy {
  float entropy_threshold;
  float collapse_threshold;
  float block_threshold;
  int32_t tier;                   /* FDQC_TIER_* */
  int32_t state_update;           /* FDQC_STATE_* */
  uint8_t safe_mode;              /* 0 or 1 */
  uint8_t require_human_approval; /* 0 or 1 */
  uint8_t reserved[2];            /* 0 */
} fdqc_policy;

typedef struct fdqc_batch {
  const fdqc_segment *segments;  /* [segment_count], in row order */
  int64_t segment_count;
  int64_t count;                 /* rows of all segments together, 1 .. 65536 */
  const int32_t *slots;          /* [count] session slots, NULL: all slot 0 */
  const uint8_t *row_flags;      /* [count] FDQC_ROW_*, NULL: all zero */
  const fdqc_weights *weights;
  const fdqc_patterns *patterns;
  fdqc_states *states;           /* moved by the batch, only if it succeeds */
  fdqc_policy policy;
} fdqc_batch;

/* What became of a row. */
enum {
  FDQC_ROW_OK = 0,
  FDQC_ROW_SKIPPED = 1,    /* FDQC_ROW_SKIP was set */
  FDQC_ROW_NOT_FINITE = 2, /* NaN or infinity in the embedding; no state moved */
  FDQC_ROW_OVERFLOW = 3,   /* the workspace row is not finite; no state moved */
  FDQC_ROW_NO_SCORE = 4    /* a score is not finite */
};

/* Bits of fdqc_verdict.flags. */
enum {
  FDQC_APPROVED = 1,
  FDQC_REQUIRES_APPROVAL = 2,
  FDQC_REQUIRES_HUMAN_APPROVAL = 4,
  FDQC_MATCHED_SAFE = 8,
  FDQC_MATCHED_UNSAFE = 16,
  FDQC_HIGH_ENTROPY = 32,
  FDQC_LOW_COHERENCE = 64,
  FDQC_HIGH_NOVELTY = 128,
  FDQC_DECISION_ALLOW = 256,
  FDQC_DECISION_REVIEW = 512,
  FDQC_DECISION_BLOCK = 1024
};

/* One answer, 64 bytes. A row whose row_status is not FDQC_ROW_OK has NaN
 * scores and distances, nearest ids -1, and the flags
 * REQUIRES_APPROVAL | REQUIRES_HUMAN_APPROVAL | DECISION_BLOCK. */
typedef struct fdqc_verdict {
  float risk_score, raw_risk, base_risk, entropy;
  float coherence, novelty, safe_similarity, unsafe_similarity;
  float safe_distance, unsafe_distance; /* +infinity with no pattern */
  int64_t nearest_safe, nearest_unsafe; /* pattern ids, -1 with no pattern */
  uint32_t flags;
  uint32_t row_status; /* FDQC_ROW_OK .. */
} fdqc_verdict;

/* ---- the table ---- */

typedef struct fdqc_info {
  char libtorch_version[32]; /* the LibTorch that the shim was built with */
  char cpu_capability[32];   /* what ATen dispatches to, e.g. AVX512 */
  int32_t threads;           /* as set by runtime_configure */
  int32_t cuda_devices;      /* 0 until runtime_open_cuda succeeded */
} fdqc_info;

/* How a CUDA device computes, and what happened to it. */
typedef struct fdqc_device_info {
  char kernels[256];     /* which kernels, or why none but LibTorch's; "" before
                          * states were made there */
  int64_t out_of_memory; /* batches begun again with fewer rows at once */
  int64_t tile_rows;     /* rows that may be there at once; 0 before a batch */
  int32_t lost;          /* 1: it failed, and every call on it answers so */
  int32_t reserved;      /* 0 */
} fdqc_device_info;

/* What some threads together can do at best. */
typedef struct fdqc_roofline {
  double flops_per_second; /* float32, by multiply-adds, two each */
  double bytes_per_second; /* read from memory, past the caches */
} fdqc_roofline;

typedef struct fdqc_table {
  uint32_t abi_version;
  uint32_t size; /* sizeof(fdqc_table) */

  /* Frees a status. The only function without a status of its own. */
  void (*status_free)(fdqc_status *status);

  /* Sets the shim's pool, LibTorch's intra-op threads and the BLAS together:
   * threads computing threads in all, the caller's included. */
  fdqc_status *(*runtime_configure)(int32_t threads);
  fdqc_status *(*runtime_info)(fdqc_info *out);
  /* Opens libtorch_cuda by absolute path. FDQC_DEVICE_UNAVAILABLE says why
   * it cannot be used. */
  fdqc_status *(*runtime_open_cuda)(const char *path);
  /* Handles made and not yet freed. */
  fdqc_status *(*live_handles)(int64_t *out);

  /* tensors: risk_detector.{0,3,5}.{weight,bias} in the order 0.weight
   * [64,2n], 0.bias [64], 3.weight [32,64], 3.bias [32], 5.weight [1,32],
   * 5.bias [1]; copied. */
  fdqc_status *(*weights_new)(int32_t device, int32_t n, const float *const tensors[6], fdqc_weights **out);
  fdqc_status *(*weights_free)(fdqc_weights *weights);

  /* weight [n,d], bias [n]; copied. */
  fdqc_status *(*projection_new)(int32_t device, int32_t n, int32_t d, const float *weight, const float *bias, fdqc_projection **out);
  fdqc_status *(*projection_free)(fdqc_projection *projection);

  /* An empty memory of rows of 2n floats on both sides. */
  fdqc_status *(*patterns_new)(int32_t device, int32_t n, fdqc_patterns **out);
  /* Writes count rows: row index[i] of the side becomes rows[i] (2n floats)
   * with the id ids[i]. An index may be the side's count at most (append).
   * All or nothing. */
  fdqc_status *(*patterns_put)(fdqc_patterns *patterns, int32_t side, int64_t count, const int64_t *index, const float *rows, const int64_t *ids);
  /* Drops the rows from count on. */
  fdqc_status *(*patterns_truncate)(fdqc_patterns *patterns, int32_t side, int64_t count);
  fdqc_status *(*patterns_free)(fdqc_patterns *patterns);

  /* The loaded state (state_real [n], state_imag [n]); slot 0 starts as it,
   * every other slot too when it is first named. */
  fdqc_status *(*states_new)(int32_t device, int32_t n, const float *real, const float *imag, fdqc_states **out);
  fdqc_status *(*states_read)(const fdqc_states *states, int32_t slot, float *real, float *imag);
  fdqc_status *(*states_free)(fdqc_states *states);

  /* The workspace rows of a batch (specification section 2, step 1): out is
   * [count, n], row_status [count]. Reads segments, segment_count, count and
   * states (for n and the device) only; moves no state. */
  fdqc_status *(*project)(const fdqc_batch *batch, float *out, uint32_t *row_status);
  /* Judges a batch: out is [count]. A row is as if its predecessors had been
   * judged one by one (specification section 3). */
  fdqc_status *(*validate)(const fdqc_batch *batch, fdqc_verdict *out);

  /* Test builds only, else NULL: the next call of any function throws inside
   * its body: kind 1 std::runtime_error, 2 std::bad_alloc, 3 an int,
   * 4 c10::Error. */
  fdqc_status *(*fault_arm)(int32_t kind);

  /* Measures the machine with as many threads of its own (1 .. 1024), for
   * about as many seconds (at most 60) and with 256 MiB of memory. */
  fdqc_status *(*roofline_measure)(int32_t threads, double seconds, fdqc_roofline *out);

  /* device: a CUDA device, which may be lost. */
  fdqc_status *(*device_info)(int32_t device, fdqc_device_info *out);
  /* The loaded state and the state of every slot, on a device. Where `from`
   * lies may be lost: every batch that succeeds brings its states back. */
  fdqc_status *(*states_copy)(const fdqc_states *from, int32_t device, fdqc_states **out);

  /* A robust, shrunk fit of rows [count, n], 2 to 65536 of them, finite, in
   * float64. Writes the location [n]; the inverse of the covariance's lower
   * Cholesky factor [n, n]; of each row its distance from the fit without it
   * (left, [count]); of the first `queries` rows the distance to the nearest of
   * the others of rows (same, [queries]) and to the nearest of others
   * [other_count, n] (other, [queries]), +infinity where there is none; and the
   * covariance's trace and the trace of its square (moments, [2]). */
  fdqc_status *(*detector_fit)(int32_t device, int32_t n, int64_t count, const float *rows, int64_t other_count, const float *others, double *location, double *factor, double *left, int64_t queries, double *same, double *other, double *moments);
  /* The distances [count] of rows [count, n] from such a fit: the length of
   * factor * (row - location). */
  fdqc_status *(*detector_distances)(int32_t device, int32_t n, const double *location, const double *factor, int64_t count, const float *rows, double *out);
  /* The distance of each of rows [count, n], 1 to 65536 of them, to the nearest
   * of others [other_count, n] (out, [count]), in float64; +infinity where
   * there is none. */
  fdqc_status *(*detector_nearest)(int32_t device, int32_t n, int64_t count, const float *rows, int64_t other_count, const float *others, double *out);
} fdqc_table;

#if defined(__GNUC__)
__attribute__((visibility("default")))
#endif
const fdqc_table *fdqc_api(uint32_t abi_version);

#ifdef __cplusplus
}
#endif

#endif /* FDQC_H */
