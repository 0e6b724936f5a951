/* A GPU for tests of groups of rows (kernels.h, set_groups()), behind a backend.c that is built for CUDA. Its kernels are those of the CPU, but for
 * what groups change, which is found by brute force as kernels.h defines it; a caller that does not do what that asks
 * of it gets LLOYD_FAILED. */
#ifndef LLOYD_TESTS_GPU_H
#define LLOYD_TESTS_GPU_H

#include "kernels/kernels.h"

#include <stdint.h>

enum { GPU_MOST_GROUPS = 16 };

typedef struct test_gpu {
    /* set for a test */
    int lazy;             /* 1: labels of groups that are not active are left as they are */
    int64_t fails, stops; /* the number of the call that fails, and of that in which a signal
                           * arrives; 0: none */
    /* seen since */
    int64_t calls;     /* of functions that it replaces */
    int64_t relocated; /* rows for empty clusters */
    int64_t drawn;     /* candidates, in rounds after the first */
    int live;          /* kernels that exist */
    /* its own */
    lloyd_kernels cpu; /* the functions that it replaces */
    int grouped;       /* 1: there is a set of centroids for groups */
    int measured;      /* 1: inertia() has followed assign() */
    int64_t count, rows[GPU_MOST_GROUPS + 1], moved[GPU_MOST_GROUPS];
    int64_t centroids[GPU_MOST_GROUPS + 1],
        next[GPU_MOST_GROUPS + 1]; /* of this set, of the next */
    const unsigned char *active;
} test_gpu;

extern test_gpu gpu;

/* A new one. */
void gpu_begin(int lazy);

#endif
