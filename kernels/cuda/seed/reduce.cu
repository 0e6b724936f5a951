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
#include "kernels/cuda/rows.h"
#include "kernels/cuda/seed/choose.cuh"
#include "kernels/cuda/slots.h"

#include <algorithm>

namespace
{

int64_t round_up(int64_t count, int64_t unit)
{
    return cuda_divide_up(count, unit) * unit;
}

/* Arrays of all leaves of a wave, cut from one allocation; with at = NULL only counts. */
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

/* Of the largest leaf of a wave. */
struct leaf_shape {
    int64_t points, choices;
};

/* Of so many leaves: leaf l has number l of each of these. */
struct wave_memory {
    int64_t most, chosen, blocks, pitch;
    float *points;   /* [leaves][most * dim] */
    double *weights; /* [leaves][most], and so are before, and bounds of each point */
    uint16_t *bounds;
    word *before, *sums, *greatest, *gains;
    uint32_t *barriers;
    lloyd_choice *choices; /* [leaves][chosen] */
    job *jobs;             /* [leaves] */

    wave_memory(arena *a, int64_t leaves, const leaf_shape &shape, int64_t dim)
        : most(shape.points), chosen(shape.choices), blocks(cuda_divide_up(most, LANE_BOUNDS)),
          pitch(round_up(most, LANE_BOUNDS))
    {
        points = a->take<float>(leaves * most * dim);
        weights = a->take<double>(leaves * most);
        bounds = a->take<uint16_t>(leaves * most * pitch);
        before = a->take<word>(leaves * most);
        sums = a->take<word>(leaves * 2 * blocks);
        greatest = a->take<word>(leaves * 2 * blocks);
        gains = a->take<word>(leaves * 3 * LLOYD_MOST_TRIALS);
        barriers = a->take<uint32_t>(leaves); /* these three are cleared together */
        choices = a->take<lloyd_choice>(leaves * chosen);
        jobs = a->take<job>(leaves);
    }
    job job_of(const lloyd_leaf &leaf, int64_t l, int64_t dim) const
    {
        return {points + l * most * dim,
                weights + l * most,
                bounds + l * most * pitch,
                before + l * most,
                sums + l * 2 * blocks,
                greatest + l * 2 * blocks,
                gains + l * 3 * LLOYD_MOST_TRIALS,
                barriers + l,
                choices + l * chosen,
                leaf.count,
                round_up(leaf.count, LANE_BOUNDS),
                leaf.number,
                leaf.most,
                leaf.seed};
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
    const int most_leaves = w->reduction->at_once;
    w->count = (int)std::min<int64_t>(count, most_leaves > 0 ? most_leaves : LLOYD_LEAVES_AT_ONCE);
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

/* The points of all leaves from the host. */
lloyd_status send_points(const wave &w, const wave_memory &m)
{
    const lloyd_reduction *r = w.reduction;
    float *points;
    LLOYD_TRY(lloyd_alloc_uncleared(&points, m.most * r->dim, sizeof *points, "candidates"));
    lloyd_status status = LLOYD_OK;
    for (int l = 0; l < w.count && status == LLOYD_OK; l++) {
        const lloyd_leaf &leaf = w.leaves[l];
        for (int64_t i = 0; i < leaf.count; i++)
            memcpy(points + i * r->dim, r->points + leaf.members[i] * r->dim,
                   (size_t)r->dim * sizeof *points);
        status = lloyd_cuda_copy_in(w.cuda, m.points + l * m.most * r->dim, points,
                                    leaf.count * r->dim * (int64_t)sizeof *points);
    }
    lloyd_free(points);
    return status;
}

/* Their weights, and from the rows on the GPU their points, where these are rows: of all leaves at a time, filled up with a row that is
 * there and weighs nothing. */
lloyd_status send_weights(const wave &w, const wave_memory &m)
{
    const lloyd_reduction *r = w.reduction;
    const int64_t all = w.count * m.most;
    double *weights;
    int64_t *rows = nullptr;
    LLOYD_TRY(lloyd_alloc(&weights, all, sizeof *weights, "candidates"));
    lloyd_status status = r->rows ? lloyd_alloc(&rows, all, sizeof *rows, "candidates") : LLOYD_OK;
    for (int l = 0; l < w.count && status == LLOYD_OK; l++) {
        const lloyd_leaf &leaf = w.leaves[l];
        for (int64_t i = 0; i < leaf.count; i++) {
            weights[l * m.most + i] = r->weights[leaf.members[i]];
            if (rows) rows[l * m.most + i] = r->rows[leaf.members[i]];
        }
    }
    if (status == LLOYD_OK)
        status = lloyd_cuda_copy_in(w.cuda, m.weights, weights, all * (int64_t)sizeof *weights);
    if (status == LLOYD_OK && rows) status = lloyd_cuda_gather(w.cuda, 0, rows, all, m.points);
    lloyd_free(weights);
    lloyd_free(rows);
    return status;
}

float kept_part(int64_t dim)
{
    double lost = (double)(dim + 8) * 0x1p-23;
    return lost < 0.5 ? (float)(1 - lost) : 0.0f;
}

lloyd_status send_jobs(const wave &w, const wave_memory &m)
{
    job *jobs;
    LLOYD_TRY(lloyd_alloc(&jobs, w.count, sizeof *jobs, "candidates"));
    for (int l = 0; l < w.count; l++) jobs[l] = m.job_of(w.leaves[l], l, w.shape.dim);
    const lloyd_status status =
        lloyd_cuda_copy_in(w.cuda, m.jobs, jobs, w.count * (int64_t)sizeof *jobs);
    lloyd_free(jobs);
    return status;
}

int64_t wave_bytes(int64_t points, int64_t dim, int64_t leaves)
{
    arena counted = {nullptr, 0};
    (void)wave_memory(&counted, leaves, {points, points}, dim);
    return counted.used;
}

void list_wave(cuda_buffers &buffer, wave *w, int64_t points, int64_t leaves)
{
    buffer(w->memory, wave_bytes(points, w->shape.dim, leaves), "candidates");
}

wave_memory memory_of(const wave &w)
{
    arena a = {w.memory.data, 0};
    leaf_shape largest = {most_points(w), 0};
    for (int l = 0; l < w.count; l++) largest.choices = std::max(largest.choices, w.leaves[l].most);
    return wave_memory(&a, w.count, largest, w.shape.dim);
}

/* Bounds, and nothing chosen yet. */
lloyd_status begin_wave(const wave &w, const wave_memory &m)
{
    const unsigned tiles = (unsigned)cuda_divide_up(m.most, TILE);
    cudaStream_t stream = w.cuda->stream;
    LLOYD_TRY(send_jobs(w, m));
    if (!w.reduction->rows) LLOYD_TRY(send_points(w, m));
    LLOYD_TRY(send_weights(w, m));
    bound_pairs<<<dim3(tiles, tiles, (unsigned)w.count), BOUND_THREADS, 0, stream>>>(m.jobs,
                                                                                     w.shape.dim,
                                                                                     kept_part(
                                                                                         w.shape
                                                                                             .dim));
    CUDA_LAUNCHED("comparing candidates");
    const size_t cleared =
        (size_t)((const char *)(m.choices + w.count * m.chosen) - (const char *)m.gains);
    return lloyd_cuda_check(cudaMemsetAsync(m.gains, 0, cleared, stream),
                            "preparing the reduction of candidates");
}

lloyd_status launch(wave *w, const wave_memory &m)
{
    LLOYD_TRY(begin_wave(*w, m));
    const job *jobs = m.jobs;
    void *arguments[] = {&jobs, &w->shape};
    return lloyd_cuda_check(cudaLaunchCooperativeKernel(kernel_of(*w),
                                                        dim3(
                                                            (unsigned)(w->count * w->shape.blocks)),
                                                        dim3(THREADS), arguments,
                                                        share_memory::bytes(w->shape),
                                                        w->cuda->stream),
                            "reducing candidates");
}

/* The choices of all leaves, as numbers of the reduction's points. */
lloyd_status fetch_choices(const wave &w, const wave_memory &m)
{
    const int64_t all = w.count * m.chosen;
    lloyd_choice *choices;
    LLOYD_TRY(lloyd_alloc_uncleared(&choices, all, sizeof *choices, "choices"));
    const lloyd_status status =
        lloyd_cuda_copy_out(w.cuda, choices, m.choices, all * (int64_t)sizeof *choices);
    for (int l = 0; l < w.count && status == LLOYD_OK; l++) {
        const lloyd_leaf &leaf = w.leaves[l];
        for (int64_t i = 0; i < leaf.most; i++) {
            const lloyd_choice &choice = choices[l * m.chosen + i];
            leaf.choices[i] = choice.point < 0
                                  ? lloyd_choice{0, -1}
                                  : lloyd_choice{choice.gain, leaf.members[choice.point]};
        }
    }
    lloyd_free(choices);
    return status;
}

lloyd_status run_wave(wave *w)
{
    cuda_buffers reserve = cuda_buffers::reserve(w->cuda), release = cuda_buffers::release(w->cuda);
    list_wave(reserve, w, most_points(*w), w->count);
    lloyd_status status = reserve.status();
    if (status == LLOYD_OK) status = launch(w, memory_of(*w));
    if (status == LLOYD_OK) status = fetch_choices(*w, memory_of(*w));
    list_wave(release, w, 0, 0);
    return status;
}

/* The first leaf, by the host. */
lloyd_status reduce_on_host(lloyd_kernels *kernels, const lloyd_reduction *reduction,
                            const lloyd_leaf *leaf)
{
    lloyd_reduction own = *reduction;
    float *points;
    if (!own.rows) return lloyd_reduce_leaf(reduction, leaf);
    LLOYD_TRY(lloyd_alloc(&points, own.count * own.dim, sizeof *points, "candidates"));
    own.points = points;
    lloyd_status status = kernels->rows(kernels, 0, own.rows, own.count, points);
    if (status == LLOYD_OK) status = lloyd_reduce_leaf(&own, leaf);
    lloyd_free(points);
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
    return w.count > 0 ? run_wave(&w) : reduce_on_host(kernels, reduction, leaves);
}
