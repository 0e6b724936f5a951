/* The 8-bit filter, host side. docs/numerics.md, section 2.7. */
#ifndef LLOYD_KERNELS_CUDA_INT8_FILTER_H
#define LLOYD_KERNELS_CUDA_INT8_FILTER_H

#include "kernels/cuda/int8/int8.cuh"
#include "kernels/cuda/int8/span.h"
#include "kernels/cuda/int8/times.h"
#include "kernels/cuda/memory/memory.h"
#include "kernels/cuda/rows.cuh"

struct cuda_decision;

/* The counters of a sample of rows, and behind them the number of rows left open. */
enum { INT8_SAMPLED = LLOYD_COUNTERS + 1 };

/* Which filter labels rows until the centroids change, and what that follows from. */
struct int8_choice {
    bool made;     /* for the current centroids */
    bool labelled; /* rows have labels from an iteration */
    lloyd_filter_schedule schedule;
    lloyd_filter_times times;
    int64_t counters[LLOYD_COUNTERS]; /* of this rank's last iteration without pruning */
    double listed;          /* share of rows that the other filter listed when it was used last */
    bool tried;             /* a sample in this iteration; */
    cuda_span part, sample; /* its filter alone, without preparing operands and codes */
    double sampled_candidates, sampled_open; /* of the last one */
    cuda_span labelling; /* the first slot with rows, in iterations that are measured */
};

struct cuda_int8 {
    bool ready;            /* origin and the rows' unit are chosen */
    const float *prepared; /* the centroids that the operands are of, NULL: none */
    int since_sorted,
        sorted_for;  /* sets of operands since `order` was made, and until it is made anew */
    bool *described; /* [chunks], on the host: `rows` has the chunk's rows */

    /* of the rows */
    cuda_array<float> origin; /* [D] m */
    cuda_array<int>
        range; /* [2 D] least and greatest elements of the centroids, as ordered integers */
    cuda_array<int8_row> rows; /* [n_local] */
    cuda_array<uint8_t> codes; /* [slots][chunk][stride], where rows are not used as they are */

    /* of the set */
    cuda_array<int8_units> units; /* [1] */
    cuda_array<uint8_t> image;
    cuda_array<int8_tile> tile;
    cuda_array<int8_t> digits;
    cuda_array<double> own_bias;
    cuda_array<int32_t> bias;             /* [set] of a score, by centroid */
    cuda_array<uint32_t> key, sorted_key; /* [set] the bits of a float */
    cuda_array<int32_t> number, order;    /* [set] */
    cuda_array<char> sorter;              /* CUB's space */

    /* int8_lists */
    cuda_array<int> rows_of;
    cuda_array<int32_t> row, found, start, candidate;

    int8_choice choice;
    cuda_array<unsigned long long> sampled; /* [INT8_SAMPLED] */
};

/* Whether there is a kernel for `set` centroids on this GPU. */
bool lloyd_cuda_int8_serves(const cuda_gpu &gpu, const lloyd_kernels_config *config, int64_t set);
/* The device memory for sets of at most `set` centroids and `block` rows at a time. */
void lloyd_cuda_int8_list(cuda_buffers &buffer, cuda_int8 *f, const cuda_gpu &gpu,
                          const lloyd_kernels_config *config, int64_t set, int64_t block);

/* Rows that all multiprocessors take at a time. */
int64_t lloyd_cuda_int8_wave(const cuda_kernels *cuda);
/* What becomes of the first `count` rows by the current centroids and labels, into `sampled`, and how long the filter takes for them, and
 * for the `first` of them; labels no row. */
lloyd_status lloyd_cuda_int8_sample(cuda_kernels *cuda, int slot, int first, int count,
                                    const cuda_decision &d, cuda_span *part, cuda_span *all);

/* Labels those of rows [begin, begin + count) of a slot that have one candidate, and lists the others with theirs. Rows with
 * too many are left open, and counted in d's lists: lloyd_cuda_int8_list_open(). */
lloyd_status lloyd_cuda_int8_find(cuda_kernels *cuda, int slot, int64_t begin, int count,
                                  const cuda_decision &d);
/* What its kernel is given for these rows, but for the tensor; operands are prepared. */
int8_params lloyd_cuda_int8_params(cuda_kernels *cuda, int slot, int64_t begin, int count,
                                   const cuda_decision &d);
/* The lists that it has filled for `count` rows. */
int8_lists lloyd_cuda_int8_lists(const cuda_kernels *cuda, int count);
/* int8_params.reach. */
double lloyd_cuda_int8_reach(const cuda_kernels *cuda);

#endif
