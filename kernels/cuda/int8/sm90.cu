/* The 8-bit filter for Hopper: for each row the centroids that can be nearest to it, without an N x K matrix in memory.
 * docs/numerics.md, section 2.7; the design of the kernel is our own.
 *
 * Each warpgroup but the last takes 64 rows at a time and multiplies them with all centroids, which one thread of the last one copies
 * into a ring of stages. Three other warps of the last one have computed a threshold for each row: a centroid whose score is below it is
 * farther than the one that the row has. Centroids are sorted by bias, so that 32 neighbours have nearly the same: the greatest product
 * of a row with them, and the greatest of their biases, show with half an operation per score that none of them matters. Only where one
 * may, scores are added up and compared, and the places of those that reach the threshold are noted in shared memory. At the end of a
 * row a single one becomes its label; several go to the lists for dist(). The warpgroups ping-pong: the scores of one are compared
 * during the products of the others. Short rows are kept in registers, so that only centroids are read from shared memory for a product.
 */
#include "kernels/cuda/int8/block.cuh"
#include "kernels/cuda/int8/kernel.h"
#include "kernels/cuda/launch.cuh"

namespace
{

using namespace int8_kernel;

enum named_barrier {
    ALL_LISTED = 1, /* of all warpgroups that multiply */
    TURN /* and the numbers after it, one for each warpgroup: it may start its products */
};

/* --- centroids, one thread --- */

template <class S> __device__ void copy_tiles(const int8_params &p, const memory<S> &m)
{
    const int tiles = row_tiles<S>(p), stages = stages_of_tile<S>(p);
    const int64_t tile_bytes = (int64_t)p.steps * STEP_BYTES;
    int at = 0, slot = 0;
    uint32_t parity = 1; /* all stages are empty */
    for (int item = blockIdx.x; item < tiles; item += gridDim.x) {
        const uint8_t *from = p.image;
        for (int tile = 0; tile < p.tiles; tile++, from += tile_bytes) {
            for (int stage = 0; stage < stages; stage++) {
                const int steps = stage + 1 < stages ? S::STEPS : S::LAST;
                uint64_t *full = &m.c->full[at];
                sm90_wait(&m.c->empty[at], parity);
                sm90_expect(full, steps * STEP_BYTES + (stage == 0 ? (int)sizeof(int8_tile) : 0));
                if (stage == 0) {
                    sm90_copy(&m.c->tile[slot], p.tile + tile, sizeof(int8_tile), full);
                    if (++slot == S::TILES) slot = 0;
                }
                sm90_copy(m.stages + at * S::STAGE, from + stage * S::STAGE, steps * STEP_BYTES,
                          full);
                if (++at == S::STAGES) at = 0, parity ^= 1;
            }
        }
    }
}

/* --- products and scores, the other warpgroups --- */

/* The codes of a warpgroup's rows of a tile. One thread. */
template <class S>
__device__ void copy_codes(const int8_params &p, const memory<S> &m, int group, int buffer,
                           int item)
{
    const int chunks = (p.steps * INT8_STEP + INT8_CHUNK - 1) / INT8_CHUNK;
    uint64_t *copied = &m.c->group[group].codes_copied[buffer];
    uint8_t *to = m.codes_of(group, buffer);
    sm90_expect(copied, chunks * CODES);
    for (int chunk = 0; chunk < chunks; chunk++)
        sm90_copy_box(to + chunk * CODES, &p.map, chunk * INT8_CHUNK,
                      item * S::ROWS + group * INT8_GROUP, copied);
}

/* The rows of a warp as fragments of the matrix instruction; see sm90_swizzled_descriptor(). */
template <int STEPS>
__device__ inline void load_fragments(const uint8_t *codes, uint32_t (*fragment)[4])
{
    const int lane = threadIdx.x % 32, row = threadIdx.x % WARPGROUP / 32 * 16 + lane % 16;
#pragma unroll
    for (int step = 0; step < STEPS; step++) {
        const int piece = (2 * step + lane / 16) ^ (row & 7);
        sm90_load_matrices(codes + row * INT8_CHUNK + piece * 16, fragment[step]);
    }
}

/* Where a warpgroup is in the ring. */
struct ring {
    int at = 0, slot = 0;
    uint32_t parity = 0;
};

/* COUNT steps of a stage from step FIRST on; `a`: fragments, or the descriptor of the stage's first step. */
template <class S, bool UNSIGNED, int FIRST, int COUNT, class A>
__device__ inline void multiply_steps(int32_t *sum, const A &a, uint64_t b, bool add)
{
#pragma unroll
    for (int step = FIRST; step < FIRST + COUNT; step++) {
        const uint64_t centroids = b + step * (STEP_BYTES >> 4);
        if constexpr (S::IN_REGISTERS)
            sm90_int8_product<UNSIGNED>(sum, a[step], centroids, add || step > 0);
        else
            sm90_int8_product<UNSIGNED>(sum, a + step * (INT8_STEP >> 4), centroids,
                                        add || step > 0);
    }
}

/* sum = the products of a tile of centroids with the rows, which are in `fragment` or at `codes`. Where the rows are in registers, the
 * next warpgroup may start when half of the products are done, which keeps the tensor cores busy until its own arrive; else at once. Every
 * thread says that a stage is free: it has looked at the biases of the tile before, which lie beside it. */
template <class S, bool UNSIGNED>
__device__ inline void multiply(int32_t *sum, const memory<S> &m, const uint32_t (*fragment)[4],
                                uint64_t codes, uint64_t ring_descriptor, int stages, int own,
                                int next, ring &r)
{
    constexpr int HALF = S::LAST > 1 ? S::LAST / 2 : 1, REST = S::LAST - HALF;
    int before = -1; /* the stage whose products may still be running */
    const auto centroids = [&] { return ring_descriptor + (uint64_t)(r.at * (S::STAGE >> 4)); };
    const auto rows = [&](int stage) {
        return codes + (uint64_t)(stage * S::STEPS / 4) * (CODES >> 4) +
               (uint64_t)(stage * S::STEPS % 4) * (INT8_STEP >> 4);
    };
    if (S::TURNS) sm90_named_sync(own, 2 * WARPGROUP);
    if constexpr (!S::IN_REGISTERS) {
        for (int stage = 0; stage + 1 < stages; stage++) {
            sm90_wait(&m.c->full[r.at], r.parity);
            sm90_product_fence();
            multiply_steps<S, UNSIGNED, 0, S::STEPS>(sum, rows(stage), centroids(), stage > 0);
            sm90_product_commit();
            sm90_int8_wait<1>(sum);
            if (before >= 0) sm90_arrive(&m.c->empty[before]);
            before = r.at;
            if (++r.at == S::STAGES) r.at = 0, r.parity ^= 1;
        }
    }
    sm90_wait(&m.c->full[r.at], r.parity);
    sm90_product_fence();
    if constexpr (S::IN_REGISTERS) {
        multiply_steps<S, UNSIGNED, 0, HALF>(sum, fragment, centroids(), false);
        if constexpr (REST > 0) {
            sm90_product_commit();
            multiply_steps<S, UNSIGNED, HALF, REST>(sum, fragment, centroids(), true);
        }
        sm90_product_commit();
        if constexpr (REST > 0) sm90_int8_wait<1>(sum);
    } else {
        multiply_steps<S, UNSIGNED, 0, S::LAST>(sum, rows(stages - 1), centroids(), stages > 1);
        sm90_product_commit();
    }
    if (S::TURNS) sm90_named_arrive(next, 2 * WARPGROUP);
    sm90_int8_wait<0>(sum);
    if (before >= 0) sm90_arrive(&m.c->empty[before]);
    sm90_arrive(&m.c->empty[r.at]);
    if (++r.at == S::STAGES) r.at = 0, r.parity ^= 1;
}

/* The places of the candidates that a thread has noted, of each of its two rows; more than there is room for are counted. */
template <class S> struct notes {
    int32_t *note; /* of the first row; those of the other are 8 rows behind */
    int count[2];

    __device__ notes(group_control<S> &group, int i, int t) : note(group.note[i][t]), count{0, 0}
    {
    }
    __device__ void add(int h, int32_t place)
    {
        const int at = h ? count[1]++ : count[0]++;
        if (at < S::NOTES) note[h * 8 * 4 * S::NOTES + at] = place;
    }
};

/* The greatest of the eight products of row h with block `block`, of which a thread has columns 8 j + 2 t and the next. */
__device__ inline int32_t greatest_of_block(const int32_t *sum, int block, int h)
{
    const int32_t *x = sum + 16 * block + 2 * h;
    const int a = __vimax3_s32(x[0], x[1], x[4]), b = __vimax3_s32(x[5], x[8], x[9]);
    return max(__vimax3_s32(a, b, x[12]), x[13]);
}

/* One bit, from bit 7 on, for each of the eight scores of row h with a block: 1 where it reaches the threshold. */
__device__ inline uint32_t hits_of_block(const int32_t *sum, const int2 bias[4], int block, int h,
                                         int32_t threshold)
{
    uint32_t misses = 0; /* the signs of what is left of the scores */
#pragma unroll
    for (int j = 0; j < 4; j++) {
        const int32_t *x = sum + 16 * block + 4 * j + 2 * h;
        misses = __funnelshift_l((unsigned)(x[0] + bias[j].x - threshold), misses, 1);
        misses = __funnelshift_l((unsigned)(x[1] + bias[j].y - threshold), misses, 1);
    }
    return ~misses & 0xff;
}

/* Notes the centroids whose scores reach a row's threshold. `first`: the place of the tile's first one. */
template <class S>
__device__ inline void look(const int32_t *sum, const int8_tile &tile, int32_t first,
                            const int32_t threshold[2], int t, notes<S> &found)
{
    const int4 words = *(const int4 *)tile.most;
    const int32_t most[BLOCKS] = {words.x, words.y, words.z, words.w};
    int32_t greatest[2][BLOCKS], all[2] = {INT32_MIN, INT32_MIN};
#pragma unroll
    for (int h = 0; h < 2; h++) {
#pragma unroll
        for (int block = 0; block < BLOCKS; block++) {
            greatest[h][block] = greatest_of_block(sum, block, h);
            all[h] = __viaddmax_s32(greatest[h][block], most[block], all[h]);
        }
    }
    if (all[0] < threshold[0] && all[1] < threshold[1]) return;
    uint32_t hits[2] = {0, 0};
#pragma unroll
    for (int block = 0; block < BLOCKS; block++) {
        if (greatest[0][block] + most[block] < threshold[0] &&
            greatest[1][block] + most[block] < threshold[1])
            continue;
        int2 bias[4];
#pragma unroll
        for (int j = 0; j < 4; j++)
            bias[j] = *(const int2 *)(tile.bias + INT8_BLOCK * block + 8 * j + 2 * t);
#pragma unroll
        for (int h = 0; h < 2; h++)
            hits[h] |= hits_of_block(sum, bias, block, h, threshold[h]) << 8 * block;
    }
#pragma unroll
    for (int h = 0; h < 2; h++) {
        while (hits[h]) {
            const int at = __ffs((int)hits[h]) - 1, i = 7 - at % 8;
            hits[h] &= hits[h] - 1;
            found.add(h, first + at / 8 * INT8_BLOCK + i / 2 * 8 + 2 * t + i % 2);
        }
    }
}

/* The end of a warp's 16 rows. Lanes 4 g and 4 g + 1 have rows g and g + 8; `row` and `previous` are of this row. */
template <class S>
__device__ void finish_rows(const int8_params &p, const memory<S> &m, group_control<S> &group,
                            const notes<S> &own, int i, int64_t row, int32_t previous,
                            unsigned &moved)
{
    const unsigned all = 0xffffffffu;
    const int lane = threadIdx.x % 32, t = lane % 4;
    const bool owns = t < 2 && row < p.count;
    int count[4], found = 0; /* what the four threads have noted of the row */
    bool open = false;
#pragma unroll
    for (int other = 0; other < 4; other++) {
        const int first = __shfl_sync(all, own.count[0], lane - t + other);
        const int second = __shfl_sync(all, own.count[1], lane - t + other);
        count[other] = t == 1 ? second : first;
        found += count[other];
        open = open || count[other] > S::NOTES;
    }
    __syncwarp(); /* the notes are seen */
    open = owns && (open || found < 1);
    const bool listed = owns && (open || found > 1);
    if (owns && !open && found == 1 && previous < 0 &&
        !p.counts_only) { /* else it is the one that the row has */
        int32_t label = 0;
        for (int other = 0; other < 4; other++)
            if (count[other] > 0) label = p.order[group.note[i][other][0]];
        p.labels[p.begin + row] = label;
        moved++;
    }
    const unsigned votes = __ballot_sync(all, listed);
    if (!votes) return;
    int noted = 0; /* candidates of which there are notes */
#pragma unroll
    for (int other = 0; other < 4; other++) noted += min(count[other], S::NOTES);
    if (!listed) noted = 0;
    int before = noted; /* of this lane and those below */
    for (int distance = 1; distance < 32; distance *= 2) {
        const int other = __shfl_up_sync(all, before, distance);
        if (lane >= distance) before += other;
    }
    const unsigned candidates = __reduce_add_sync(all, open ? 0u : (unsigned)noted);
    int place = 0, start = 0;
    if (lane == 31) {
        place = atomicAdd(&m.c->listed, __popc(votes));
        start = atomicAdd(&m.c->noted, before);
        atomicAdd(&m.c->candidates, (int)candidates);
    }
    place = __shfl_sync(all, place, 31) + __popc(votes & ((1u << lane) - 1));
    start = __shfl_sync(all, start, 31) + before - noted;
    if (!listed) return;
    const int most = p.lists.segment_rows * FLASH_CANDIDATES;
    const int64_t at = (int64_t)blockIdx.x * p.lists.segment_rows + place;
    if (start + noted > most) open = true, noted = 0;
    if (open) atomicAdd(&m.c->open, 1);
    p.lists.row[at] = (int32_t)(p.begin + row);
    p.lists.start[at] = start;
    p.lists.found[at] = open ? -noted : noted;
    if (noted == 0) return;
    int32_t *to = p.lists.candidate + (int64_t)blockIdx.x * most + start;
    for (int other = 0; other < 4; other++)
        for (int c = 0; c < min(count[other], S::NOTES); c++) *to++ = group.note[i][other][c];
}

template <class S, bool UNSIGNED>
__device__ void find_candidates(const int8_params &p, const memory<S> &m)
{
    const int number = threadIdx.x / WARPGROUP, lane = threadIdx.x % 32, t = lane % 4;
    const int warp = threadIdx.x % WARPGROUP / 32, i = warp * 16 + lane / 4;
    const int own = TURN + number, next = TURN + (number + 1) % S::GROUPS;
    const int together = TURN + S::GROUPS + number; /* a barrier of the warpgroup */
    const bool leads = threadIdx.x % WARPGROUP == 0;
    const int tiles = row_tiles<S>(p), stages = stages_of_tile<S>(p);
    const uint64_t ring_descriptor = sm90_descriptor(m.stages);
    group_control<S> &group = m.c->group[number];
    unsigned moved = 0;
    int n = 0;
    ring r;

    if (S::TURNS && number == S::GROUPS - 1) sm90_named_arrive(TURN, 2 * WARPGROUP);
    if (leads) {
        for (int b = 0; b < S::BUFFERS; b++) {
            const int item = blockIdx.x + b * gridDim.x;
            if (item < tiles) copy_codes(p, m, number, b, item);
        }
    }
    for (int item = blockIdx.x; item < tiles; item += gridDim.x, n++) {
        const int buffer = n % S::BUFFERS, half = n & 1;
        const int mine = i + 8 * (t & 1); /* the row that the thread finishes, if t < 2 */
        const auto copy_later = [&] {
            sm90_named_sync(together, WARPGROUP);
            const int later = item + S::BUFFERS * gridDim.x;
            if (leads && later < tiles) copy_codes(p, m, number, buffer, later);
        };
        sm90_wait(&group.started[half], n >> 1 & 1);
        const int32_t threshold[2] = {group.start[half][i].threshold,
                                      group.start[half][i + 8].threshold};
        const int32_t previous = group.start[half][mine].previous;
        __syncwarp();
        if (lane == 0) sm90_arrive(&group.taken[half]);
        sm90_wait(&group.codes_copied[buffer], n / S::BUFFERS & 1);
        const uint64_t codes = sm90_swizzled_descriptor(m.codes_of(number, buffer));
        uint32_t fragment[S::IN_REGISTERS ? S::LAST : 1][4];
        if constexpr (S::IN_REGISTERS) {
            load_fragments<S::LAST>(m.codes_of(number, buffer), fragment);
            copy_later();
        }
        notes<S> found(group, i, t);
        for (int tile = 0; tile < p.tiles; tile++) {
            int32_t sum[INT8_TILE / 2];
            multiply<S, UNSIGNED>(sum, m, fragment, codes, ring_descriptor, stages, own, next, r);
            if (!S::IN_REGISTERS && tile == p.tiles - 1) copy_later();
            look(sum, m.c->tile[r.slot], tile * INT8_TILE, threshold, t, found);
            if (++r.slot == S::TILES) r.slot = 0;
        }
        finish_rows(p, m, group, found, mine, (int64_t)item * S::ROWS + number * INT8_GROUP + mine,
                    previous, moved);
        __syncwarp(); /* the notes are read */
    }
    moved = __reduce_add_sync(0xffffffffu, moved);
    if (lane == 0 && moved > 0)
        atomicAdd(&p.counters[LLOYD_COUNT_MOVED], (unsigned long long)moved);
    sm90_named_sync(ALL_LISTED, S::GROUPS * WARPGROUP);
    if (threadIdx.x > 0) return;
    const int listed = m.c->listed, open = m.c->open;
    p.lists.rows_of[blockIdx.x] = listed;
    if (listed == 0) return;
    atomicAdd(&p.counters[LLOYD_COUNT_FALLBACK], (unsigned long long)(listed - open));
    atomicAdd(&p.counters[LLOYD_COUNT_INT8_FALLBACK], (unsigned long long)(listed - open));
    atomicAdd(&p.counters[LLOYD_COUNT_CANDIDATES], (unsigned long long)m.c->candidates);
    if (open > 0) atomicAdd(p.open, open);
}

template <class S, bool UNSIGNED>
__global__ void __launch_bounds__(S::THREADS, 1)
    int8_candidates(const __grid_constant__ int8_params p)
{
    extern __shared__ uint8_t raw[];
    /* the swizzle counts from multiples of 1024 bytes */
    uint8_t *shared = raw + (-cuda_shared_address(raw) & 1023);
    const memory<S> m(shared);
    if (threadIdx.x == 0) {
        for (int i = 0; i < S::STAGES; i++) {
            sm90_barrier_init(&m.c->full[i], 1);
            sm90_barrier_init(&m.c->empty[i], WARPGROUP * S::GROUPS);
        }
        for (group_control<S> &group : m.c->group) {
            for (uint64_t &copied : group.codes_copied) sm90_barrier_init(&copied, 1);
            for (int b = 0; b < 2; b++) {
                sm90_barrier_init(&group.started[b], INT8_GROUP); /* PASS lanes of each warp */
                sm90_barrier_init(&group.taken[b], 4);
            }
        }
        sm90_barrier_fence();
        m.c->listed = m.c->noted = m.c->candidates = m.c->open = 0;
    }
    cuda_await();
    __syncthreads();
    if (threadIdx.x / WARPGROUP == S::GROUPS) {
        sm90_fewer_registers<S::OTHER>();
        const int warp = threadIdx.x % WARPGROUP / 32;
        if (warp < THRESHOLD_WARPS)
            compute_thresholds<S, UNSIGNED>(p, m, warp);
        else if (threadIdx.x % 32 == 0)
            copy_tiles<S>(p, m);
    } else {
        sm90_more_registers<S::MATH>();
        find_candidates<S, UNSIGNED>(p, m);
    }
}

template <class S>
lloyd_status launch_shape(const cuda_gpu &gpu, const int8_params &p, bool is_unsigned,
                          cudaStream_t stream)
{
    auto kernel = is_unsigned ? int8_candidates<S, true> : int8_candidates<S, false>;
    const int bytes = memory<S>::BYTES + 1024;
    LLOYD_TRY(lloyd_cuda_allow_shared((const void *)kernel, bytes, "preparing the 8-bit filter"));
    return cuda_launch_after(stream, 90, kernel, gpu.multiprocessors, S::THREADS, bytes,
                             "starting the 8-bit filter", p);
}

template <int CHUNKS, int GROUPS, int BUFFERS, int STAGES, int STEPS, int NOTES, bool TURNS>
lloyd_status launch_last(const cuda_gpu &gpu, const int8_params &p, bool is_unsigned,
                         cudaStream_t stream)
{
    const int last = (p.steps - 1) % STEPS + 1;
    if constexpr (CHUNKS == 1) {
        if (last == 1)
            return launch_shape<
                shape<CHUNKS, GROUPS, BUFFERS, STAGES, STEPS, 1, NOTES, TURNS>>(gpu, p, is_unsigned,
                                                                                stream);
    }
    if constexpr (STEPS == 4) {
        if (last == 2)
            return launch_shape<
                shape<CHUNKS, GROUPS, BUFFERS, STAGES, STEPS, 2, NOTES, TURNS>>(gpu, p, is_unsigned,
                                                                                stream);
    }
    return launch_shape<
        shape<CHUNKS, GROUPS, BUFFERS, STAGES, STEPS, STEPS, NOTES, TURNS>>(gpu, p, is_unsigned,
                                                                            stream);
}

} // namespace

int lloyd_cuda_int8_steps(int64_t dim)
{
    const int steps = (int)cuda_divide_up(dim, INT8_STEP);
    return steps == 1 ? 1 : (steps + 1) / 2 * 2; /* those that launch_last() has kernels for */
}

int lloyd_cuda_int8_tile_rows(int64_t dim)
{
    const int chunks = (int)cuda_divide_up(dim, INT8_CHUNK);
    return (chunks == 1 || chunks == 4 ? 3 : chunks <= 3 ? 4 : 2) * INT8_GROUP;
}

/* More columns do not fit into shared memory. */
bool lloyd_cuda_int8_supports(const cuda_gpu &gpu, int64_t dim)
{
    return gpu.capability == 90 && dim <= 12 * INT8_CHUNK;
}

/* As many warpgroups as there are registers and shared memory for; where they ping-pong, stages for a tile and a little more. */
lloyd_status lloyd_cuda_int8_launch(const cuda_gpu &gpu, const int8_params &p, bool is_unsigned,
                                    cudaStream_t stream)
{
    switch (cuda_divide_up(p.steps * INT8_STEP, INT8_CHUNK)) {
    case 1: return launch_last<1, 3, 2, 7, 4, 16, true>(gpu, p, is_unsigned, stream);
    case 2: return launch_last<2, 4, 1, 7, 4, 10, true>(gpu, p, is_unsigned, stream);
    case 3: return launch_last<3, 4, 1, 5, 4, 8, true>(gpu, p, is_unsigned, stream);
    case 4: return launch_last<4, 3, 1, 6, 4, 8, true>(gpu, p, is_unsigned, stream);
    case 5:
    case 6: return launch_last<6, 2, 1, 7, 4, 6, true>(gpu, p, is_unsigned, stream);
    case 7:
    case 8: return launch_last<8, 2, 1, 5, 4, 6, false>(gpu, p, is_unsigned, stream);
    default: return launch_last<12, 2, 1, 3, 2, 2, false>(gpu, p, is_unsigned, stream);
    }
}
