/* The CUDA kernels' own state. Files: cuda.cu (create, load, the table), rows.cu (lengths, minima
 * and maxima, squares), assign.cu (which kernel labels a slot, and what it needs to know about rows
 * and centroids), flash_assign_*.cu (the fused kernels), sort.cu (rows by label), update.cu (their
 * sums), update_shared.cu (those of few clusters), update_wide.cu (of columns of many digits), means.cu (inertia, centroids), distances.cu,
 * seed.cu, reduce.cu and clock.cu.
 *
 * Everything runs on one stream per rank, but for the copies of load_start(), which have their own.
 * Functions that return numbers to the host wait for the stream; all others only enqueue. Rows stay
 * in the type they are stored in, without padding.
 */
#ifndef LLOYD_KERNELS_CUDA_CUDA_H
#define LLOYD_KERNELS_CUDA_CUDA_H

#include "kernels/exact.h"
extern "C" {
#include "base/memory.h"
#include "kernels/kernels.h"
}

#include <cuda_runtime.h>

/* A slot's rows in device memory. */
struct cuda_slot {
    char *rows;         /* [capacity] rows as stored, or NULL: nothing was loaded yet */
    int64_t first;      /* local number of its first row */
    int64_t count;      /* rows in it */
    int64_t bytes;      /* allocated */
    bool described;     /* the filter has norms of these rows (assign.cu) */
    cudaEvent_t copied; /* the last copy of load_start(); NULL: there was none */
};

struct cuda_staging; /* cuda.cu: pinned memory that rows pass through on their way in */
struct cuda_filter;  /* assign.cu: what the fused kernels need beside the rows */
struct cuda_sorter;  /* sort.cu: sorting space */
struct cuda_means;   /* means.cu: centroids that follow from the sums */
struct cuda_clock;   /* clock.cu: when the stream was where */

/* What kernels are chosen by. */
struct cuda_gpu {
    int multiprocessors;
    int capability;   /* 90 for compute capability 9.0 */
    int shared_bytes; /* shared memory that a block can have */
};

struct cuda_kernels {
    lloyd_kernels base; /* first: a lloyd_kernels * is a cuda_kernels * */
    cudaStream_t stream;
    cudaStream_t copies; /* of load_start(); NULL until the first */
    cudaEvent_t asked;   /* on `stream`: what was enqueued before a copy */
    int device;
    cuda_gpu gpu;
    int pretended; /* lloyd_cuda_pretend() */

    cuda_slot *slots;      /* host array [slots] */
    cuda_staging *staging; /* NULL until rows come from pageable memory */
    int32_t *labels;       /* [n_local] */
    float *weights;        /* [n_local], NULL without */
    double *lengths;       /* [n_local] sqrt of the squares of a row, for cosine, else NULL */

    /* the centroid set */
    int64_t set, set_capacity;
    float *centroids; /* [set_capacity*D] */
    cuda_filter *filter;

    /* sums */
    const lloyd_grid *grid;         /* of the caller, on the host; NULL until set_grid() */
    lloyd_sum_layout layout;        /* of `sums` */
    double *digit_scale;            /* [D] 2^(b - M); 0 for wide columns */
    int *top, *digits, *square_top; /* [D] as in the grid, on the device, and so */
    int32_t *second, *wide_number, *wide_column; /* [D] are these */
    double mass_scale, least_mass;               /* 2^(b - M_w), 2^(b T_w - M_w) */
    int64_t *sums;
    bool sums_zero; /* no rows were added since begin() */
    cuda_sorter *sorter;
    cuda_means *means;

    /* seeding */
    double *nearest_distance; /* [n_local] */
    int32_t *nearest;         /* [n_local] */
    int64_t *mass_sums;       /* fixed-point masses of blocks of rows (seed.cu) */
    int mass_exponent;        /* the grid that mass_sums are on; */
    int mass_bits;            /* 0: they are not those of the rows now */

    /* numbers on their way to the host */
    void *pinned;  /* CUDA_PINNED bytes of pinned host memory */
    void *results; /* CUDA_PINNED bytes of device memory */

    char *scratch; /* [lloyd_cuda_scratch_bytes()] of device memory, used within one function */

    cuda_clock *clock; /* NULL until the first mark */

    int64_t allocated, peak; /* bytes of device memory */
};

enum { CUDA_PINNED = 4096 };

static inline cuda_kernels *lloyd_cuda(lloyd_kernels *kernels)
{
    return (cuda_kernels *)kernels;
}

/* LLOYD_FAILED with what CUDA says about `code`; `what` was being done. */
lloyd_status lloyd_cuda_check(cudaError_t code, const char *what);

/* Returns from the calling function if a CUDA call failed. */
#define CUDA_TRY(call, what) LLOYD_TRY(lloyd_cuda_check((call), (what)))
/* After a launch. */
#define CUDA_LAUNCHED(what) CUDA_TRY(cudaGetLastError(), what)

/* *out = `count` elements of `size` bytes of device memory, not initialised, counted in
 * cuda->allocated. A count of 0 gives a valid pointer too. Free with lloyd_cuda_free(). */
lloyd_status lloyd_cuda_alloc(cuda_kernels *cuda, void *out, int64_t count, size_t size,
                              const char *what);
void lloyd_cuda_free(cuda_kernels *cuda, void *memory, int64_t count, size_t size);

/* Copies `bytes` (<= CUDA_PINNED) of device memory to the host and waits. */
lloyd_status lloyd_cuda_fetch(cuda_kernels *cuda, void *host, const void *device, size_t bytes);

/* Bytes of cuda->scratch: the words of the squares, and space for some rows. */
static inline int64_t lloyd_cuda_scratch_bytes(int64_t dim)
{
    const int64_t least = 1 << 20;
    const int64_t words = 8 * LLOYD_SQUARE_DIGITS * dim;
    return words > least ? words : least;
}

/* clock.cu; nothing happens unless config.timed */
enum { CUDA_UNTIMED = -1 };
/* What the stream does between the mark before and this one is `work`, a lloyd_work, or
 * CUDA_UNTIMED. */
lloyd_status lloyd_cuda_mark(cuda_kernels *cuda, int work);
/* Marks that are not read yet, and not forgotten. */
int64_t lloyd_cuda_marks(const cuda_kernels *cuda);
/* Adds the times of the first `marks` of them, which the stream has passed, to base.seconds. */
lloyd_status lloyd_cuda_read_clock(cuda_kernels *cuda, int64_t marks);
void lloyd_cuda_forget_marks(cuda_kernels *cuda);
void lloyd_cuda_clock_free(cuda_kernels *cuda);

/* rows.cu */
lloyd_status lloyd_cuda_lengths(cuda_kernels *cuda, int slot, int64_t at, int64_t count);
lloyd_status lloyd_cuda_measure(lloyd_kernels *kernels, int slot, lloyd_range *range);
lloyd_status lloyd_cuda_measure_weighted(lloyd_kernels *kernels, int slot,
                                         lloyd_product_range *range);
lloyd_status lloyd_cuda_set_grid(lloyd_kernels *kernels, const lloyd_grid *grid);
lloyd_status lloyd_cuda_squares(lloyd_kernels *kernels, int slot, int64_t *words);
lloyd_status lloyd_cuda_rows(lloyd_kernels *kernels, int slot, const int64_t *rows, int64_t count,
                             float *out);
lloyd_status lloyd_cuda_take(lloyd_kernels *kernels, int slot, const int64_t *rows, int64_t count,
                             lloyd_kernels *to, int to_slot, int64_t at);

/* assign.cu */
lloyd_status lloyd_cuda_set_centroids(lloyd_kernels *kernels, int64_t count,
                                      const float *centroids);
lloyd_status lloyd_cuda_assign(lloyd_kernels *kernels, int slot);
/* Labels the rows of a slot with the nearest member of the set; counters[0] += labels changed,
 * counters[1] += rows verified (device memory). */
lloyd_status lloyd_cuda_nearest(cuda_kernels *cuda, int slot, int64_t *counters);
/* On the device: terms[0] = the inertia, terms[1] = the mass of all rows. */
struct cuda_inertia {
    const double *terms;
};
/* Prepares the next assignment to `centroids` in GPU memory, which are, or will be by then, the
 * current ones, and have changed. inertia: what the last iteration's came to, where the host does not
 * know it yet. */
lloyd_status lloyd_cuda_prepare(cuda_kernels *cuda, const float *centroids,
                                const cuda_inertia &inertia);
/* What the mean square of the distance of rows to their centroids is about (0: nobody knows; -1: as
 * before), and how many rows of all ranks will need the second step (-1: nobody knows). The next
 * assignment is fastest if so, and right for any. */
void lloyd_cuda_expect(cuda_kernels *cuda, double nearest, int64_t verified);
/* As lloyd_cuda_assign(); ms = the times of the filter and of verification, for benchmarks. Waits. */
lloyd_status lloyd_cuda_assign_phases(cuda_kernels *cuda, int slot, float ms[2]);
/* From the next set_centroids() on, works as on a GPU of this compute capability (at most its own);
 * or, for tests and benchmarks, a sum of these, 0: as chosen. CUDA_STREAMED: centroids are streamed even
 * where they fit the shared memory. CUDA_OTHER_SIFT: low products are sifted out where they would not
 * be, and the reverse. CUDA_OTHER_SORT: few clusters are not counted but sorted as many are.
 * CUDA_SORTED: rows are sorted where they would be summed in shared memory.
 * CUDA_BOTH_STEPS: a few rows without a certificate are verified as many are. CUDA_KNOWN: what is known
 * of distances outlives set_centroids(). */
enum {
    CUDA_STREAMED = 1,
    CUDA_OTHER_SIFT = 2,
    CUDA_OTHER_SORT = 4,
    CUDA_BOTH_STEPS = 8,
    CUDA_KNOWN = 16,
    CUDA_SORTED = 32,
    CUDA_OTHERS = 63
};
static inline bool lloyd_cuda_pretends(const cuda_kernels *cuda, int which)
{
    return cuda->pretended <= CUDA_OTHERS && (cuda->pretended & which) != 0;
}
/* Shared memory that a block can have, also where an older GPU is pretended. */
static inline int lloyd_cuda_shared_bytes(const cuda_kernels *cuda)
{
    return cuda->pretended > CUDA_OTHERS ? 99 << 10 : cuda->gpu.shared_bytes;
}
extern "C" void lloyd_cuda_pretend(lloyd_kernels *kernels, int pretended);
void lloyd_cuda_filter_free(cuda_kernels *cuda);
/* Bytes that assign.cu allocates for sets of at most `set` centroids, these included. */
int64_t lloyd_cuda_filter_bytes(const lloyd_kernels_config *config, int64_t set);

/* cuda.cu: room for the sums of a grid, or for the counters alone (NULL), set to zero. */
lloyd_status lloyd_cuda_alloc_sums(cuda_kernels *cuda, const lloyd_grid *grid);

/* cuda.cu: the current device, for a plan made before there are kernels; an H200 where it does not
 * tell. */
cuda_gpu lloyd_cuda_planned_gpu(void);

/* sort.cu */
/* Rows in the order of their labels; the arrays belong to cuda->sorter. */
struct cuda_sorted {
    const uint32_t *labels; /* [count] */
    const uint32_t *order;  /* [count] row numbers */
};
/* How many rows can be sorted at a time. */
int64_t lloyd_cuda_sorted_rows(const lloyd_kernels_config *config);
/* *sorted = the rows of labels[0, count), count <= sorted_rows(), numbered from 0; on the stream.
 * Every label is in [0, K). Rows of equal label are in any order. */
lloyd_status lloyd_cuda_sort(cuda_kernels *cuda, const int32_t *labels, int64_t count,
                             cuda_sorted *sorted);
void lloyd_cuda_sorter_free(cuda_kernels *cuda);
/* Bytes that sort.cu allocates: none where nothing is sorted. */
int64_t lloyd_cuda_sorter_bytes(const lloyd_kernels_config *config);

/* update.cu */
lloyd_status lloyd_cuda_accumulate(lloyd_kernels *kernels, int slot);
/* update_shared.cu: whether no sorting is planned for, as rows are summed in shared memory, of which a
 * block can have `shared_bytes`, in whichever way the data will ask for. (It takes sorting all the same
 * where columns have more than two digits.) */
bool lloyd_cuda_plans_to_share(const lloyd_kernels_config *config, int shared_bytes);

/* means.cu */
lloyd_status lloyd_cuda_begin(lloyd_kernels *kernels);
lloyd_status lloyd_cuda_inertia(lloyd_kernels *kernels, lloyd_dd squares, lloyd_found *found);
lloyd_status lloyd_cuda_update_means(lloyd_kernels *kernels);
lloyd_status lloyd_cuda_empty_clusters(lloyd_kernels *kernels, int64_t count, int32_t *clusters);
lloyd_status lloyd_cuda_relocate(lloyd_kernels *kernels, int32_t from, int32_t to,
                                 const int64_t *words);
/* To be called by all but means.cu that change sums, grid or centroids: what inertia() computed
 * ahead of update_means() is void. */
void lloyd_cuda_means_stale(cuda_kernels *cuda);
void lloyd_cuda_means_free(cuda_kernels *cuda);
/* Bytes that means.cu allocates for sets of at most `set` centroids. */
int64_t lloyd_cuda_means_bytes(const lloyd_kernels_config *config, int64_t set);

/* distances.cu */
lloyd_status lloyd_cuda_count_labels(lloyd_kernels *kernels, int64_t *counts);
lloyd_status lloyd_cuda_distances(lloyd_kernels *kernels, int slot, double *out);
lloyd_status lloyd_cuda_distance_span(lloyd_kernels *kernels, int slot, lloyd_span *span);
lloyd_status lloyd_cuda_total_distance(lloyd_kernels *kernels, int slot, int top, int bits,
                                       int count, int64_t *total);
lloyd_status lloyd_cuda_farthest(lloyd_kernels *kernels, int slot, int64_t want,
                                 lloyd_far_row *list, int64_t *count);
/* counts[id] += 1, or with weights the fixed-point mass, for every local row whose ids[row] is below
 * `bins`. ids and weights in device memory, counts[bins] on the host. */
lloyd_status lloyd_cuda_histogram(cuda_kernels *cuda, const int32_t *ids, const float *weights,
                                  int64_t bins, int64_t *counts);
/* Bytes that any of these allocates while it runs. */
int64_t lloyd_cuda_distances_bytes(const lloyd_kernels_config *config);

/* seed.cu */
/* Device memory of seeding beside its 12 bytes a row. */
int64_t lloyd_cuda_seed_scratch_bytes(const lloyd_kernels_config *config);
lloyd_status lloyd_cuda_seed_begin(lloyd_kernels *kernels);
lloyd_status lloyd_cuda_seed_compare(lloyd_kernels *kernels, int slot, int64_t base, double *mass);
lloyd_status lloyd_cuda_seed_total(lloyd_kernels *kernels, int exponent, int bits, int64_t *total);
lloyd_status lloyd_cuda_seed_pick(lloyd_kernels *kernels, int exponent, int bits, int64_t target,
                                  int64_t *row);
lloyd_status lloyd_cuda_seed_sample(lloyd_kernels *kernels, int exponent, int bits, int64_t total,
                                    int64_t oversampling, uint64_t seed, int round,
                                    int64_t row_offset, int64_t capacity, int64_t *rows,
                                    int64_t *count);
lloyd_status lloyd_cuda_seed_masses(lloyd_kernels *kernels, int64_t *masses);
lloyd_status lloyd_cuda_seed_try(lloyd_kernels *kernels, int slot, int exponent, int bits,
                                 int64_t *totals);
lloyd_status lloyd_cuda_seed_end(lloyd_kernels *kernels);

/* reduce.cu */
lloyd_status lloyd_cuda_reduce(lloyd_kernels *kernels, const lloyd_reduction *reduction,
                               const lloyd_leaf *leaves, int64_t count, int64_t *done);

#endif
