/* A round of kmeans|| in each of several groups of rows at a time: a block per group finds its greatest mass, sums its masses on the grid
 * that follows, and draws its rows. The host needs none of these numbers but the rows.
 */
#include "kernels/cuda/seed/group_sample.h"

#include "kernels/cuda/groups.h"
#include "kernels/cuda/seed/seeds.cuh"
#include "kernels/cuda/slots.h"
#include "kernels/cuda/sort/block_scan.cuh"

namespace
{

using word = unsigned long long;

constexpr int THREADS = 1024;

/* In device memory, for one round. */
struct sample_memory {
    cuda_array<lloyd_group_draw> draws; /* [groups] */
    cuda_array<int64_t> found; /* [groups + room] how many rows of each, and behind them the rows */
};

void list_sample(cuda_buffers &buffer, sample_memory *s, int64_t groups, int64_t room)
{
    const char *what = "sampled rows of groups";
    buffer(s->draws, groups, what);
    buffer(s->found, groups + room, what);
}

/* The sum of the masses of a group, and their grid. By a block. */
__device__ word sum_masses(const cuda_group &group, const cuda_seeds &s, int *exponent, int *bits)
{
    __shared__ block_space<word, THREADS> maxima, sums;
    double most = 0;
    for (int64_t i = threadIdx.x; i < group.rows; i += THREADS) {
        const int64_t row = group.first + i;
        most = fmax(most, cuda_row_mass(s, row, s.distance[row]));
    }
    const word greatest = most_of_block(maxima, (word)cuda_ordered_bits(most));
    *exponent = lloyd_exponent(__longlong_as_double((long long)greatest));
    *bits = lloyd_bits(group.rows, LLOYD_MASS_BITS);
    word own = 0, all;
    for (int64_t i = threadIdx.x; i < group.rows; i += THREADS) {
        const int64_t row = group.first + i;
        own += (word)lloyd_fixed_mass(cuda_row_mass(s, row, s.distance[row]), *exponent, *bits);
    }
    scan_block(sums, own, &all);
    return all;
}

/* A block per group. */
__global__ void __launch_bounds__(THREADS)
    sample_groups(cuda_group_table groups, cuda_seeds s, const lloyd_group_draw *draws, int round,
                  int64_t *counts, int64_t *rows)
{
    __shared__ block_space<int, THREADS> space;
    const cuda_group group = groups.group[blockIdx.x];
    const lloyd_group_draw draw = draws[blockIdx.x];
    int exponent, bits;
    const word total = sum_masses(group, s, &exponent, &bits);
    int64_t count = 0; /* of those before the thread's row */
    for (int64_t at = 0; at < group.rows && count < draw.most && total > 0; at += THREADS) {
        const int64_t i = at + threadIdx.x, row = group.first + i;
        bool taken = false;
        if (i < group.rows) {
            const int64_t mass =
                lloyd_fixed_mass(cuda_row_mass(s, row, s.distance[row]), exponent, bits);
            taken = cuda_takes_row(draw.seed, (uint32_t)round, (uint64_t)i, total,
                                   (uint64_t)draw.oversampling, (uint64_t)mass);
        }
        int all;
        const int64_t place = count + scan_block(space, taken ? 1 : 0, &all);
        if (taken && place < draw.most) rows[draw.place + place] = row;
        count += all;
        __syncthreads();
    }
    if (threadIdx.x == 0) counts[blockIdx.x] = count < draw.most ? count : draw.most;
}

lloyd_status sample(cuda_kernels *cuda, const sample_memory &memory, const lloyd_group_draw *draws,
                    int round, int64_t room, int64_t *found)
{
    const cuda_group_table groups = lloyd_cuda_group_table(cuda);
    LLOYD_TRY(lloyd_cuda_copy_in(cuda, memory.draws, draws, groups.count * (int64_t)sizeof *draws));
    CUDA_TRY(cudaMemsetAsync(memory.found, 0,
                             (size_t)(groups.count + room) * sizeof *memory.found.data,
                             cuda->stream),
             "sampling rows of groups"); /* there may be fewer than there is room for */
    sample_groups<<<(unsigned)groups.count, THREADS, 0, cuda->stream>>>(groups,
                                                                        cuda_seeds_from(cuda, 0),
                                                                        memory.draws, round,
                                                                        memory.found,
                                                                        memory.found +
                                                                            groups.count);
    CUDA_LAUNCHED("sampling rows of groups");
    return lloyd_cuda_copy_out(cuda, found, memory.found,
                               (groups.count + room) * (int64_t)sizeof *found);
}

} // namespace

lloyd_status lloyd_cuda_groups_sample(lloyd_kernels *kernels, const lloyd_group_draw *draws,
                                      int round, int64_t room, int64_t *rows, int64_t *counts)
{
    cuda_kernels *cuda = lloyd_cuda(kernels);
    const int64_t groups = lloyd_cuda_group_count(cuda);
    sample_memory memory = {};
    int64_t *found;
    cuda_buffers reserve = cuda_buffers::reserve(cuda), release = cuda_buffers::release(cuda);
    LLOYD_TRY(lloyd_alloc(&found, groups + room, sizeof *found, "sampled rows of groups"));
    list_sample(reserve, &memory, groups, room);
    lloyd_status status = reserve.status();
    if (status == LLOYD_OK) status = sample(cuda, memory, draws, round, room, found);
    list_sample(release, &memory, 0, 0);
    if (status == LLOYD_OK) {
        memcpy(counts, found, (size_t)groups * sizeof *counts);
        memcpy(rows, found + groups, (size_t)room * sizeof *rows);
    }
    lloyd_free(found);
    return status;
}
