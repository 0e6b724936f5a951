/* What follows from the sums of all ranks: inertia and new centroids (sections 3 to 5 of the
 * contract), and the bookkeeping for empty clusters.
 *
 * A warp per cluster, its lanes the 32 interleaved partial sums of dist(), gives the cluster's term
 * of the inertia; the block of 1024 threads that ends last, the 1024 interleaved partial sums over
 * clusters, adds them up. The host needs these numbers to decide how to continue, and the GPU would wait
 * for the host meanwhile. So inertia() also enqueues the new centroids, into a spare buffer, and what
 * the next assignment needs of them, behind the copy of the numbers, and waits for that copy alone;
 * update_means() then just exchanges the buffers. Where centroids are few, and another launch takes longer than they do, they come
 * with the numbers. If the sums, the grid or the centroids change in
 * between (lloyd_cuda_means_stale), it computes them anew; if the iteration ends there, they are never
 * looked at.
 */
#include "kernels/cuda/update/means.h"

#include "kernels/cuda/assign/assign.h"
#include "kernels/cuda/clock.h"
#include "kernels/cuda/int8/choice.h"
#include "kernels/cuda/memory/keep.h"
#include "kernels/cuda/prune/choice.h"
#include "kernels/cuda/row_distance.cuh"
#include "kernels/cuda/slots.h"
#include "kernels/cuda/update/update.h"

struct cuda_means {
    cuda_array<lloyd_dd> terms; /* [K] each cluster's term of the inertia */
    cuda_array<float> largest;  /* [blocks of inertia()] |c| of any centroid of a block */
    cuda_array<uint32_t> ended; /* [1] blocks of inertia() that are through; 0 between launches */
    cuda_array<float> spare;    /* as large as the centroids: the two are exchanged */
    bool ready;         /* spare is what follows from sums, grid and centroids as they are */
    cudaEvent_t copied; /* the numbers have reached the host; NULL: not created yet */
};

namespace
{

enum { THREADS = 256, CLUSTERS = THREADS / 32 };

constexpr int64_t FEW_ELEMENTS = 1 << 20; /* of centroids that come with the numbers */

/* Terms of the sum over clusters are interleaved over this many partial sums. */
enum { CLUSTER_LANES = 1024 };

struct numbers {
    double value, mass; /* cuda_inertia's terms */
    double largest;     /* |c| */
    int64_t counters[LLOYD_COUNTERS];
    int64_t empty;
    int64_t own[LLOYD_COUNTERS]; /* of the counters, this rank's */
};

/* All that centroids follow from. */
struct means_input {
    const float *centroids; /* [K*D], the ones so far */
    const int64_t *sums;    /* of all ranks */
    const int64_t *own;     /* of this rank */
    lloyd_sum_layout layout;
    const int *top, *digits;
    const int32_t *second, *wide_number;
    int weight_top;
    bool cosine;
};

/* How many words columns and masses have: one, all of them; columns two and masses one, all of them; one
 * or two; any number. */
enum class words_of { ONE, TWO, SHORT, ANY };

template <words_of W> constexpr int ROOM = W == words_of::ANY ? (int)LLOYD_MOST_DIGITS : 2;

/* The sums of one cluster. */
struct cluster_sums {
    const int64_t *first, *second; /* its first digits, and its second ones */
    int64_t k;

    __device__ cluster_sums(const means_input &in, int64_t cluster)
        : first(in.sums + cluster * in.layout.dim),
          second(in.sums + in.layout.seconds_at + cluster * in.layout.seconds), k(cluster)
    {
    }
};

/* The total of column j; words: room for it. */
template <words_of W>
__device__ inline lloyd_total column_total(const means_input &in, const cluster_sums &of, int j,
                                           int64_t *words)
{
    const lloyd_sum_layout &l = in.layout;
    const int top = __ldg(&in.top[j]);
    if constexpr (W == words_of::ANY) {
        const int count = lloyd_column_words(&l, in.sums, of.k, j, __ldg(&in.digits[j]), in.second,
                                             in.wide_number, words);
        return {words, count, l.bits, top};
    }
    words[0] = of.first[j];
    if constexpr (W == words_of::ONE) return {words, 1, l.bits, top};
    const int at = W == words_of::TWO ? j : __ldg(&in.second[j]);
    words[1] = at >= 0 ? of.second[at] : 0;
    return {words, at >= 0 ? 2 : 1, l.bits, top};
}

template <words_of W>
__device__ inline lloyd_total mass_total(const means_input &in, int64_t k, int64_t *words)
{
    const lloyd_sum_layout &l = in.layout;
    if constexpr (W == words_of::ANY) {
        const int count = lloyd_mass_words(&l, in.sums, k, words);
        return {words, count, l.bits, in.weight_top};
    }
    words[0] = in.sums[l.masses_at + k];
    if constexpr (W != words_of::SHORT) return {words, 1, l.bits, in.weight_top};
    const bool two = l.weight_digits > 1;
    words[1] = two ? in.sums[l.masses_at + l.clusters + k] : 0;
    return {words, two ? 2 : 1, l.bits, in.weight_top};
}

__device__ inline lloyd_dd warp_tree(lloyd_dd p)
{
    for (int half = LLOYD_LANES / 2; half > 0; half /= 2) {
        lloyd_dd other = {__shfl_down_sync(0xffffffffu, p.high, half),
                          __shfl_down_sync(0xffffffffu, p.low, half)};
        p = lloyd_dd_add(p, other);
    }
    return p;
}

__device__ inline float warp_max(float value)
{
    for (int half = LLOYD_LANES / 2; half > 0; half /= 2)
        value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, half));
    return value;
}

/* --- the inertia --- */

template <words_of W>
__device__ void write_term(const means_input &in, int64_t k, lloyd_dd *terms, float *largest)
{
    int lane = (int)threadIdx.x % 32;
    const int dim = (int)in.layout.dim;
    int64_t words[ROOM<W>];
    const float *centroid = in.centroids + k * dim;
    const cluster_sums sums(in, k);
    const lloyd_dd mass = lloyd_dd_total(mass_total<W>(in, k, words));
    lloyd_dd p = {0, 0};
#pragma unroll 2
    for (int j = lane; j < dim; j += LLOYD_LANES) {
        const lloyd_dd sum = lloyd_dd_total(column_total<W>(in, sums, j, words));
        p = lloyd_dd_add(p, lloyd_inertia_term(centroid[j], mass, sum));
        *largest = fmaxf(*largest, fabsf(centroid[j]));
    }
    p = warp_tree(p);
    if (lane == 0) terms[k] = p;
}

/* By one block, whose threads have seen up to `largest`. */
__device__ void add_terms(const means_input &in, const lloyd_dd *terms,
                          const float *largest_of_block, lloyd_dd squares, numbers *out)
{
    __shared__ lloyd_dd lanes[CLUSTER_LANES];
    __shared__ uint32_t empty_of_warp[CLUSTER_LANES / 32];
    __shared__ double mass_of_warp[CLUSTER_LANES / 32];
    __shared__ float largest_of_warp[CLUSTER_LANES / 32];
    int t = (int)threadIdx.x;
    lloyd_dd sum = {0, 0};
    double mass = 0;
    float largest = 0;
    uint32_t empty = 0;
    for (int64_t b = t; b < gridDim.x; b += CLUSTER_LANES)
        largest = fmaxf(largest, __ldcg(&largest_of_block[b]));
#pragma unroll 4
    for (int64_t k = t; k < in.layout.clusters; k += CLUSTER_LANES) {
        lloyd_dd term = {__ldcg(&terms[k].high), __ldcg(&terms[k].low)}; /* of other blocks */
        sum = lloyd_dd_add(sum, term);
        empty += lloyd_is_empty(&in.layout, in.sums, k) != 0;
        mass += (double)in.sums[in.layout.masses_at + k]; /* the first digit is near enough */
    }
    lanes[t] = sum;
    empty = __reduce_add_sync(0xffffffffu, empty);
    mass = cuda_warp_tree(mass);
    largest = warp_max(largest);
    if (t % 32 == 0) {
        empty_of_warp[t / 32] = empty;
        mass_of_warp[t / 32] = mass;
        largest_of_warp[t / 32] = largest;
    }
    __syncthreads();
    for (int half = CLUSTER_LANES / 2; half > 0; half /= 2) {
        if (t < half) lanes[t] = lloyd_dd_add(lanes[t], lanes[t + half]);
        __syncthreads();
    }
    if (t > 0) return;
    int64_t all_empty = 0;
    mass = 0;
    for (int w = 0; w < CLUSTER_LANES / 32; w++) {
        all_empty += empty_of_warp[w];
        mass += mass_of_warp[w];
        largest = fmaxf(largest, largest_of_warp[w]);
    }
    const int64_t *counters = in.sums + in.layout.counters_at;
    out->value = lloyd_dd_add(squares, lanes[0]).high;
    out->mass = lloyd_mul(mass, lloyd_exp2(in.weight_top - in.layout.bits));
    out->largest = (double)largest;
    for (int c = 0; c < LLOYD_COUNTERS; c++) {
        out->counters[c] = counters[c];
        out->own[c] = in.own[in.layout.counters_at + c];
    }
    out->empty = all_empty;
}

/* --- new centroids --- */

/* out = the mean of cluster k, by a warp, of unit length for cosine. False: the cluster must keep
 * the centroid it has, as its mean has no direction (cosine, exactly zero) or is out of float32's
 * range, to which weights that are cut can take it. */
template <words_of W>
__device__ bool write_mean(const means_input &in, int64_t k, int lane, float *out)
{
    const int dim = (int)in.layout.dim;
    int64_t words[ROOM<W>], masses[ROOM<W>];
    const cluster_sums sums(in, k);
    const lloyd_total mass = mass_total<W>(in, k, masses);
    const double inverse = 1 / lloyd_rough(mass);
    bool finite = true;
    double square = 0;
#pragma unroll 2
    for (int j = lane; j < dim; j += LLOYD_LANES) {
        float mean = lloyd_mean(column_total<W>(in, sums, j, words), mass, inverse);
        out[j] = mean;
        finite = finite && isfinite(mean);
        if (in.cosine) square = __fma_rn((double)mean, (double)mean, square);
    }
    if (in.cosine) {
        square = cuda_warp_tree(square);
        if (square == 0) return false;
        double length = sqrt(square);
        finite = true;
        for (int j = lane; j < dim; j += LLOYD_LANES) {
            out[j] = lloyd_normalised(out[j], length);
            finite = finite && isfinite(out[j]);
        }
    }
    return __all_sync(0xffffffffu, finite);
}

template <words_of W> __device__ void write_centroid(const means_input &in, int64_t k, float *out)
{
    const int64_t dim = in.layout.dim;
    const int lane = (int)threadIdx.x % 32;
    if (!lloyd_is_empty(&in.layout, in.sums, k) && write_mean<W>(in, k, lane, out + k * dim))
        return;
    for (int64_t j = lane; j < dim; j += LLOYD_LANES) out[k * dim + j] = in.centroids[k * dim + j];
}

/* --- kernels --- */

/* The numbers, and, unless out is NULL, the new centroids. */
template <words_of W>
__global__ void __launch_bounds__(CLUSTER_LANES)
    inertia(const __grid_constant__ means_input in, lloyd_dd squares, lloyd_dd *terms,
            float *largest_of_block, uint32_t *ended, numbers *found, numbers *pinned,
            int64_t *counters, float *out)
{
    __shared__ float largest_of_warp[CLUSTER_LANES / 32];
    cuda_await();
    int t = (int)threadIdx.x;
    int64_t k = (int64_t)blockIdx.x * (CLUSTER_LANES / 32) + t / 32;
    float largest = 0;
    if (k < in.layout.clusters) {
        write_term<W>(in, k, terms, &largest);
        if constexpr (W != words_of::ANY)
            if (out) write_centroid<W>(in, k, out);
    }
    largest = warp_max(largest);
    if (t % 32 == 0) largest_of_warp[t / 32] = largest;
    __syncthreads();
    if (t == 0) {
        for (int w = 1; w < CLUSTER_LANES / 32; w++) largest = fmaxf(largest, largest_of_warp[w]);
        largest_of_block[blockIdx.x] = largest;
    }
    if (!cuda_ends_last(ended)) return;
    add_terms(in, terms, largest_of_block, squares, found);
    if (t > 0) return;
    *ended = 0;
    *pinned = *found;
    for (int c = 0; c < LLOYD_COUNTERS; c++) counters[c] = 0; /* for the next iteration */
}

template <words_of W>
__global__ void __launch_bounds__(THREADS)
    new_centroids(const __grid_constant__ means_input in, float *out)
{
    cuda_await();
    const int64_t k = (int64_t)blockIdx.x * CLUSTERS + threadIdx.x / 32;
    if (k < in.layout.clusters) write_centroid<W>(in, k, out);
}

/* words: a row of every part of the sums, as lloyd_row_words() counts them; thread i has word i. */
__global__ void move_row(int64_t *sums, lloyd_sum_layout l, int64_t from, int64_t to,
                         const int64_t *words, int64_t count)
{
    const int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    int64_t at = i, width = l.dim, part = 0;
    if (at >= l.dim) {
        at -= l.dim;
        part = l.seconds_at;
        width = l.seconds;
        if (at >= l.seconds) {
            const int64_t more = l.wide > 0 ? (l.most_digits - 2) * l.wide : 0;
            at -= l.seconds;
            width = at < more ? l.wide : 1;
            if (at < more) {
                part = l.wide_at + at / l.wide * l.clusters * l.wide;
                at %= l.wide;
            } else {
                part = l.masses_at + (at - more) * l.clusters;
                at = 0;
            }
        }
    }
    sums[part + from * width + at] -= words[i];
    sums[part + to * width + at] = words[i]; /* what rows without mass have left there goes */
}

/* --- launching --- */

words_of words_of_grid(const lloyd_grid *grid, int64_t dim)
{
    if (grid->most_digits > 2 || grid->weight_digits > 2) return words_of::ANY;
    if (grid->weight_digits == 1 && grid->most_digits == 1) return words_of::ONE;
    return grid->weight_digits == 1 && grid->seconds == dim ? words_of::TWO : words_of::SHORT;
}

/* launch(w) with the constant for the grid. */
template <class Launch> lloyd_status for_words(const cuda_kernels *cuda, Launch launch)
{
    switch (words_of_grid(cuda->grid, cuda->base.config.dim)) {
    case words_of::ONE: return launch(std::integral_constant<words_of, words_of::ONE>());
    case words_of::TWO: return launch(std::integral_constant<words_of, words_of::TWO>());
    case words_of::SHORT: return launch(std::integral_constant<words_of, words_of::SHORT>());
    case words_of::ANY: break;
    }
    return launch(std::integral_constant<words_of, words_of::ANY>());
}

means_input input(const cuda_kernels *cuda)
{
    return {cuda->centroids,
            cuda->totals,
            cuda->sums,
            cuda->layout,
            cuda->top,
            cuda->digits,
            cuda->second,
            cuda->wide_number,
            cuda->grid->weight_top,
            cuda->base.config.cosine != 0};
}

int64_t inertia_blocks(const lloyd_kernels_config *config)
{
    return cuda_divide_up(config->k, CLUSTER_LANES / 32);
}

/* The digits of a row that is moved to an empty cluster. */
void list_moved(cuda_buffers &buffer, cuda_array<int64_t> &words, int64_t count)
{
    buffer(words, count, "a row for an empty cluster");
}

/* centroids: elements of the largest set. */
void list_means(cuda_buffers &buffer, cuda_means *m, const lloyd_kernels_config *config,
                int64_t centroids)
{
    const char *what = "terms of the inertia";
    buffer(m->terms, config->k, what);
    buffer(m->largest, inertia_blocks(config), what);
    buffer(m->ended, 1, what);
    buffer(m->spare, centroids, "new centroids");
}

/* Memory that is not there yet. */
lloyd_status prepare_means(cuda_kernels *cuda)
{
    if (!cuda->means)
        LLOYD_TRY(lloyd_alloc(&cuda->means, 1, sizeof *cuda->means, "state of the centroids"));
    cuda_means *means = cuda->means;
    if (!means->copied)
        CUDA_TRY(lloyd_cuda_take_event(cuda->stock, &means->copied), "creating an event");
    const bool is_new = !means->ended, grows = means->spare.count < cuda->centroids.count;
    if (grows) means->ready = false;
    cuda_buffers reserve = cuda_buffers::reserve(cuda);
    list_means(reserve, means, &cuda->base.config, cuda->centroids.count);
    LLOYD_TRY(reserve.status());
    if (!is_new) return LLOYD_OK;
    return lloyd_cuda_check(cudaMemsetAsync(means->ended, 0, sizeof(uint32_t), cuda->stream),
                            "clearing a counter");
}

/* Whether the numbers and new centroids are computed together. */
bool come_together(const cuda_kernels *cuda)
{
    const lloyd_kernels_config *config = &cuda->base.config;
    return config->k * config->dim <= FEW_ELEMENTS &&
           words_of_grid(cuda->grid, config->dim) != words_of::ANY;
}

/* spare = what follows from the sums. */
lloyd_status compute_centroids(const cuda_kernels *cuda)
{
    return for_words(cuda, [&](auto words) {
        return cuda_launch_after(cuda->stream, cuda->gpu.capability, new_centroids<words>,
                                 cuda_divide_up(cuda->base.config.k, CLUSTERS), THREADS, 0,
                                 "computing centroids", input(cuda), cuda->means->spare.data);
    });
}

/* spare becomes ready to be assigned to. */
lloyd_status get_ready(cuda_kernels *cuda, const cuda_inertia &inertia)
{
    LLOYD_TRY(lloyd_cuda_prepare(cuda, cuda->means->spare, inertia));
    cuda->means->ready = true;
    return LLOYD_OK;
}

/* cuda->results and cuda->pinned = the numbers. centroids: NULL, or spare, to be computed too. */
lloyd_status compute_numbers(cuda_kernels *cuda, lloyd_dd squares, float *centroids)
{
    cuda->counters_zero = true;
    return for_words(cuda, [&](auto words) {
        return cuda_launch_after(cuda->stream, cuda->gpu.capability, inertia<words>,
                                 inertia_blocks(&cuda->base.config), CLUSTER_LANES, 0,
                                 "computing the inertia", input(cuda), squares, cuda->means->terms,
                                 cuda->means->largest, cuda->means->ended,
                                 reinterpret_cast<numbers *>(cuda->results.data),
                                 static_cast<numbers *>(cuda->pinned),
                                 cuda->sums + cuda->layout.counters_at, centroids);
    });
}

} // namespace

/* --- the interface --- */

lloyd_status lloyd_cuda_inertia(lloyd_kernels *kernels, lloyd_dd squares, lloyd_found *out)
{
    cuda_kernels *cuda = lloyd_cuda(kernels);
    LLOYD_TRY(lloyd_cuda_mark(cuda, LLOYD_WORK_SUM));
    LLOYD_TRY(lloyd_cuda_take_totals(cuda));
    LLOYD_TRY(prepare_means(cuda));
    const bool together = come_together(cuda);
    LLOYD_TRY(compute_numbers(cuda, squares, together ? cuda->means->spare.data : nullptr));
    LLOYD_TRY(lloyd_cuda_mark(cuda, LLOYD_WORK_UPDATE));
    int64_t passed = lloyd_cuda_marks(cuda); /* when the event comes */
    CUDA_TRY(cudaEventRecord(cuda->means->copied, cuda->stream), "recording an event");
    /* all that update() is likely to ask for runs while the host waits and thinks */
    if (!together) LLOYD_TRY(compute_centroids(cuda));
    LLOYD_TRY(get_ready(cuda, {reinterpret_cast<const double *>(cuda->results.data)}));
    LLOYD_TRY(lloyd_cuda_mark(cuda, LLOYD_WORK_UPDATE));
    CUDA_TRY(cudaEventSynchronize(cuda->means->copied), "waiting for the inertia");
    LLOYD_TRY(lloyd_cuda_read_clock(cuda, passed));
    numbers found;
    memcpy(&found, cuda->pinned, sizeof found);
    const int64_t *counters = found.counters;
    cuda->moved = found.own[LLOYD_COUNT_MOVED];
    *out = {found.value,
            found.largest,
            counters[LLOYD_COUNT_MOVED],
            counters[LLOYD_COUNT_FALLBACK],
            counters[LLOYD_COUNT_INT8],
            counters[LLOYD_COUNT_INT8_FALLBACK],
            counters[LLOYD_COUNT_CANDIDATES],
            counters[LLOYD_COUNT_PRUNED],
            counters[LLOYD_COUNT_COMPARED],
            counters[LLOYD_COUNT_LEFT_OUT],
            found.empty};
    lloyd_cuda_expect(cuda, found.mass > 0 && found.value > 0 ? found.value / found.mass : 0,
                      counters[LLOYD_COUNT_FALLBACK]);
    /* each rank chooses for itself, by its own rows */
    LLOYD_TRY(lloyd_cuda_counted(cuda, found.own));
    if (cuda->filter) lloyd_cuda_prune_counted(cuda, found.own);
    return LLOYD_OK;
}

lloyd_status lloyd_cuda_update_means(lloyd_kernels *kernels)
{
    cuda_kernels *cuda = lloyd_cuda(kernels);
    LLOYD_TRY(lloyd_cuda_mark(cuda, CUDA_UNTIMED));
    LLOYD_TRY(lloyd_cuda_take_totals(cuda));
    LLOYD_TRY(prepare_means(cuda));
    cuda_means *means = cuda->means;
    if (!means->ready) {
        LLOYD_TRY(compute_centroids(cuda));
        LLOYD_TRY(get_ready(cuda, {}));
    }
    std::swap(cuda->centroids, means->spare);
    means->ready = false;
    return lloyd_cuda_mark(cuda, LLOYD_WORK_UPDATE);
}

lloyd_status lloyd_cuda_empty_clusters(lloyd_kernels *kernels, int64_t count, int32_t *clusters)
{
    cuda_kernels *cuda = lloyd_cuda(kernels);
    const lloyd_sum_layout *l = &cuda->layout;
    int64_t words = l->counters_at - l->masses_at, found = 0, *host;
    LLOYD_TRY(lloyd_cuda_take_totals(cuda));
    LLOYD_TRY(lloyd_alloc(&host, words, sizeof *host, "masses of the clusters"));
    const lloyd_status status =
        lloyd_cuda_copy_out(cuda, host, cuda->totals + l->masses_at, words * (int64_t)sizeof *host);
    for (int64_t k = 0; status == LLOYD_OK && k < l->clusters && found < count; k++) {
        int64_t any = 0;
        for (int t = 0; t < l->weight_digits; t++) any |= host[t * l->clusters + k];
        if (any == 0) clusters[found++] = (int32_t)k;
    }
    lloyd_free(host);
    return status;
}

lloyd_status lloyd_cuda_relocate(lloyd_kernels *kernels, int32_t from, int32_t to,
                                 const int64_t *words)
{
    cuda_kernels *cuda = lloyd_cuda(kernels);
    int64_t count = lloyd_row_words(&cuda->layout);
    cuda_array<int64_t> moved = {};
    cuda_buffers reserve = cuda_buffers::reserve(cuda), release = cuda_buffers::release(cuda);
    lloyd_cuda_means_stale(cuda);
    lloyd_cuda_expect(cuda, -1, -1); /* the next iteration may be unlike the last */
    LLOYD_TRY(lloyd_cuda_take_totals(cuda));
    list_moved(reserve, moved, count);
    LLOYD_TRY(reserve.status());
    cudaError_t code = cudaMemcpyAsync(moved, words, (size_t)count * sizeof *words,
                                       cudaMemcpyHostToDevice, cuda->stream);
    if (code == cudaSuccess) {
        move_row<<<(unsigned)cuda_divide_up(count, THREADS), THREADS, 0,
                   cuda->stream>>>(cuda->totals, cuda->layout, from, to, moved, count);
        code = cudaGetLastError();
    }
    /* the words belong to the caller again when this returns; relocation is rare */
    if (code == cudaSuccess) code = cudaStreamSynchronize(cuda->stream);
    list_moved(release, moved, count);
    return lloyd_cuda_check(code, "moving a row to an empty cluster");
}

void lloyd_cuda_means_stale(cuda_kernels *cuda)
{
    if (cuda->means) cuda->means->ready = false;
}

void lloyd_cuda_means_free(cuda_kernels *cuda)
{
    cuda_means *means = cuda->means;
    if (!means) return;
    cuda_buffers release = cuda_buffers::release(cuda);
    list_means(release, means, &cuda->base.config, 0);
    lloyd_cuda_give_event(cuda->stock, means->copied);
    lloyd_free(means);
    cuda->means = nullptr;
}

int64_t lloyd_cuda_relocation_bytes(const lloyd_kernels_config *config)
{
    cuda_array<int64_t> words = {};
    cuda_buffers count = cuda_buffers::count();
    list_moved(count, words, LLOYD_MOST_DIGITS * (config->dim + 1));
    return count.bytes();
}

int64_t lloyd_cuda_means_bytes(const lloyd_kernels_config *config, int64_t set)
{
    cuda_means means = {};
    cuda_buffers count = cuda_buffers::count();
    list_means(count, &means, config, (set > config->k ? set : config->k) * config->dim);
    return count.bytes();
}
