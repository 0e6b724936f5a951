/* What follows from the sums of all ranks: inertia and new centroids (sections 3 to 5 of the
 * contract), and the bookkeeping for empty clusters.
 *
 * A warp per cluster, its lanes the 32 interleaved partial sums of dist(), gives the cluster's term
 * of the inertia; the block of 1024 threads that ends last, the 1024 interleaved partial sums over
 * clusters, adds them up. The host needs these numbers to decide how to go on, and the GPU would wait
 * for the host meanwhile. So inertia() also enqueues the new centroids, into a spare buffer, and what
 * the next assignment needs of them, behind the copy of the numbers, and waits for that copy alone;
 * update_means() then just exchanges the buffers. If the sums, the grid or the centroids change in
 * between (lloyd_cuda_means_stale), it computes them anew; if the iteration ends there, they are never
 * looked at.
 */
#include "kernels/cuda/device.cuh"

struct cuda_means {
    double *terms;      /* [K] each cluster's term of the inertia */
    uint32_t *ended;    /* [1] blocks of inertia() that are through; 0 between launches */
    float *spare;       /* [capacity*D] */
    int64_t capacity;   /* the centroids' own set_capacity: the two are exchanged */
    bool ready;         /* spare is what follows from sums, grid and centroids as they are */
    cudaEvent_t copied; /* the numbers have reached the host; NULL: not created yet */
};

namespace
{

enum { THREADS = 256, CLUSTERS = THREADS / 32 };

/* Terms of the sum over clusters are interleaved over this many partial sums. */
enum { CLUSTER_LANES = 1024 };

struct numbers {
    double value, mass; /* cuda_inertia's terms */
    int64_t moved, verified, empty;
};

/* All that centroids follow from. */
struct means_input {
    const float *centroids; /* [K*D], the ones so far */
    const int64_t *sums, *masses;
    const float *shift;
    const double *from_fixed, *unit;
    int64_t clusters, dim;
    bool cosine;
};

/* --- kernels --- */

__device__ void write_term(const means_input &in, int64_t k, double mass_unit, double *terms)
{
    int lane = (int)threadIdx.x % 32;
    const float *centroid = in.centroids + k * in.dim;
    const int64_t *sums = in.sums + k * in.dim;
    double mass = lloyd_mul((double)in.masses[k], mass_unit), p = 0;
#pragma unroll 4
    for (int64_t j = lane; j < in.dim; j += LLOYD_LANES) {
        double sum = lloyd_mul((double)sums[j], in.from_fixed[j]);
        p = lloyd_add(p, lloyd_inertia_term(centroid[j], in.shift[j], mass, sum));
    }
    p = cuda_warp_tree(p);
    if (lane == 0) terms[k] = p;
}

/* By one block. masses[clusters] and the word after it are the two counters. */
__device__ void add_terms(const double *terms, const int64_t *masses, int64_t clusters,
                          numbers *out)
{
    __shared__ double lanes[CLUSTER_LANES];
    __shared__ uint32_t empty_of_warp[CLUSTER_LANES / 32];
    __shared__ double mass_of_warp[CLUSTER_LANES / 32];
    int t = (int)threadIdx.x;
    double sum = 0, mass = 0;
    uint32_t empty = 0;
#pragma unroll 8
    for (int64_t k = t; k < clusters; k += CLUSTER_LANES) {
        sum = lloyd_add(sum, __ldcg(&terms[k])); /* of other multiprocessors */
        empty += masses[k] == 0;
        mass += (double)masses[k];
    }
    lanes[t] = sum;
    empty = __reduce_add_sync(0xffffffffu, empty);
    mass = cuda_warp_tree(mass);
    if (t % 32 == 0) empty_of_warp[t / 32] = empty, mass_of_warp[t / 32] = mass;
    __syncthreads();
    for (int half = CLUSTER_LANES / 2; half > 0; half /= 2) {
        if (t < half) lanes[t] = lloyd_add(lanes[t], lanes[t + half]);
        __syncthreads();
    }
    if (t > 0) return;
    int64_t all_empty = 0;
    mass = 0;
    for (int w = 0; w < CLUSTER_LANES / 32; w++) {
        all_empty += empty_of_warp[w];
        mass += mass_of_warp[w];
    }
    *out = {lanes[0], mass, masses[clusters], masses[clusters + 1], all_empty};
}

__global__ void __launch_bounds__(CLUSTER_LANES)
    inertia(const __grid_constant__ means_input in, double mass_unit, double *terms,
            uint32_t *ended, numbers *out)
{
    cuda_await();
    int64_t k = (int64_t)blockIdx.x * (CLUSTER_LANES / 32) + threadIdx.x / 32;
    if (k < in.clusters) write_term(in, k, mass_unit, terms);
    if (!cuda_ends_last(ended)) return;
    add_terms(terms, in.masses, in.clusters, out);
    if (threadIdx.x == 0) *ended = 0;
}

/* out = the mean of cluster k, by a warp, of unit length for cosine. False: the cluster must keep
 * the centroid it has, as its mean has no direction (cosine, exactly zero) or is out of float32's
 * range, to which rows of hardly any weight can sum. */
__device__ bool write_mean(const means_input &in, int64_t k, int64_t mass, int lane, float *out)
{
    const int64_t *sums = in.sums + k * in.dim;
    bool finite = true;
    double square = 0;
#pragma unroll 4
    for (int64_t j = lane; j < in.dim; j += LLOYD_LANES) {
        float mean = lloyd_mean(sums[j], mass, __ldg(&in.unit[j]), __ldg(&in.shift[j]));
        out[j] = mean;
        finite = finite && isfinite(mean);
        if (in.cosine) square = __fma_rn((double)mean, (double)mean, square);
    }
    if (in.cosine) {
        square = cuda_warp_tree(square);
        if (square == 0) return false;
        double length = sqrt(square);
        finite = true;
        for (int64_t j = lane; j < in.dim; j += LLOYD_LANES) {
            out[j] = lloyd_normalised(out[j], length);
            finite = finite && isfinite(out[j]);
        }
    }
    return __all_sync(0xffffffffu, finite);
}

__global__ void __launch_bounds__(THREADS)
    new_centroids(const __grid_constant__ means_input in, float *out)
{
    cuda_await();
    int64_t k = (int64_t)blockIdx.x * CLUSTERS + threadIdx.x / 32;
    int lane = (int)threadIdx.x % 32;
    if (k >= in.clusters) return;
    int64_t mass = in.masses[k];
    if (mass != 0 && write_mean(in, k, mass, lane, out + k * in.dim)) return;
    for (int64_t j = lane; j < in.dim; j += LLOYD_LANES)
        out[k * in.dim + j] = in.centroids[k * in.dim + j];
}

/* `from` and `to` are the sums of two clusters, from_mass and to_mass their masses. */
__global__ void move_row(int64_t *from, int64_t *to, int64_t *from_mass, int64_t *to_mass,
                         const int64_t *q, int64_t dim, int64_t mass)
{
    int64_t j = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (j < dim) {
        from[j] -= q[j];
        to[j] = q[j]; /* what rows of mass 0 have left there goes */
    }
    if (j == 0) {
        *from_mass -= mass;
        *to_mass = mass;
    }
}

/* --- launching --- */

int64_t *masses(const cuda_kernels *cuda)
{
    return cuda->sums + cuda->base.config.k * cuda->base.config.dim;
}

/* What a mass of 1 in fixed point is worth. */
double mass_unit(const cuda_kernels *cuda)
{
    return cuda->base.config.weights ? lloyd_exp2(cuda->grid->weight_exponent - cuda->grid->bits)
                                     : 1;
}

means_input input(const cuda_kernels *cuda)
{
    const lloyd_kernels_config *config = &cuda->base.config;
    return {cuda->centroids, cuda->sums, masses(cuda), cuda->shift,        cuda->from_fixed,
            cuda->unit,      config->k,  config->dim,  config->cosine != 0};
}

/* Memory that is not there yet; the spare buffer follows the size of the centroids'. */
lloyd_status prepare_means(cuda_kernels *cuda)
{
    const lloyd_kernels_config *config = &cuda->base.config;
    if (!cuda->means)
        LLOYD_TRY(lloyd_alloc(&cuda->means, 1, sizeof *cuda->means, "state of the centroids"));
    cuda_means *means = cuda->means;
    if (!means->copied)
        CUDA_TRY(cudaEventCreateWithFlags(&means->copied, cudaEventDisableTiming),
                 "creating an event");
    const char *what = "terms of the inertia";
    if (!means->terms)
        LLOYD_TRY(lloyd_cuda_alloc(cuda, &means->terms, config->k, sizeof(double), what));
    if (!means->ended) {
        LLOYD_TRY(lloyd_cuda_alloc(cuda, &means->ended, 1, sizeof *means->ended, what));
        CUDA_TRY(cudaMemsetAsync(means->ended, 0, sizeof *means->ended, cuda->stream), what);
    }
    if (means->spare && means->capacity == cuda->set_capacity) return LLOYD_OK;
    lloyd_cuda_free(cuda, means->spare, means->capacity * config->dim, sizeof(float));
    means->spare = nullptr;
    means->ready = false;
    means->capacity = cuda->set_capacity;
    return lloyd_cuda_alloc(cuda, &means->spare, means->capacity * config->dim, sizeof(float),
                            "new centroids");
}

/* spare = what follows from the sums, ready to be assigned to. */
lloyd_status compute_means(cuda_kernels *cuda, const cuda_inertia &inertia)
{
    LLOYD_TRY(cuda_launch_after(cuda->stream, cuda->gpu.capability, new_centroids,
                                cuda_divide_up(cuda->base.config.k, CLUSTERS), THREADS, 0,
                                "computing centroids", input(cuda), cuda->means->spare));
    LLOYD_TRY(lloyd_cuda_prepare(cuda, cuda->means->spare, inertia));
    cuda->means->ready = true;
    return LLOYD_OK;
}

/* cuda->results = the numbers. */
lloyd_status compute_numbers(cuda_kernels *cuda)
{
    const lloyd_kernels_config *config = &cuda->base.config;
    return cuda_launch_after(cuda->stream, cuda->gpu.capability, inertia,
                             cuda_divide_up(config->k, CLUSTER_LANES / 32), CLUSTER_LANES, 0,
                             "computing the inertia", input(cuda), mass_unit(cuda),
                             cuda->means->terms, cuda->means->ended, (numbers *)cuda->results);
}

} // namespace

/* --- the interface --- */

lloyd_status lloyd_cuda_begin(lloyd_kernels *kernels)
{
    cuda_kernels *cuda = lloyd_cuda(kernels);
    int64_t words = kernels->config.k * (kernels->config.dim + 1) + 2;
    CUDA_TRY(cudaMemsetAsync(cuda->sums, 0, (size_t)words * sizeof(int64_t), cuda->stream),
             "setting the sums to zero");
    cuda->sums_zero = true;
    lloyd_cuda_means_stale(cuda);
    return lloyd_cuda_mark(cuda, CUDA_UNTIMED);
}

lloyd_status lloyd_cuda_inertia(lloyd_kernels *kernels, double squares, double *value,
                                int64_t *moved, int64_t *verified, int64_t *empty)
{
    cuda_kernels *cuda = lloyd_cuda(kernels);
    LLOYD_TRY(lloyd_cuda_mark(cuda, LLOYD_WORK_SUM));
    LLOYD_TRY(prepare_means(cuda));
    LLOYD_TRY(compute_numbers(cuda));
    CUDA_TRY(cudaMemcpyAsync(cuda->pinned, cuda->results, sizeof(numbers), cudaMemcpyDeviceToHost,
                             cuda->stream),
             "copying the inertia to the host");
    LLOYD_TRY(lloyd_cuda_mark(cuda, LLOYD_WORK_UPDATE));
    int64_t passed = lloyd_cuda_marks(cuda); /* when the event comes */
    CUDA_TRY(cudaEventRecord(cuda->means->copied, cuda->stream), "recording an event");
    /* all that update() is likely to ask for runs while the host waits and thinks */
    LLOYD_TRY(compute_means(cuda, {(const double *)cuda->results, squares, mass_unit(cuda)}));
    LLOYD_TRY(lloyd_cuda_mark(cuda, LLOYD_WORK_UPDATE));
    CUDA_TRY(cudaEventSynchronize(cuda->means->copied), "waiting for the inertia");
    LLOYD_TRY(lloyd_cuda_read_clock(cuda, passed));
    numbers found;
    memcpy(&found, cuda->pinned, sizeof found);
    *value = lloyd_add(squares, found.value);
    *moved = found.moved;
    *verified = found.verified;
    *empty = found.empty;
    double mass = found.mass * mass_unit(cuda);
    lloyd_cuda_expect(cuda, mass > 0 ? *value / mass : 0, found.verified);
    return LLOYD_OK;
}

lloyd_status lloyd_cuda_update_means(lloyd_kernels *kernels)
{
    cuda_kernels *cuda = lloyd_cuda(kernels);
    LLOYD_TRY(lloyd_cuda_mark(cuda, CUDA_UNTIMED));
    LLOYD_TRY(prepare_means(cuda));
    cuda_means *means = cuda->means;
    if (!means->ready) LLOYD_TRY(compute_means(cuda, {}));
    float *before = cuda->centroids;
    cuda->centroids = means->spare;
    means->spare = before;
    means->ready = false;
    return lloyd_cuda_mark(cuda, LLOYD_WORK_UPDATE);
}

lloyd_status lloyd_cuda_empty_clusters(lloyd_kernels *kernels, int64_t count, int32_t *clusters)
{
    cuda_kernels *cuda = lloyd_cuda(kernels);
    int64_t k_count = kernels->config.k, found = 0, *host;
    LLOYD_TRY(lloyd_alloc(&host, k_count, sizeof *host, "masses of the clusters"));
    cudaError_t code = cudaMemcpyAsync(host, masses(cuda), (size_t)k_count * sizeof *host,
                                       cudaMemcpyDeviceToHost, cuda->stream);
    if (code == cudaSuccess) code = cudaStreamSynchronize(cuda->stream);
    for (int64_t k = 0; code == cudaSuccess && k < k_count && found < count; k++) {
        if (host[k] == 0) clusters[found++] = (int32_t)k;
    }
    lloyd_free(host);
    return lloyd_cuda_check(code, "copying the masses of the clusters to the host");
}

lloyd_status lloyd_cuda_relocate(lloyd_kernels *kernels, int32_t from, int32_t to, const int64_t *q,
                                 int64_t mass)
{
    cuda_kernels *cuda = lloyd_cuda(kernels);
    int64_t dim = kernels->config.dim, *moved = (int64_t *)cuda->scratch;
    lloyd_cuda_means_stale(cuda);
    lloyd_cuda_expect(cuda, -1, -1); /* the next iteration may be unlike the last */
    CUDA_TRY(cudaMemcpyAsync(moved, q, (size_t)dim * sizeof *q, cudaMemcpyHostToDevice,
                             cuda->stream),
             "copying a row for an empty cluster to the GPU");
    /* q belongs to the caller again when this returns; relocation is rare */
    CUDA_TRY(cudaStreamSynchronize(cuda->stream), "copying a row for an empty cluster to the GPU");
    move_row<<<(unsigned)cuda_divide_up(dim, THREADS), THREADS, 0, cuda->stream>>>(cuda->sums +
                                                                                       from * dim,
                                                                                   cuda->sums +
                                                                                       to * dim,
                                                                                   masses(cuda) +
                                                                                       from,
                                                                                   masses(cuda) +
                                                                                       to,
                                                                                   moved, dim,
                                                                                   mass);
    CUDA_LAUNCHED("moving a row to an empty cluster");
    return LLOYD_OK;
}

void lloyd_cuda_means_stale(cuda_kernels *cuda)
{
    if (cuda->means) cuda->means->ready = false;
}

void lloyd_cuda_means_free(cuda_kernels *cuda)
{
    cuda_means *means = cuda->means;
    if (!means) return;
    int64_t dim = cuda->base.config.dim;
    lloyd_cuda_free(cuda, means->terms, cuda->base.config.k, sizeof(double));
    lloyd_cuda_free(cuda, means->ended, 1, sizeof *means->ended);
    lloyd_cuda_free(cuda, means->spare, means->capacity * dim, sizeof(float));
    if (means->copied) (void)cudaEventDestroy(means->copied);
    lloyd_free(means);
    cuda->means = nullptr;
}

int64_t lloyd_cuda_means_bytes(const lloyd_kernels_config *config, int64_t set)
{
    int64_t capacity = set > config->k ? set : config->k;
    return config->k * (int64_t)sizeof(double) + (int64_t)sizeof(uint32_t) +
           capacity * config->dim * (int64_t)sizeof(float);
}
