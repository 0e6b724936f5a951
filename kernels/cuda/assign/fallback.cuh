/* What becomes of a row: its label, or an entry in the lists; and the candidates of those that were listed.
 *
 * A row without a certificate needs a fallback pass only if nobody knows which centroids come near its
 * best one. Each of the four threads that share a row knows its own best score, with the centroid,
 * and its second-best; where all second-best ones are too low to matter, the four best are all
 * candidates that there are: the row is complete. So it is with three of four rows that lie between
 * two centroids. Only kernels that spend much time on a row look.
 */
#ifndef LLOYD_KERNELS_CUDA_ASSIGN_FALLBACK_CUH
#define LLOYD_KERNELS_CUDA_ASSIGN_FALLBACK_CUH

#include "kernels/cuda/assign/top2.cuh"

/* --- the end of a row --- */

/* The row that a thread of a 4-lane group ends, threads 0 and 1 one each; -1: none. */
__device__ inline int32_t flash_owned(int t, const int32_t row[2])
{
    return t > 1 ? -1 : t ? row[1] : row[0];
}

/* Appends rows without a certificate to the list in global memory. All threads of a warp; `listed`
 * and what follows: of the row that the thread owns. */
struct flash_global_list {
    const flash_params &p;

    /* A place for each of the rows in `votes` that counter `which` counts. */
    __device__ int reserve(int which, unsigned votes, int lane) const
    {
        int base = 0;
        if (lane == 0 && votes) base = atomicAdd(&p.lists.counters[which], __popc(votes));
        base = __shfl_sync(0xffffffffu, base, 0);
        return base + __popc(votes & ((1u << lane) - 1));
    }

    template <int WIDTH>
    __device__ void add(bool listed, int32_t row, float threshold, int lane,
                        const flash_top2 *) const
    {
        const unsigned votes = __ballot_sync(0xffffffffu, listed);
        if (!votes) return;
        int at = reserve(FLASH_LISTED, votes, lane);
        if (!listed) return;
        p.lists.row[at] = row;
        p.lists.threshold[at] = threshold;
        p.lists.found[at] = 0;
    }
};

/* The same, and complete rows apart, with their candidates: a few more instructions per row, which
 * pay where a row takes many products. Not for centroids that were sorted (p.order). */
struct flash_knowing_list {
    flash_global_list list;

    /* Whether no lane of the 4-lane group has seen a score that matters but its best, of the row that it
     * owns. */
    __device__ bool complete(bool listed, float threshold, int t, const flash_top2 top[2]) const
    {
        unsigned rest[2];
#pragma unroll
        for (int h = 0; h < 2; h++) {
            rest[h] = top[h].second;
#pragma unroll
            for (int distance = 1; distance < 4; distance *= 2)
                rest[h] = max(rest[h], __shfl_xor_sync(0xffffffffu, rest[h], distance));
        }
        return listed && flash_value(t ? rest[1] : rest[0]) < threshold;
    }

    template <int WIDTH>
    __device__ void add(bool listed, int32_t row, float threshold, int lane,
                        const flash_top2 top[2]) const
    {
        const unsigned all = 0xffffffffu;
        const int t = lane % 4, first = lane - t;
        if (!__any_sync(all, listed)) return;
        const bool known = complete(listed, threshold, t, top);
        list.add<WIDTH>(listed && !known, row, threshold, lane, top);
        const unsigned votes = __ballot_sync(all, known);
        if (!votes) return;
        const flash_lists &lists = list.p.lists;
        const int at = lists.capacity - 1 - list.reserve(FLASH_COMPLETE, votes, lane);
        int count = 0;
#pragma unroll
        for (int h = 0; h < 2; h++) {
            const bool wanted = __shfl_sync(all, (int)known, first + h);
            const float least = __shfl_sync(all, threshold, first + h);
            const int64_t slot = __shfl_sync(all, at, first + h);
            const bool reached = wanted && flash_value(top[h].best) >= least;
            const unsigned mates = __ballot_sync(all, reached) >> first & 15;
            if (t == h) count = __popc(mates);
            if (reached)
                lists.candidate[slot * FLASH_CANDIDATES + __popc(mates & ((1u << t) - 1))] =
                    list.p.first + flash_place<WIDTH>(top[h].best, top[h].tile, t);
        }
        if (!known) return;
        lists.row[at] = row;
        lists.found[at] = count;
    }
};

/* Best and second-best of a row, as far as a lane knows, and where the best is: its tile times 4, plus
 * the thread of the 4-lane group that has seen it. */
struct flash_joined {
    unsigned best, second, where;

    /* With what the lane whose number differs in `bit` knows; `gift`: what that lane is to know. */
    __device__ void join(const flash_joined &gift, int bit)
    {
        const unsigned all = 0xffffffffu;
        const unsigned other_best = __shfl_xor_sync(all, gift.best, bit);
        const unsigned other_second = __shfl_xor_sync(all, gift.second, bit);
        const unsigned other_where = __shfl_xor_sync(all, gift.where, bit);
        second = max(max(second, other_second), min(best, other_best));
        where = other_best > best ? other_where : where;
        best = max(best, other_best);
    }
    template <int WIDTH> __device__ int32_t place() const
    {
        return flash_place<WIDTH>(best, (int)(where >> 2), (int)(where & 3));
    }
};

/* What the four threads of a 4-lane group found, together: of row t % 2 of their two, in thread t. Each gives its
 * neighbour what it knows of the neighbour's row. (Words are selected one by one: an index would put the arrays into
 * memory.) */
__device__ inline flash_joined flash_join(const flash_top2 top[2], int t)
{
    const bool odd = t % 2;
    const int own = odd ? top[1].tile : top[0].tile, given = odd ? top[0].tile : top[1].tile;
    flash_joined mine = {odd ? top[1].best : top[0].best, odd ? top[1].second : top[0].second,
                         (unsigned)(own * 4 + t)};
    mine.join({odd ? top[0].best : top[1].best, odd ? top[0].second : top[1].second,
               (unsigned)(given * 4 + t)},
              1);
    mine.join(mine, 2);
    return mine;
}

/* Ends the two rows of each 4-lane group: the four threads' findings together, the certificate,
 * and the label or an entry in a list. All threads of a warp. Of the row that the thread owns, `mine`
 * is its number in the slot (-1: it owns none), `previous` the label so far. Adds changed labels to `moved`.
 * BOUNDS: flash_judge's. */
template <int WIDTH, bool BOUNDS, class List>
__device__ inline void flash_finish_rows(const flash_params &p, const flash_top2 top[2],
                                         int32_t mine, const __half2 norms[2], int32_t previous,
                                         int lane, unsigned &moved, const List &list)
{
    const unsigned all = 0xffffffffu;
    const int t = lane % 4;
    const flash_joined found = flash_join(top, t);
    bool open = false; /* the row has no certificate */
    float threshold = FLASH_NEVER;
    if (mine >= 0) {
        uint32_t words[2], own;
        memcpy(words, norms, sizeof words);
        own = t ? words[1] : words[0];
        const flash_verdict verdict =
            flash_judge<WIDTH, BOUNDS>(p, found.best, found.second, found.place<WIDTH>(),
                                       *reinterpret_cast<const __half2 *>(&own));
        open = !verdict.certified;
        threshold = verdict.threshold;
        if (verdict.certified && previous != verdict.label) {
            p.labels[mine] = verdict.label;
            moved++;
        }
    }
    if (!__any_sync(all, open)) return;
    const bool listed = open && threshold == threshold;
    if (open && !listed) p.lists.undecided[atomicAdd(&p.lists.counters[FLASH_IRREGULAR], 1)] = mine;
    list.template add<WIDTH>(listed, mine, threshold, lane, top);
}

/* --- the fallback pass --- */

/* Candidates that a listed row has room for. */
__device__ inline int flash_room(const flash_lists &lists)
{
    int64_t room = (int64_t)FLASH_CANDIDATES * (lists.capacity - lists.counters[FLASH_COMPLETE]);
    int listed = lists.counters[FLASH_LISTED];
    return listed > 0 && room < (int64_t)FLASH_MOST * listed ? (int)(room / listed) : FLASH_MOST;
}

/* Few rows are listed: the centroid tiles are split as well. The number of parts that
 * spreads `tiles` row tiles best over `blocks`, where a row tile costs as much as FLASH_START
 * centroid tiles before its first one. */
constexpr int FLASH_START = 2, FLASH_PARTS = 16;

__device__ inline int flash_parts(int tiles, int centroid_tiles, int blocks)
{
    int best = 1;
    int64_t least = INT64_MAX;
    for (int parts = 1; parts <= FLASH_PARTS && parts <= centroid_tiles; parts++) {
        int64_t rounds = ((int64_t)tiles * parts + blocks - 1) / blocks;
        int64_t cost = rounds * ((centroid_tiles + parts - 1) / parts + FLASH_START);
        if (cost < least) least = cost, best = parts;
    }
    return best;
}

/* What there is to do: item by item, a tile of rows (item / parts) and the centroid tiles
 * [first, last) of its part. */
struct flash_work {
    int items, parts;
    int count; /* rows, of the slot or of the list */
    int room;  /* flash_room() */
    __device__ flash_work(const flash_params &p, int rows_of_tile, int workers, bool fallback)
    {
        count = fallback ? p.lists.counters[FLASH_LISTED] : p.count;
        int tiles = (count + rows_of_tile - 1) / rows_of_tile;
        parts = fallback ? flash_parts(tiles, p.tiles, workers) : 1;
        items = tiles * parts;
        room = fallback ? flash_room(p.lists) : 0;
    }
    __device__ int first(const flash_params &p, int item) const
    {
        return (int)((int64_t)p.tiles * (item % parts) / parts);
    }
    __device__ int last(const flash_params &p, int item) const
    {
        return (int)((int64_t)p.tiles * (item % parts + 1) / parts);
    }
};

__device__ inline void flash_add_candidate(const flash_params &p, int room, int at,
                                           int32_t centroid)
{
    int place = atomicAdd(&p.lists.found[at], 1);
    if (place < room) p.lists.candidate[(int64_t)at * room + place] = centroid;
}

/* The centroids of a tile whose scores reach the thresholds of two listed rows (`at`: their places
 * in the list) become candidates. */
template <int WIDTH>
__device__ inline void flash_keep_candidates(const flash_params &p, int room,
                                             const float *accumulator, int tile, int t,
                                             const float threshold[2], const int at[2])
{
#pragma unroll
    for (int h = 0; h < 2; h++) {
        float greatest = 0;
#pragma unroll
        for (int j = 0; j < WIDTH / 8; j++) {
            greatest =
                fmaxf(greatest, fmaxf(accumulator[4 * j + 2 * h], accumulator[4 * j + 2 * h + 1]));
        }
        if (!(greatest >= threshold[h])) continue; /* NaN: no row */
        unsigned reached[2] = {0, 0};
#pragma unroll
        for (int j = 0; j < WIDTH / 8; j++) {
#pragma unroll
            for (int b = 0; b < 2; b++) {
                int column = 2 * j + b;
                if (accumulator[4 * j + 2 * h + b] >= threshold[h])
                    reached[column / 32] |= 1u << column % 32;
            }
        }
        for (int word = 0; word < 2; word++) {
            while (reached[word]) {
                int column = 32 * word + __ffs((int)reached[word]) - 1;
                reached[word] &= reached[word] - 1;
                flash_add_candidate(p, room, at[h],
                                    tile * WIDTH + column / 2 * 8 + 2 * t + column % 2);
            }
        }
    }
}

/* The same without bound columns; the thresholds are pruner.least, `biases` those of the tile. */
template <int WIDTH>
__device__ inline void flash_prune_candidates(const flash_params &p, int room,
                                              const float *accumulator, const float *biases,
                                              int tile, int t, const flash_pruner &pruner,
                                              const int at[2])
{
#pragma unroll
    for (int block = 0; block < WIDTH / 32; block++) {
#pragma unroll
        for (int h = 0; h < 2; h++) {
            const float *products = accumulator + 16 * block + 2 * h;
            if (!flash_matters(products, pruner.product[h])) continue;
            unsigned reached = 0;
#pragma unroll
            for (int i = 0; i < 4; i++) {
                float2 bias = flash_biases(biases, 32 * block + 8 * i, t);
                if (flash_score(products[4 * i], pruner.error[h], bias.x) >= pruner.least[h])
                    reached |= 1u << 2 * i;
                if (flash_score(products[4 * i + 1], pruner.error[h], bias.y) >= pruner.least[h])
                    reached |= 2u << 2 * i;
            }
            while (reached) {
                int column = __ffs((int)reached) - 1;
                reached &= reached - 1;
                int place = tile * WIDTH + 32 * block + column / 2 * 8 + 2 * t + column % 2;
                flash_add_candidate(p, room, at[h], p.order[place]);
            }
        }
    }
}

#endif
