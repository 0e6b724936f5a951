/* A problem: its data, the kernels of both sides, and the way of its rows into their slots. */
#ifndef PROBLEM_H
#define PROBLEM_H

#include "kernels/kernels.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef enum data_kind {
    GAUSS,
    LATTICE,    /* small integers: ties everywhere */
    DUPLICATES, /* rows and centroids several times */
    SIFT,       /* 0 .. 255, most of them small */
    TINY,
    HUGE_VALUES,
    OFFSET,
    OUTLIER,  /* a few elements of rows and centroids far away */
    BISECTOR, /* rows within a unit in the last place of the middle between two centroids */
    COLUMNS,  /* columns of very different size */
    SUBNORMAL,
    SHARED, /* few tight clusters, most of them with several centroids */
    FAR,    /* centroids farther out than any row, some of them behind a row */
    SPREAD, /* some elements of any size: columns of many digits */
    ZEROS,
    KINDS,        /* what follows has a test of its own */
    CONE = KINDS, /* unit rows that differ by little more than their own roundings */
    ALIGNED,      /* roundings of operands are as bad as they can be */
    LOSSY         /* so are those of sums */
} data_kind;

typedef enum weighting { UNWEIGHTED, WEIGHTED, WIDE, WEIGHTINGS } weighting;

/* How rows get into slots. The order in which the CUDA kernels see the chunks is reversed where
 * that may not matter. */
typedef enum layout {
    WHOLE,     /* one slot */
    RESIDENT,  /* a slot for each chunk, the last slot for the first chunk */
    STREAMED,  /* one slot, loaded again in every pass */
    ALTERNATE, /* the same with two slots, copied while the kernels compute */
    PIECES,    /* as RESIDENT, filled in pieces; and one slot without rows */
    LAYOUTS
} layout;

typedef struct test_case {
    data_kind kind;
    lloyd_type type;
    int64_t n, d, k;
    int cosine;
    weighting weighting;
    layout layout;
} test_case;

enum { CPU, CUDA, SIDES };

typedef struct problem {
    test_case c;
    char *rows;       /* [n*d] as stored */
    float *weights;   /* [n] or NULL */
    float *centroids; /* [k*d] */
    lloyd_kernels *side[SIDES];
    int64_t chunk_rows, chunks;
    int64_t loaded[SIDES]; /* resident chunks */
    lloyd_grid grid;
    lloyd_dd squares; /* Q */
    int reversed;
    lloyd_load_need need; /* of the rows that passes load */
    int differences;
    int iteration; /* for messages, 0: none */
    int64_t fallback_rows[SIDES];
} problem;

/* Memory for `count` elements of `size` bytes, which the caller frees by lloyd_free(). */
void *new_array(int64_t count, size_t size);

/* Data and chunks of a case, without kernels; free_problem() frees it. */
problem new_problem(const test_case *c);
void free_problem(problem *p);

/* Cuts p->c.n rows into chunks. */
void choose_chunks(problem *p);

/* Makes the kernels of both sides; 0 if that fails. */
int new_kernels(problem *p);

/* Overrides a choice of the CUDA kernels (kernels/cuda/overrides.h), besides those that --override names; 0 if that fails. */
int override_too(problem *p, const char *name);

int64_t chunk_first(const problem *p, int64_t chunk);
int64_t chunk_count(const problem *p, int64_t chunk);

/* *slot = where chunk number `chunk` is, loaded if need be. */
int load(problem *p, int side, int64_t chunk, int *slot);

typedef lloyd_status (*chunk_work)(lloyd_kernels *kernels, int slot, int64_t first, void *result);

/* Does something with all chunks of one side. */
int pass(problem *p, int side, const char *what, chunk_work work, void *result);

#endif
