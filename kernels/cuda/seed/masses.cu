/* Masses of rows: their sums, the row at a place of the running sum, and the draws of kmeans||.
 *
 * Masses are fixed-point integers
 * and are summed per block of ROWS rows; seed_total() leaves these sums behind, and seed_pick()
 * finds its row from them in one launch of one block. The draws of kmeans|| are counted per block
 * the same way, then written to their places. What the host needs to know is one number each time, which
 * the only block, or the one that ends last, writes to its memory: to clear a place for it on the GPU and to copy
 * it from there would take longer than the sums.
 *
 * Device memory: LLOYD_SEED_ROW_BYTES a row of state, 8 bytes per ROWS rows and a counter from seed_begin() to seed_end();
 * besides, at most WINDOW numbers of 8 bytes while rows are sampled or masses counted.
 */
#include "kernels/cuda/seed/masses.h"

#include "kernels/cuda/distances.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/seed/seeds.cuh"
#include "kernels/cuda/slots.h"
#include "kernels/cuda/sort/block_scan.cuh"

namespace
{

constexpr int THREADS = 1024;  /* of the kernels over masses */
constexpr int THREAD_ROWS = 4; /* neighbours: threads are in row order */
constexpr int64_t ROWS = (int64_t)THREADS * THREAD_ROWS;
constexpr int64_t WINDOW = 1 << 20; /* sampled rows that are written out at a time */

__global__ void forget(double *distance, int32_t *nearest, int64_t count, uint32_t *ended)
{
    int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i == 0) *ended = 0;
    if (i >= count) return;
    distance[i] = INFINITY;
    nearest[i] = 0;
}

/* --- masses and their sums per block of rows --- */

/* All local rows, and the grid of their masses. */
struct fixed_masses {
    cuda_seeds s;
    int64_t rows;
    int exponent, bits;

    __device__ int64_t of(int64_t row) const
    {
        if (row >= rows) return 0;
        return lloyd_fixed_mass(cuda_row_mass(s, row, s.distance[row]), exponent, bits);
    }
};

/* The running sum before this thread's value, and *all of them. */
__device__ int64_t scan(int64_t value, int64_t *all)
{
    __shared__ block_space<int64_t, THREADS> space;
    const int64_t before = scan_block(space, value, all);
    __syncthreads();
    return before;
}

__device__ int64_t first_row(int64_t block)
{
    return block * ROWS + threadIdx.x * THREAD_ROWS;
}

/* The threads of one block share out `count` numbers: *begin and *end of this one's. */
__device__ void share(int64_t count, int64_t *begin, int64_t *end)
{
    int64_t each = (count + THREADS - 1) / THREADS;
    *begin = threadIdx.x * each < count ? threadIdx.x * each : count;
    *end = *begin + each < count ? *begin + each : count;
}

/* By the block that ends last: *total, in memory of the host, = the sum of numbers[0 .. count), which
 * other blocks wrote. Returns the sum before those of this thread, which are [*begin, *end). */
__device__ int64_t add_up(const int64_t *numbers, int64_t count, int64_t *begin, int64_t *end,
                          int64_t *total, uint32_t *ended)
{
    int64_t own = 0, all;
    share(count, begin, end);
    for (int64_t b = *begin; b < *end; b++) own += __ldcg(&numbers[b]);
    const int64_t before = scan(own, &all);
    if (threadIdx.x == 0) {
        *total = all;
        *ended = 0;
    }
    return before;
}

/* sums[block] = mass of its rows; *total, in memory of the host, = that of all. */
__global__ void __launch_bounds__(THREADS)
    sum_masses(fixed_masses m, int64_t *sums, int64_t *total, uint32_t *ended)
{
    int64_t row = first_row(blockIdx.x), own = 0, all, begin, end;
    for (int r = 0; r < THREAD_ROWS; r++) own += m.of(row + r);
    scan(own, &all);
    if (threadIdx.x == 0) sums[blockIdx.x] = all;
    if (cuda_ends_last(ended)) (void)add_up(sums, gridDim.x, &begin, &end, total, ended);
}

/* *row = the first at which the running sum exceeds target: first its block, then the row in it.
 * One block of threads. */
__global__ void __launch_bounds__(THREADS)
    pick_row(fixed_masses m, const int64_t *sums, int64_t blocks, int64_t target, int64_t *row)
{
    __shared__ int64_t block, left, found;
    int64_t begin, end, own = 0, all;
    if (threadIdx.x == 0) {
        block = blocks - 1; /* target is below the total: both are found, */
        left = 0;
        found = m.rows - 1; /* or it is the last row as on the CPU */
    }
    share(blocks, &begin, &end);
    for (int64_t b = begin; b < end; b++) own += sums[b];
    int64_t before = scan(own, &all);
    if (before <= target && target < before + own) {
        int64_t b = begin;
        for (; before + sums[b] <= target; b++) before += sums[b];
        block = b;
        left = target - before;
    }
    __syncthreads();
    int64_t mass[THREAD_ROWS], first = first_row(block), rest = left;
    own = 0;
    for (int r = 0; r < THREAD_ROWS; r++) own += mass[r] = m.of(first + r);
    before = scan(own, &all);
    if (before <= rest && rest < before + own) {
        int r = 0;
        for (; r < THREAD_ROWS - 1 && before + mass[r] <= rest; r++) before += mass[r];
        found = first + r;
    }
    __syncthreads();
    if (threadIdx.x == 0) *row = found;
}

/* --- sampling --- */

struct sampling {
    fixed_masses masses;
    uint64_t total, oversampling, seed;
    uint32_t round;
    int64_t row_offset;

    __device__ bool takes(int64_t row) const
    {
        return row < masses.rows && cuda_takes_row(seed, round, (uint64_t)(row_offset + row), total,
                                                   oversampling, (uint64_t)masses.of(row));
    }
};

/* before[block] = rows taken of the blocks before it; *total, in memory of the host, = those of all. */
__global__ void __launch_bounds__(THREADS)
    count_taken(sampling s, int64_t *before, int64_t *total, uint32_t *ended)
{
    int64_t row = first_row(blockIdx.x), own = 0, all, begin, end;
    for (int r = 0; r < THREAD_ROWS; r++) own += s.takes(row + r);
    scan(own, &all);
    if (threadIdx.x == 0) before[blockIdx.x] = all;
    if (!cuda_ends_last(ended)) return;
    int64_t until = add_up(before, gridDim.x, &begin, &end, total, ended);
    for (int64_t b = begin; b < end; b++) {
        const int64_t count = __ldcg(&before[b]);
        before[b] = until;
        until += count;
    }
}

/* out[0 .. count) = the taken rows number `first` to first + count, in increasing order; before[]
 * as count_taken() leaves it. */
__global__ void __launch_bounds__(THREADS)
    write_taken(sampling s, const int64_t *before, int64_t first, int64_t count, int64_t *out)
{
    int64_t place = before[blockIdx.x] - first;
    if (place >= count || place + ROWS <= 0) return;
    int64_t row = first_row(blockIdx.x), own = 0, all;
    bool taken[THREAD_ROWS];
    for (int r = 0; r < THREAD_ROWS; r++) own += taken[r] = s.takes(row + r);
    place += scan(own, &all);
    for (int r = 0; r < THREAD_ROWS; r++) {
        if (!taken[r]) continue;
        if (place >= 0 && place < count) out[place] = row + r;
        place++;
    }
}

/* --- the number of candidates --- */

/* *candidates = the greatest number + 1; *candidates starts at 0. */
__global__ void count_candidates(const int32_t *nearest, int64_t rows,
                                 unsigned long long *candidates)
{
    int64_t stride = (int64_t)gridDim.x * blockDim.x;
    int32_t most = 0;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < rows; i += stride)
        most = nearest[i] > most ? nearest[i] : most;
    cuda_warp_max((unsigned long long)most + 1, candidates);
}

} // namespace

static int64_t mass_blocks(int64_t rows)
{
    return cuda_divide_up(rows, ROWS);
}

static void list_seeds(cuda_buffers &buffer, cuda_kernels *cuda, int64_t rows)
{
    buffer(cuda->nearest_distance, rows, "distances to the seeds");
    buffer(cuda->nearest, rows, "nearest seeds");
    buffer(cuda->mass_sums, mass_blocks(rows), "masses of blocks of rows");
    buffer(cuda->masses_ended, 1, "masses of blocks of rows");
}

static void list_sampled(cuda_buffers &buffer, cuda_array<int64_t> &rows, int64_t count)
{
    buffer(rows, count, "sampled rows");
}

/* The plan knows the state of the rows by its size (kernels.h). */
int64_t lloyd_cuda_seed_scratch_bytes(const lloyd_kernels_config *config)
{
    cuda_kernels none = {};
    cuda_array<int64_t> sampled = {};
    cuda_buffers count = cuda_buffers::count();
    list_seeds(count, &none, config->n_local);
    list_sampled(count, sampled, WINDOW);
    return count.bytes() - config->n_local * LLOYD_SEED_ROW_BYTES;
}

/* --- state --- */

lloyd_status lloyd_cuda_seed_begin(lloyd_kernels *kernels)
{
    cuda_kernels *cuda = lloyd_cuda(kernels);
    int64_t rows = kernels->config.n_local;
    cuda_buffers reserve = cuda_buffers::reserve(cuda);
    list_seeds(reserve, cuda, rows);
    LLOYD_TRY(reserve.status());
    cuda->mass_bits = 0;
    if (rows == 0) return LLOYD_OK;
    forget<<<(unsigned)cuda_divide_up(rows, THREADS), THREADS, 0,
             cuda->stream>>>(cuda->nearest_distance, cuda->nearest, rows, cuda->masses_ended);
    CUDA_LAUNCHED("clearing the distances to the seeds");
    return LLOYD_OK;
}

lloyd_status lloyd_cuda_seed_end(lloyd_kernels *kernels)
{
    cuda_kernels *cuda = lloyd_cuda(kernels);
    cuda_buffers release = cuda_buffers::release(cuda);
    list_seeds(release, cuda, kernels->config.n_local);
    return LLOYD_OK;
}

/* --- total and pick --- */

static fixed_masses masses_on(const cuda_kernels *cuda, int exponent, int bits)
{
    return {cuda_seeds_from(cuda, 0), cuda->base.config.n_local, exponent, bits};
}

/* A number that kernels write to the host. */
static int64_t *pinned_number(const cuda_kernels *cuda)
{
    return static_cast<int64_t *>(cuda->pinned);
}

static lloyd_status await_number(const cuda_kernels *cuda, int64_t *number)
{
    CUDA_TRY(cudaStreamSynchronize(cuda->stream), "waiting for results");
    *number = *pinned_number(cuda);
    return LLOYD_OK;
}

/* Enqueues the sums of masses per block and over all rows, which are at least one; the latter goes to
 * pinned_number(). */
static lloyd_status sum_up(cuda_kernels *cuda, int exponent, int bits)
{
    int64_t blocks = mass_blocks(cuda->base.config.n_local);
    sum_masses<<<(unsigned)blocks, THREADS, 0, cuda->stream>>>(masses_on(cuda, exponent, bits),
                                                               cuda->mass_sums, pinned_number(cuda),
                                                               cuda->masses_ended);
    CUDA_LAUNCHED("summing masses");
    cuda->mass_exponent = exponent;
    cuda->mass_bits = bits;
    return LLOYD_OK;
}

lloyd_status lloyd_cuda_seed_total(lloyd_kernels *kernels, int exponent, int bits, int64_t *total)
{
    cuda_kernels *cuda = lloyd_cuda(kernels);
    *total = 0;
    if (kernels->config.n_local == 0) return LLOYD_OK;
    LLOYD_TRY(sum_up(cuda, exponent, bits));
    return await_number(cuda, total);
}

lloyd_status lloyd_cuda_seed_pick(lloyd_kernels *kernels, int exponent, int bits, int64_t target,
                                  int64_t *row)
{
    cuda_kernels *cuda = lloyd_cuda(kernels);
    int64_t rows = kernels->config.n_local;
    *row = 0;
    if (rows == 0) return LLOYD_OK;
    if (cuda->mass_bits != bits || cuda->mass_exponent != exponent)
        LLOYD_TRY(sum_up(cuda, exponent, bits));
    pick_row<<<1, THREADS, 0, cuda->stream>>>(masses_on(cuda, exponent, bits), cuda->mass_sums,
                                              mass_blocks(rows), target, pinned_number(cuda));
    CUDA_LAUNCHED("picking a row by its mass");
    return await_number(cuda, row);
}

/* --- sample --- */

/* rows[0 .. count) = the first `count` rows that are taken, WINDOW at a time; scratch[WINDOW] or as
 * many as there are. */
static lloyd_status copy_taken(cuda_kernels *cuda, const sampling &s, int64_t *scratch,
                               int64_t count, int64_t *rows)
{
    int64_t blocks = mass_blocks(s.masses.rows);
    for (int64_t first = 0; first < count; first += WINDOW) {
        int64_t here = count - first < WINDOW ? count - first : WINDOW;
        write_taken<<<(unsigned)blocks, THREADS, 0, cuda->stream>>>(s, cuda->mass_sums, first, here,
                                                                    scratch);
        CUDA_LAUNCHED("collecting sampled rows");
        LLOYD_TRY(lloyd_cuda_copy_out(cuda, rows + first, scratch, here * (int64_t)sizeof *rows));
    }
    return LLOYD_OK;
}

lloyd_status lloyd_cuda_seed_sample(lloyd_kernels *kernels, int exponent, int bits, int64_t total,
                                    int64_t oversampling, uint64_t seed, int round,
                                    int64_t row_offset, int64_t capacity, int64_t *rows,
                                    int64_t *count)
{
    cuda_kernels *cuda = lloyd_cuda(kernels);
    int64_t blocks = mass_blocks(kernels->config.n_local), taken;
    *count = 0;
    if (blocks == 0 || capacity <= 0) return LLOYD_OK;
    sampling s = {masses_on(cuda, exponent, bits),
                  (uint64_t)total,
                  (uint64_t)oversampling,
                  seed,
                  (uint32_t)round,
                  row_offset};
    cuda->mass_bits = 0; /* the place of the sums takes the counts */
    count_taken<<<(unsigned)blocks, THREADS, 0, cuda->stream>>>(s, cuda->mass_sums,
                                                                pinned_number(cuda),
                                                                cuda->masses_ended);
    CUDA_LAUNCHED("sampling rows");
    LLOYD_TRY(await_number(cuda, &taken));
    if (taken > capacity) taken = capacity;
    if (taken == 0) return LLOYD_OK;
    cuda_array<int64_t> sampled = {};
    cuda_buffers reserve = cuda_buffers::reserve(cuda), release = cuda_buffers::release(cuda);
    list_sampled(reserve, sampled, taken < WINDOW ? taken : WINDOW);
    LLOYD_TRY(reserve.status());
    lloyd_status status = copy_taken(cuda, s, sampled, taken, rows);
    list_sampled(release, sampled, 0);
    if (status == LLOYD_OK) *count = taken;
    return status;
}

/* --- masses of the candidates --- */

lloyd_status lloyd_cuda_seed_masses(lloyd_kernels *kernels, int64_t *masses)
{
    cuda_kernels *cuda = lloyd_cuda(kernels);
    int64_t rows = kernels->config.n_local, candidates;
    if (rows == 0) return LLOYD_OK;
    unsigned long long *most = reinterpret_cast<unsigned long long *>(cuda->results.data);
    CUDA_TRY(cudaMemsetAsync(most, 0, sizeof *most, cuda->stream), "counting candidates");
    int64_t blocks = mass_blocks(rows), grid = 2 * cuda->gpu.multiprocessors;
    count_candidates<<<(unsigned)(blocks < grid ? blocks : grid), THREADS, 0,
                       cuda->stream>>>(cuda->nearest, rows, most);
    CUDA_LAUNCHED("counting candidates");
    LLOYD_TRY(lloyd_cuda_fetch(cuda, &candidates, most, sizeof candidates));
    return lloyd_cuda_histogram(cuda, cuda->nearest, cuda->weights, candidates, masses);
}
