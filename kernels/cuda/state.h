/* The state of the CUDA kernels: what one rank has on its GPU.
 *
 * state.cu lists its device memory, cuda.cu makes and destroys it and holds the table of functions. memory/ allocates, slots.cu brings rows in, column_stats.cu and
 * rows.cu look at them before the first iteration; assign/ labels them, update/ sums them and makes centroids, seed/ chooses the
 * first ones, distances.cu computes results, and clock.cu takes the time.
 *
 * Everything runs on one stream per rank, but for the copies of load_start(), which have their own.
 * Functions that return numbers to the host wait for the stream; all others only enqueue. Rows stay
 * in the type they are stored in, without padding.
 */
#ifndef LLOYD_KERNELS_CUDA_STATE_H
#define LLOYD_KERNELS_CUDA_STATE_H

#include "kernels/exact.h"
extern "C" {
#include "base/memory.h"
#include "kernels/cuda/device.h"
#include "kernels/kernels.h"
}

#include "kernels/cuda/memory/memory.h"
#include "kernels/cuda/overrides.h"

#include <cuda_runtime.h>

/* A slot's rows in device memory. */
struct cuda_slot {
    cuda_array<char> rows; /* as stored, in bytes; NULL: nothing was loaded yet */
    int64_t first;         /* local number of its first row */
    int64_t count;         /* rows in it */
    int64_t filled;        /* rows that have been written, of this chunk or another */
    bool partial;          /* rows that were not needed are of another chunk (prune/needed.h),
                              and so is what was computed of them when it was loaded */
    bool described;        /* the filter has norms of these rows, */
    bool encoded;          /* and the 8-bit filter codes */
    cudaEvent_t copied;    /* the last copy of load_start(); NULL: there was none */
};

struct cuda_staging; /* slots.cu: pinned memory that large arrays pass through on their way in */
struct cuda_filter;  /* assign/assign.h: what the fused kernels need beside the rows */
struct cuda_sorter;  /* update/sort.cu: sorting space */
struct cuda_means;   /* update/means.cu: centroids that follow from the sums */
struct cuda_clock;   /* clock.cu: when the stream was where */
struct cuda_stock;   /* memory/keep.h: what was and will be that of other kernels */
struct cuda_groups;  /* groups.h: rows that are compared with centroids of their own */

struct cuda_kernels {
    lloyd_kernels base;         /* first: a lloyd_kernels * is a cuda_kernels * */
    lloyd_kernels_config given; /* to create(): overrides change base.config */
    cudaStream_t stream;
    cudaStream_t copies; /* of load_start(); NULL until the first */
    cudaEvent_t asked;   /* on `stream`: what was enqueued before a copy */
    int device;
    cuda_gpu gpu;
    cuda_stock *stock; /* NULL: nothing is kept */
    cuda_overrides overrides;

    cuda_slot *slots;           /* host array [slots] */
    cuda_staging *staging;      /* NULL until a large array comes from pageable memory */
    cuda_array<int32_t> labels; /* [n_local] */
    cuda_array<float> weights;  /* [n_local], NULL without */
    cuda_array<double> lengths; /* [n_local] sqrt of the squares of a row, for cosine, else NULL */

    /* the centroid set */
    int64_t set;
    cuda_array<float> centroids; /* [D] of each, of the largest set so far */
    cuda_filter *filter;
    cuda_groups *groups; /* NULL: all rows are compared with all of them */

    /* sums */
    const lloyd_grid *grid;         /* of the caller, on the host; NULL until set_grid() */
    lloyd_sum_layout layout;        /* of `sums` */
    cuda_array<char> columns;       /* [D * CUDA_COLUMN_BYTES] of these, one after the other: */
    double *digit_scale;            /* [D] 2^(b - M); 0 for wide columns */
    int *top, *digits, *square_top; /* [D] as in the grid, on the device, and so */
    int32_t *second, *wide_number, *wide_column; /* [D] are these */
    double mass_scale, least_mass;               /* 2^(b - M_w), 2^(b T_w - M_w) */
    cuda_array<int64_t>
        sums; /* of this rank's rows, kept from iteration to iteration; and the counters of this one */
    cuda_array<int64_t> totals; /* the same after sums(), which may be summed over ranks */
    cuda_array<int32_t> summed; /* [n_local] the cluster in whose sums each of the summed rows is */
    int64_t summed_rows;        /* rows that were added since the sums were zero */
    int64_t moved; /* labels that changed in the last iteration; all, where nothing is known */
    bool sums_continued; /* this iteration looks at the rows that have moved only, */
    bool sums_zero;      /* or sums are zero as yet */
    bool
        counters_zero; /* the counters among the sums are zero since inertia() has looked at them */
    bool totals_stale; /* totals are not yet those of `sums` */
    cuda_sorter *sorter;
    cuda_means *means;

    /* seeding */
    cuda_array<double> nearest_distance; /* [n_local] */
    cuda_array<int32_t> nearest;         /* [n_local] */
    cuda_array<int64_t> mass_sums;       /* fixed-point masses of blocks of rows (seed/masses.cu) */
    cuda_array<uint32_t> masses_ended;   /* blocks that have theirs; 0 between launches */
    int mass_exponent;                   /* the grid that mass_sums are on; */
    int mass_bits;                       /* 0: they are not those of the rows now */

    /* numbers on their way to the host */
    /* CUDA_PINNED bytes of pinned host memory, and behind them CUDA_PINNED_SAMPLE for the counters of a sample (int8/choice.cu), which
     * nobody waits for */
    void *pinned;
    cuda_array<char> results; /* CUDA_PINNED bytes of device memory */

    cuda_array<char>
        scratch; /* [lloyd_cuda_scratch_bytes()] of device memory, used within one function */

    cuda_clock *clock; /* NULL until the first mark */

    int64_t allocated, peak; /* bytes of device memory */
    bool ending;             /* destroy() has waited for all work: memory can go at once */
};

enum { CUDA_PINNED = 4096, CUDA_PINNED_SAMPLE = 256 };
enum { CUDA_COLUMN_BYTES = sizeof(double) + 6 * sizeof(int32_t) };

static inline cuda_kernels *lloyd_cuda(lloyd_kernels *kernels)
{
    return (cuda_kernels *)kernels;
}

/* Bytes of cuda->scratch: the words of the squares, and space for some rows. */
static inline int64_t lloyd_cuda_scratch_bytes(int64_t dim)
{
    const int64_t least = 1 << 20;
    const int64_t words = 8 * LLOYD_SQUARE_DIGITS * dim;
    return words > least ? words : least;
}

/* Shared memory that a block can have. */
static inline int lloyd_cuda_shared_bytes(const cuda_kernels *cuda)
{
    return cuda->overrides.small_shared ? 99 << 10 : cuda->gpu.shared_bytes;
}

/* The memory that is there from create() to destroy(), but for the sums; not initialised. */
lloyd_status lloyd_cuda_reserve_state(cuda_kernels *cuda);
/* With the sums. */
void lloyd_cuda_release_state(cuda_kernels *cuda);
/* Bytes of both, for a plan. */
int64_t lloyd_cuda_state_bytes(const lloyd_kernels_config *config);

/* Room for the sums of a grid, or for the counters alone (NULL), set to zero. */
lloyd_status lloyd_cuda_alloc_sums(cuda_kernels *cuda, const lloyd_grid *grid);

#endif
