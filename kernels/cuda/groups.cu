/* See groups.h. */
#include "kernels/cuda/groups.h"

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/memory/keep.h"
#include "kernels/cuda/slots.h"

#include <algorithm>
#include <cstring>

namespace
{

enum { THREADS = 256 };

void list_groups(cuda_buffers &buffer, cuda_groups *groups, int64_t count)
{
    const char *what = "groups of rows";
    buffer(groups->group, count, what);
    buffer(groups->moved, count, what);
}

/* One block. */
__global__ void __launch_bounds__(THREADS)
    end_groups(unsigned long long *moved, int count, int64_t *counted, unsigned long long *counters)
{
    cuda_await();
    for (int g = (int)threadIdx.x; g < count; g += THREADS) {
        const unsigned long long own = moved[g];
        moved[g] = 0;
        counted[g] = (int64_t)own;
        if (own > 0) atomicAdd(&counters[0], own);
    }
}

lloyd_status open_groups(cuda_kernels *cuda, int64_t count)
{
    const char *what = "groups of rows";
    LLOYD_TRY(lloyd_alloc(&cuda->groups, 1, sizeof *cuda->groups, what));
    cuda_groups *groups = cuda->groups;
    groups->count = count;
    for (int64_t **array : {&groups->rows, &groups->centroids, &groups->tiles})
        LLOYD_TRY(lloyd_alloc(array, count + 1, sizeof **array, what));
    cuda_buffers reserve = cuda_buffers::reserve(cuda);
    list_groups(reserve, groups, count);
    LLOYD_TRY(reserve.status());
    void *counted = nullptr;
    CUDA_TRY(lloyd_cuda_take_pinned(cuda->stock, count * (int64_t)sizeof *groups->counted,
                                    &counted),
             "allocating pinned memory for results");
    groups->counted = static_cast<int64_t *>(counted);
    return lloyd_cuda_check(cudaMemsetAsync(groups->moved, 0,
                                            (size_t)count * sizeof *groups->moved.data,
                                            cuda->stream),
                            "counting labels of groups");
}

} // namespace

lloyd_status lloyd_cuda_set_groups(lloyd_kernels *kernels, const lloyd_groups *given)
{
    cuda_kernels *cuda = lloyd_cuda(kernels);
    if (!cuda->groups) LLOYD_TRY(open_groups(cuda, given->count));
    cuda_groups *groups = cuda->groups;
    const size_t bytes = (size_t)(groups->count + 1) * sizeof(int64_t);
    memcpy(groups->rows, given->rows, bytes);
    memcpy(groups->centroids, given->centroids, bytes);
    groups->active = given->active;
    groups->most = 0;
    for (int64_t g = 0; g < groups->count; g++)
        groups->most = std::max(groups->most, given->centroids[g + 1] - given->centroids[g]);
    return LLOYD_OK;
}

lloyd_status lloyd_cuda_groups_moved(lloyd_kernels *kernels, int64_t *moved)
{
    const cuda_groups *groups = lloyd_cuda(kernels)->groups;
    memcpy(moved, groups->counted, (size_t)groups->count * sizeof *moved);
    return LLOYD_OK;
}

void lloyd_cuda_groups_free(cuda_kernels *cuda)
{
    cuda_groups *groups = cuda->groups;
    if (!groups) return;
    cuda_buffers release = cuda_buffers::release(cuda);
    list_groups(release, groups, 0);
    lloyd_cuda_give_pinned(cuda->stock, groups->counted);
    lloyd_free(groups->rows);
    lloyd_free(groups->centroids);
    lloyd_free(groups->tiles);
    lloyd_free(groups);
    cuda->groups = nullptr;
}

int64_t lloyd_cuda_group_count(const cuda_kernels *cuda)
{
    return cuda->groups ? cuda->groups->count : 1;
}

int64_t lloyd_cuda_most_rows(const cuda_kernels *cuda, int64_t all)
{
    const cuda_groups *groups = cuda->groups;
    if (!groups) return all;
    int64_t most = 0;
    for (int64_t g = 0; g < groups->count; g++)
        most = std::max(most, groups->rows[g + 1] - groups->rows[g]);
    return most;
}

cuda_group lloyd_cuda_group(const cuda_kernels *cuda, int64_t g)
{
    const cuda_groups *groups = cuda->groups;
    const int64_t begin = groups->centroids[g];
    return {groups->rows[g], groups->rows[g + 1] - groups->rows[g], (int32_t)begin,
            (int32_t)(groups->centroids[g + 1] - begin), (int32_t)groups->tiles[g]};
}

int64_t lloyd_cuda_places(const cuda_kernels *cuda, int64_t set, int width)
{
    const cuda_groups *groups = cuda->groups;
    if (!groups) return cuda_divide_up(set, width) * width;
    int64_t tiles = 0;
    for (int64_t g = 0; g < groups->count; g++)
        tiles += cuda_divide_up(groups->centroids[g + 1] - groups->centroids[g], width);
    return tiles * width;
}

lloyd_status lloyd_cuda_send_groups(cuda_kernels *cuda, int width)
{
    cuda_groups *groups = cuda->groups;
    cuda_group *sent;
    LLOYD_TRY(lloyd_alloc(&sent, groups->count, sizeof *sent, "groups of rows"));
    groups->tiles[0] = 0;
    for (int64_t g = 0; g < groups->count; g++) {
        sent[g] = lloyd_cuda_group(cuda, g);
        groups->tiles[g + 1] = groups->tiles[g] + cuda_divide_up(sent[g].centroids, width);
    }
    const lloyd_status status =
        lloyd_cuda_copy_in(cuda, groups->group, sent, groups->count * (int64_t)sizeof *sent);
    lloyd_free(sent);
    return status;
}

cuda_group_table lloyd_cuda_group_table(const cuda_kernels *cuda)
{
    const cuda_groups *groups = cuda->groups;
    if (!groups) return {nullptr, 0, nullptr};
    return {groups->group, (int)groups->count, groups->moved};
}

lloyd_status lloyd_cuda_end_groups(cuda_kernels *cuda, unsigned long long *counters)
{
    const cuda_groups *groups = cuda->groups;
    return cuda_launch_after(cuda->stream, cuda->gpu.capability, end_groups, 1, THREADS, 0,
                             "counting labels of groups", groups->moved.data, (int)groups->count,
                             groups->counted, counters);
}
