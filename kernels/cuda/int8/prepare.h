/* Operands of the 8-bit filter. */
#ifndef LLOYD_KERNELS_CUDA_INT8_PREPARE_H
#define LLOYD_KERNELS_CUDA_INT8_PREPARE_H

#include "kernels/cuda/int8/filter.h"

/* Bytes of a row of codes: whole INT8_PIECEs. */
int64_t lloyd_cuda_int8_stride(int64_t dim);
/* Whether rows of this type are their own codes. */
bool lloyd_cuda_int8_exact(const lloyd_kernels_config *config);
/* Whether codes of rows are unsigned. */
bool lloyd_cuda_int8_unsigned(const lloyd_kernels_config *config);
/* Whether the slot itself holds the codes as the kernel reads them; else they are kept beside it. */
bool lloyd_cuda_int8_in_place(const lloyd_kernels_config *config);
/* Whether codes are kept by the number of the row, not by slot: each chunk has a slot of its own. */
bool lloyd_cuda_int8_by_row(const lloyd_kernels_config *config);
/* The codes of a slot's rows. */
uint8_t *lloyd_cuda_int8_codes(cuda_kernels *cuda, int slot);

/* Codes, Z and |dx| of rows of any type, in the unit `units` has of rows. */
lloyd_status lloyd_cuda_int8_describe(cuda_kernels *cuda, const cuda_rows &rows,
                                      const int8_units *units, int8_row *out, uint8_t *codes);
/* The operands of the current centroids and of the slot's rows, as far as they are not there. */
lloyd_status lloyd_cuda_int8_prepare(cuda_kernels *cuda, int slot);

#endif
