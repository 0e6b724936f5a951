/* Which fused kernel, and with which tile, labels rows of D columns: decided on the host, from
 * sizes alone, in no time. */
#ifndef LLOYD_KERNELS_CUDA_ASSIGN_SHAPE_H
#define LLOYD_KERNELS_CUDA_ASSIGN_SHAPE_H

#include "base/types.h"

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum lloyd_flash_path {
    LLOYD_FLASH_FEW,      /* dist() to every centroid, no filter */
    LLOYD_FLASH_SM90,     /* rows in registers */
    LLOYD_FLASH_RESIDENT, /* rows in registers, all centroids in shared memory */
    LLOYD_FLASH_WIDE,     /* rows streamed as well */
    LLOYD_FLASH_SM80      /* any GPU from compute capability 8.0 on */
} lloyd_flash_path;

typedef struct lloyd_flash_shape {
    lloyd_flash_path path;
    int steps;  /* of 16 columns, which the kernel is compiled for */
    int width;  /* centroids of a tile */
    int sift;   /* 1: only products that may matter become scores */
    int vector; /* 1: rows start at multiples of 16 bytes */
} lloyd_flash_shape;

lloyd_flash_shape lloyd_flash_choose(int64_t set, int64_t dim, lloyd_type type, int capability);

#ifdef __cplusplus
}
#endif
#endif
