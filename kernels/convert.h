/* Stored elements as float32, exactly. */
#ifndef LLOYD_KERNELS_CONVERT_H
#define LLOYD_KERNELS_CONVERT_H

#include "base/types.h"

#include <stdint.h>

/* out[0 .. count) = the elements of `in`, which are stored as `type`. */
void lloyd_to_float(lloyd_type type, const void *in, int64_t count, float *out);

#endif
