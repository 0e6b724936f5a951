/* Greedy k-means++ over candidates: the twin of kernels/reduce.c, for several leaves at a time.
 *
 * A choice needs to know what each of T tried points would do to the masses of all n. One launch first
 * leaves, of every pair of points, a number that is not above dist() (two bytes, candidate_bounds.cuh). Then
 * one launch makes all choices of all these leaves: some blocks form a team, each with a share of its leaf's
 * points, whose masses stay in shared memory; they read the T rows of bounds, and compute dist() of the few
 * pairs that may come nearer than what is chosen already. The blocks of a team wait for each other
 * twice a choice: when the masses are summed, and when the trials are. All of them do the same draws
 * and decisions from the same numbers.
 *
 * Blocks wait for each other, so all must run at once: the launch is cooperative.
 */
extern "C" {
#include "kernels/cuda/seed/reduce.h"
}

#include "kernels/cuda/assign/assign.h"
#include "kernels/cuda/seed/choose.cuh"
#include "kernels/cuda/slots.h"

#include <algorithm>

namespace
{

int64_t round_up(int64_t count, int64_t unit)
{
    return cuda_divide_up(count, unit) * unit;
}

/* Device memory of one leaf, cut from one allocation; with at = NULL only counts. */
struct arena {
    char *at;
    int64_t used;

    template <class T> T *take(int64_t count)
    {
        T *memory = at ? reinterpret_cast<T *>(at + used) : nullptr;
        used += round_up(count * (int64_t)sizeof(T), 256);
        return memory;
    }
};

struct leaf_memory {
    float *points;
    double *weights;
    uint16_t *bounds;
    word *before, *sums, *greatest, *gains;
    uint32_t *barrier;
    lloyd_choice *choices;

    leaf_memory(arena *a, int64_t count, int64_t dim)
    {
        const int64_t blocks = cuda_divide_up(count, LANE_BOUNDS);
        points = a->take<float>(count * dim);
        weights = a->take<double>(count); /* behind the points: they are sent together */
        bounds = a->take<uint16_t>(count * round_up(count, LANE_BOUNDS));
        before = a->take<word>(count);
        sums = a->take<word>(2 * blocks);
        greatest = a->take<word>(2 * blocks);
        gains = a->take<word>(3 * LLOYD_MOST_TRIALS);
        barrier = a->take<uint32_t>(1); /* behind the gains: they are cleared together */
        choices = a->take<lloyd_choice>(count);
    }
};

/* Several leaves at a time. */
struct wave {
    cuda_kernels *cuda;
    const lloyd_reduction *reduction;
    const lloyd_leaf *leaves;
    int count; /* leaves */
    team_shape shape;
    bool fours;
    cuda_array<char> memory; /* of all leaves */
    cuda_array<job> jobs;
};

const void *kernel_of(const wave &w)
{
    return w.fours ? (const void *)choose<true> : (const void *)choose<false>;
}

int64_t most_points(const wave &w)
{
    int64_t most = 0;
    for (int l = 0; l < w.count; l++) most = w.leaves[l].count > most ? w.leaves[l].count : most;
    return most;
}

/* How many blocks with this much shared memory run at once. */
lloyd_status resident_blocks(const wave &w, size_t shared, int *blocks)
{
    int each = 0;
    *blocks = 0;
    if (shared > (size_t)lloyd_cuda_shared_bytes(w.cuda)) return LLOYD_OK;
    LLOYD_TRY(lloyd_cuda_allow_shared((const void *)kernel_of(w), (int)shared,
                                      "preparing the reduction of candidates"));
    CUDA_TRY(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&each, kernel_of(w), THREADS, shared),
             "preparing the reduction of candidates");
    *blocks = each * w.cuda->gpu.multiprocessors;
    return LLOYD_OK;
}

/* How many leaves are done at a time, and by how many blocks each; w->count becomes 0 where the GPU can
 * not. */
lloyd_status shape_wave(wave *w, int64_t count)
{
    w->count = (int)std::min<int64_t>(count, LLOYD_LEAVES_AT_ONCE);
    const int64_t points = most_points(*w), dim = w->shape.dim;
    while (w->count > 0 && lloyd_cuda_reduce_bytes(points, dim, w->count) > w->reduction->room)
        w->count--;
    const int least = (int)cuda_divide_up(points, SHARE);
    /* with others at work there are more leaves than blocks, and fewer that wait do more together */
    const bool others = w->cuda->stock && w->count > 1;
    const int good = (int)cuda_divide_up(points, others ? SHARE : GOOD_SHARE);
    int resident;
    w->shape.share = SHARE;
    w->shape.blocks = least;
    LLOYD_TRY(resident_blocks(*w, share_memory::bytes(w->shape), &resident));
    if (w->count > resident / least) w->count = resident / least;
    if (w->count == 0) return LLOYD_OK;
    const int most = resident / w->count;
    w->shape.share = round_up(cuda_divide_up(points, good < most ? good : most), LANE_BOUNDS);
    w->shape.blocks = (int)cuda_divide_up(points, w->shape.share);
    return LLOYD_OK;
}

/* The points of a leaf and their weights, to the GPU. */
lloyd_status send_leaf(const wave &w, const lloyd_leaf &leaf, const leaf_memory &to)
{
    const lloyd_reduction *r = w.reduction;
    const size_t row = (size_t)r->dim * sizeof(float);
    const int64_t behind = (const char *)to.weights - (const char *)to.points,
                  bytes = behind + leaf.count * (int64_t)sizeof(double);
    char *points;
    LLOYD_TRY(lloyd_alloc(&points, bytes, 1, "candidates"));
    auto *weights = reinterpret_cast<double *>(points + behind);
    for (int64_t i = 0; i < leaf.count; i++) {
        memcpy(points + i * (int64_t)row, r->points + leaf.members[i] * r->dim, row);
        weights[i] = r->weights[leaf.members[i]];
    }
    const lloyd_status status = lloyd_cuda_copy_in(w.cuda, to.points, points, bytes);
    lloyd_free(points);
    return status;
}

float kept_part(int64_t dim)
{
    double lost = (double)(dim + 8) * 0x1p-23;
    return lost < 0.5 ? (float)(1 - lost) : 0.0f;
}

/* Bounds, and nothing chosen yet. */
lloyd_status begin_leaf(const wave &w, const lloyd_leaf &leaf, const leaf_memory &m)
{
    const unsigned tiles = (unsigned)cuda_divide_up(leaf.count, TILE);
    cudaStream_t stream = w.cuda->stream;
    LLOYD_TRY(send_leaf(w, leaf, m));
    bound_pairs<<<dim3(tiles, tiles), BOUND_THREADS, 0, stream>>>(m.points, leaf.count, w.shape.dim,
                                                                  round_up(leaf.count, LANE_BOUNDS),
                                                                  kept_part(w.shape.dim), m.bounds);
    CUDA_LAUNCHED("comparing candidates");
    const size_t cleared = (size_t)((const char *)(m.barrier + 1) - (const char *)m.gains);
    return lloyd_cuda_check(cudaMemsetAsync(m.gains, 0, cleared, stream),
                            "preparing the reduction of candidates");
}

int64_t leaf_bytes(int64_t points, int64_t dim)
{
    arena counted = {nullptr, 0};
    (void)leaf_memory(&counted, points, dim);
    return counted.used;
}

void list_wave(cuda_buffers &buffer, wave *w, int64_t points, int64_t leaves)
{
    const char *what = "candidates";
    buffer(w->memory, leaves * leaf_bytes(points, w->shape.dim), what);
    buffer(w->jobs, LLOYD_LEAVES_AT_ONCE, what);
}

leaf_memory memory_of(const wave &w, int leaf)
{
    arena a = {w.memory.data + leaf * leaf_bytes(most_points(w), w.shape.dim), 0};
    return leaf_memory(&a, most_points(w), w.shape.dim);
}

lloyd_status launch(wave *w)
{
    job jobs[LLOYD_LEAVES_AT_ONCE];
    for (int l = 0; l < w->count; l++) {
        const lloyd_leaf &leaf = w->leaves[l];
        const leaf_memory m = memory_of(*w, l);
        LLOYD_TRY(begin_leaf(*w, leaf, m));
        jobs[l] = {m.points,
                   m.weights,
                   m.bounds,
                   m.before,
                   m.sums,
                   m.greatest,
                   m.gains,
                   m.barrier,
                   m.choices,
                   leaf.count,
                   round_up(leaf.count, LANE_BOUNDS),
                   leaf.number,
                   leaf.most,
                   leaf.seed};
    }
    LLOYD_TRY(lloyd_cuda_copy_in(w->cuda, w->jobs, jobs, w->count * (int64_t)sizeof *jobs));
    void *arguments[] = {&w->jobs.data, &w->shape};
    return lloyd_cuda_check(cudaLaunchCooperativeKernel(kernel_of(*w),
                                                        dim3(
                                                            (unsigned)(w->count * w->shape.blocks)),
                                                        dim3(THREADS), arguments,
                                                        share_memory::bytes(w->shape),
                                                        w->cuda->stream),
                            "reducing candidates");
}

/* The choices of a leaf, as numbers of the reduction's points. */
lloyd_status fetch_leaf(const wave &w, int number)
{
    const lloyd_leaf &leaf = w.leaves[number];
    LLOYD_TRY(lloyd_cuda_copy_out(w.cuda, leaf.choices, memory_of(w, number).choices,
                                  leaf.most * (int64_t)sizeof *leaf.choices));
    for (int64_t i = 0; i < leaf.most; i++) {
        lloyd_choice *choice = &leaf.choices[i];
        *choice = choice->point < 0 ? lloyd_choice{0, -1}
                                    : lloyd_choice{choice->gain, leaf.members[choice->point]};
    }
    return LLOYD_OK;
}

lloyd_status run_wave(wave *w)
{
    cuda_buffers reserve = cuda_buffers::reserve(w->cuda), release = cuda_buffers::release(w->cuda);
    list_wave(reserve, w, most_points(*w), w->count);
    lloyd_status status = reserve.status();
    if (status == LLOYD_OK) status = launch(w);
    for (int l = 0; l < w->count && status == LLOYD_OK; l++) status = fetch_leaf(*w, l);
    list_wave(release, w, 0, 0);
    return status;
}

} // namespace

int64_t lloyd_cuda_reduce_bytes(int64_t count, int64_t dim, int64_t leaves)
{
    wave planned = {};
    planned.shape.dim = dim;
    cuda_buffers counted = cuda_buffers::count();
    list_wave(counted, &planned, count, leaves);
    return counted.bytes();
}

lloyd_status lloyd_cuda_reduce(lloyd_kernels *kernels, const lloyd_reduction *reduction,
                               const lloyd_leaf *leaves, int64_t count, int64_t *done)
{
    wave w = {};
    w.cuda = lloyd_cuda(kernels);
    w.reduction = reduction;
    w.leaves = leaves;
    w.shape.dim = reduction->dim;
    w.shape.trials = reduction->trials;
    w.fours = reduction->dim % CUDA_OWNED == 0;
    LLOYD_TRY(shape_wave(&w, count));
    *done = w.count > 0 ? w.count : 1;
    return w.count > 0 ? run_wave(&w) : lloyd_reduce_leaf(reduction, leaves);
}
