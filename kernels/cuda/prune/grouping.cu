/* See grouping.h. A thread of its own does it, with OpenMP threads as the rank has, but few where there is little to do: they wait for each
 * other, and for threads that wait for the GPU. */
#include "kernels/cuda/prune/grouping.h"

#include "kernels/cuda/slots.h"
extern "C" {
#include "kernels/groups.h"
}

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

/* Elements of centroids that are worth a thread, and threads of a rank that do other things. */
enum { WORK = 1 << 18, SPARE = 2 };

struct cuda_grouping {
    std::vector<float> centroids;
    std::vector<int32_t> order;
    std::atomic<bool> done = false;
    lloyd_status status = LLOYD_OK;
    std::thread thread;
};

lloyd_status lloyd_cuda_grouping_begin(cuda_kernels *cuda, cuda_prune *s)
{
    if (s->grouping) return LLOYD_OK;
    const int64_t set = cuda->set, dim = cuda->base.config.dim, group = s->group_centroids;
    const int threads = (int)std::clamp<int64_t>(set * dim / WORK, 1,
                                                 std::max(1, cuda->base.config.threads - SPARE));
    cuda_grouping *g = s->grouping = new cuda_grouping;
    g->centroids.resize((size_t)(set * dim));
    g->order.resize((size_t)set);
    LLOYD_TRY(lloyd_cuda_copy_out(cuda, g->centroids.data(), cuda->centroids,
                                  set * dim * (int64_t)sizeof(float)));
    g->thread = std::thread([=] {
        g->status =
            lloyd_group_centroids(g->centroids.data(), set, dim, group, threads, g->order.data());
        g->done = true;
    });
    return LLOYD_OK;
}

bool lloyd_cuda_grouping_done(const cuda_prune *s)
{
    return s->grouping && s->grouping->done;
}

lloyd_status lloyd_cuda_grouping_end(cuda_kernels *cuda, cuda_prune *s)
{
    LLOYD_TRY(lloyd_cuda_grouping_begin(cuda, s));
    cuda_grouping *g = s->grouping;
    const int64_t bytes = cuda->set * (int64_t)sizeof(int32_t);
    if (g->thread.joinable()) g->thread.join();
    if (g->status != LLOYD_OK) /* its message is another thread's */
        return lloyd_fail(g->status, "there is no memory to group the centroids; use --prune off");
    std::vector<int32_t> place((size_t)cuda->set);
    for (size_t at = 0; at < place.size(); at++) place[(size_t)g->order[at]] = (int32_t)at;
    LLOYD_TRY(lloyd_cuda_copy_in(cuda, s->order, g->order.data(), bytes));
    LLOYD_TRY(lloyd_cuda_copy_in(cuda, s->place, place.data(), bytes));
    lloyd_cuda_grouping_free(s);
    return LLOYD_OK;
}

void lloyd_cuda_grouping_free(cuda_prune *s)
{
    if (s->grouping && s->grouping->thread.joinable()) s->grouping->thread.join();
    delete s->grouping;
    s->grouping = nullptr;
}
