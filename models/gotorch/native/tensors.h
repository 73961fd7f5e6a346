/* What gotorch lacks to share memory: a tensor's address and shape, and
 * tensors over memory that others fill. Built by scripts/gotorch into
 * libfdqc_gotorch.so, of the LibTorch that gotorch's own library is linked to.
 *
 * A tensor is gotorch's: the address of an at::Tensor. Functions answer 0, or
 * another number and a sentence in `problem`; no C++ exception crosses. Names
 * are prefixed, because gotorch's C symbols are global (Add, Sum, ...).
 */
#ifndef FDQC_GOTORCH_TENSORS_H
#define FDQC_GOTORCH_TENSORS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FDQC_GOTORCH_PROBLEM 256 /* bytes, the NUL included */

/* The memory of a float32 tensor [count, width] on the CPU, contiguous; it
 * belongs to the tensor. */
int fdqc_gotorch_rows(const void *tensor, const float **data, int64_t *count, int64_t *width, char *problem);

/* A new tensor of `size` zero bytes, which the caller gives to gotorch, and
 * its memory, aligned to 64 bytes. */
int fdqc_gotorch_memory(int64_t size, void **tensor, void **data, char *problem);

/* A new tensor over the memory of one that fdqc_gotorch_memory made, which
 * lives as long as any of them: [count], or [count, columns] when columns > 0,
 * of at::ScalarType dtype; element i, k is at byte offset + i * stride + k *
 * its size. The caller keeps within the memory. */
int fdqc_gotorch_view(const void *memory, int8_t dtype, int64_t count, int64_t columns, int64_t offset, int64_t stride, void **tensor, char *problem);

#ifdef __cplusplus
}
#endif

#endif /* FDQC_GOTORCH_TENSORS_H */
