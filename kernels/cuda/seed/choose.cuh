/* The kernel that makes the choices of greedy k-means++: a team of blocks for each leaf.
 *
 * Each block has a share of its leaf's points, whose masses stay in shared memory. The blocks of a team wait for each other
 * twice a choice: when the masses are summed, and when the trials are. All of them do the same draws and decisions from the same numbers.
 */
#ifndef LLOYD_KERNELS_CUDA_SEED_CHOOSE_CUH
#define LLOYD_KERNELS_CUDA_SEED_CHOOSE_CUH

#include "kernels/cuda/row_distance.cuh"
#include "kernels/cuda/seed/candidate_bounds.cuh"
#include "kernels/cuda/sort/block_scan.cuh"

#include "base/philox.h"

namespace
{

constexpr int THREADS = 512; /* of the kernel that chooses */
constexpr int WARPS = THREADS / 32;
constexpr int64_t SHARE = 2048;     /* points of a block, at most */
constexpr int64_t GOOD_SHARE = 256; /* with fewer, waiting takes longer than working */
constexpr int LANE_BOUNDS = 8;      /* bounds that a lane loads at once */
constexpr int PIECE = 32 * LANE_BOUNDS;
constexpr int NEARER = 1024; /* distances of tried points that are kept until one is chosen */

struct team_shape {
    int64_t dim, share; /* points of a block, a multiple of LANE_BOUNDS */
    int blocks, trials;
};

/* A pair that comes nearer: point number `point` of the share, and the trial. */
struct nearer {
    double distance;
    int32_t point, trial;
};

/* Shared memory of a block, in this order. */
struct share_memory {
    double *near,
        *weight;     /* [share] squared distance to the nearest chosen one: 1 before there is any */
    word *fixed;     /* [share] masses on the grid */
    word *until;     /* [blocks] running sums of those of all shares */
    word *gain;      /* [trials] of this share, by how much the masses would shrink */
    nearer *kept;    /* [NEARER] */
    int32_t *trial;  /* [trials] who is tried */
    float *limit;    /* [share] near, rounded up */
    uint16_t *found; /* [WARPS * PIECE] */

    __host__ __device__ static size_t bytes(const team_shape &s)
    {
        return (size_t)s.share * (3 * sizeof(word) + sizeof(float)) +
               (size_t)s.blocks * sizeof(word) +
               (size_t)s.trials * (sizeof(word) + sizeof(int32_t)) + NEARER * sizeof(nearer) +
               WARPS * PIECE * sizeof(uint16_t);
    }
    __device__ share_memory(char *at, const team_shape &s)
    {
        near = reinterpret_cast<double *>(at);
        weight = near + s.share;
        fixed = reinterpret_cast<word *>(weight + s.share);
        until = fixed + s.share;
        gain = until + s.blocks;
        kept = reinterpret_cast<nearer *>(gain + s.trials);
        limit = reinterpret_cast<float *>(kept + NEARER);
        trial = reinterpret_cast<int32_t *>(limit + s.share);
        found = reinterpret_cast<uint16_t *>(trial + s.trials);
    }
};

/* One block of a team at its choices. */
template <bool VECTOR> struct chooser {
    const job &j;
    const team_shape &s;
    const share_memory &m;
    cuda_rows points;
    int block, warp, lane;
    int64_t first, count; /* of the share */
    int exponent = 0, bits;
    double scale;
    uint32_t barriers = 0, sums_read = 0;

    __device__ chooser(const job &j_, const team_shape &s_, const share_memory &m_, int bits_)
        : j(j_), s(s_), m(m_), bits(bits_)
    {
        block = (int)(blockIdx.x % (unsigned)s.blocks);
        warp = threadIdx.x / 32;
        lane = threadIdx.x % 32;
        first = block * s.share < j.count ? block * s.share : j.count;
        count = j.count - first < s.share ? j.count - first : s.share;
        points =
            {reinterpret_cast<const char *>(j.points), nullptr, nullptr, j.count, s.dim, LLOYD_F32};
        scale = lloyd_exp2(bits - exponent);
    }

    __device__ void begin()
    {
        for (int64_t i = threadIdx.x; i < count; i += THREADS) {
            m.weight[i] = j.weights[first + i];
            m.near[i] = 1;
        }
        for (int64_t i = threadIdx.x; block == 0 && i < j.most; i += THREADS)
            j.choices[i] = {0, -1};
        __syncthreads();
    }

    /* Waits for all blocks of the team, and sees what they wrote. */
    __device__ void wait()
    {
        barriers++;
        __syncthreads();
        if (threadIdx.x == 0) {
            uint32_t come;
            __threadfence();
            atomicAdd(j.barrier, 1);
            do {
                asm volatile("ld.acquire.gpu.global.u32 %0, [%1];"
                             : "=r"(come)
                             : "l"(j.barrier)
                             : "memory");
            } while (come < barriers * (uint32_t)s.blocks);
            __threadfence();
        }
        __syncthreads();
    }

    __device__ double on_grid(double weight, double distance) const
    {
        return floor(lloyd_mul(lloyd_mul(weight, distance), scale));
    }

    /* The masses of the share, their running sums, their sum and the greatest of them. */
    __device__ void sum_share()
    {
        __shared__ block_space<word, THREADS> sums, maxima;
        const int64_t each = (count + THREADS - 1) / THREADS;
        const int64_t from = threadIdx.x * each < count ? threadIdx.x * each : count;
        const int64_t to = from + each < count ? from + each : count;
        double most = 0;
        word own = 0, all;
        for (int64_t i = from; i < to; i++) {
            most = fmax(most, lloyd_mul(m.weight[i], m.near[i]));
            own += m.fixed[i] = (word)on_grid(m.weight[i], m.near[i]);
        }
        word before = scan_block(sums, own, &all);
        const word greatest = most_of_block(maxima, (word)cuda_ordered_bits(most));
        for (int64_t i = from; i < to; i++) j.before[first + i] = before += m.fixed[i];
        if (threadIdx.x != 0) return;
        int64_t at = (sums_read & 1) * s.blocks + block;
        j.sums[at] = all;
        j.greatest[at] = greatest;
    }

    /* m.until = the running sums over the shares, after sum_share() of all; *greatest of all masses. By one
     * warp. */
    __device__ void sum_shares(word *greatest) const
    {
        const word *sums = j.sums + (sums_read & 1) * s.blocks;
        const word *most = j.greatest + (sums_read & 1) * s.blocks;
        word before = 0, top = 0;
        for (int at = 0; at < s.blocks; at += 32) {
            bool there = at + lane < s.blocks;
            word sum = there ? __ldcg(&sums[at + lane]) : 0;
            word other = there ? __ldcg(&most[at + lane]) : 0;
            top = other > top ? other : top;
            for (int step = 1; step < 32; step *= 2) {
                word left = __shfl_up_sync(0xffffffffu, sum, step);
                if (lane >= step) sum += left;
            }
            if (there) m.until[at + lane] = before + sum;
            before += __shfl_sync(0xffffffffu, sum, 31);
        }
        for (int half = 16; half > 0; half /= 2) {
            word other = __shfl_xor_sync(0xffffffffu, top, half);
            top = other > top ? other : top;
        }
        *greatest = top;
    }

    /* Puts all masses on their grid, whose exponent hardly ever changes: it is tried first. Returns the total.
     */
    __device__ word weigh()
    {
        __shared__ int found;
        for (;;) {
            sum_share();
            wait();
            if (warp == 0) {
                word greatest;
                sum_shares(&greatest);
                if (lane == 0) found = lloyd_exponent(__longlong_as_double((long long)greatest));
            }
            __syncthreads();
            sums_read++;
            bool right = found == exponent;
            exponent = found;
            if (right) return m.until[s.blocks - 1];
            scale = lloyd_exp2(bits - exponent);
        }
    }

    /* The first of the leaf's points at which the running sum exceeds `target`. By one warp. */
    __device__ int32_t find(word target) const
    {
        int home = s.blocks - 1;
        for (int at = 0; at < s.blocks; at += 32) {
            unsigned above =
                __ballot_sync(0xffffffffu, at + lane < s.blocks && m.until[at + lane] > target);
            if (above == 0) continue;
            home = at + __ffs((int)above) - 1;
            break;
        }
        word rest = target - (home > 0 ? m.until[home - 1] : 0);
        int64_t low = home * s.share, high = low + s.share - 1;
        high = high < j.count ? high : j.count - 1;
        while (low < high) { /* it is in [low, high] */
            int64_t step = (high - low + 31) / 32, at = low + lane * step;
            unsigned above = __ballot_sync(0xffffffffu, at >= high || __ldcg(&j.before[at]) > rest);
            int which = __ffs((int)above) - 1; /* of which one is the first, -1: none of these */
            if (which < 0) {
                low = low + 31 * step + 1;
                continue;
            }
            int64_t end = low + which * step;
            high = end < high ? end : high;
            if (which > 0) low = low + (which - 1) * step + 1;
        }
        return (int32_t)low;
    }

    __device__ uint64_t random(int64_t i, int t) const
    {
        uint64_t index = lloyd_reduce_draw(j.number, i);
        philox4x32_key_t key = {{(uint32_t)j.seed, (uint32_t)(j.seed >> 32)}};
        philox4x32_ctr_t counter = {
            {LLOYD_DRAW_REDUCE, (uint32_t)index, (uint32_t)(index >> 32), (uint32_t)t}};
        philox4x32_ctr_t drawn = philox4x32(counter, key);
        return (uint64_t)drawn.v[1] << 32 | drawn.v[0];
    }

    /* m.trial[0 .. trials) of choice number i; no gains yet, and no pairs kept. */
    __device__ void draw(int64_t i, int trials, word total, int *kept)
    {
        for (int t = warp; t < trials; t += WARPS) {
            int32_t point = find(__umul64hi(random(i, t), total));
            if (lane == 0) m.trial[t] = point;
        }
        for (int t = threadIdx.x; t < trials; t += THREADS) m.gain[t] = 0;
        if (threadIdx.x == 0) *kept = 0;
        __syncthreads();
    }

    /* Calls use(point, distance) for those of the piece from `at` on that a tried point may be nearer to than
     * what is chosen; whole warps, of which some lanes have a point, others -1. */
    template <class Use>
    __device__ void each_near(int32_t tried, int64_t at, uint4 bounds, Use use) const
    {
        uint16_t *found = m.found + warp * PIECE;
        const uint32_t pair[LANE_BOUNDS / 2] = {bounds.x, bounds.y, bounds.z, bounds.w};
        const int64_t own = at + lane * LANE_BOUNDS;
        int many = 0;
#pragma unroll
        for (int e = 0; e < LANE_BOUNDS; e++) {
            float bound = bound_value((uint16_t)(pair[e / 2] >> e % 2 * 16));
            bool near = own + e < count && bound < m.limit[own + e];
            unsigned which = __ballot_sync(0xffffffffu, near);
            if (near) {
                unsigned lower = which & ((1u << lane) - 1);
                found[many + __popc(lower)] = (uint16_t)(own + e);
            }
            many += __popc(which);
        }
        __syncwarp();
        const cuda_lane_group place;
        const float *x = j.points + tried * s.dim;
        for (int pass = 0; pass < many; pass += CUDA_WARP_ROWS) {
            int64_t i[CUDA_GROUP_ROWS];
            cuda_centroid centroid[CUDA_GROUP_ROWS];
#pragma unroll
            for (int r = 0; r < CUDA_GROUP_ROWS; r++) {
                int64_t p = place.row(pass, r);
                i[r] = first + found[p < many ? p : many - 1];
                centroid[r].at = x;
            }
            double distance = cuda_group_dist<LLOYD_F32, VECTOR>(points, i, centroid, place.g);
            int32_t point = place.takes(pass, many) ? found[place.row(pass, place.g)] : -1;
            use(point, distance);
        }
        __syncwarp();
    }

    __device__ uint4 load(int32_t tried, int64_t at) const
    {
        int64_t own = at + lane * LANE_BOUNDS;
        if (own >= count) return make_uint4(0, 0, 0, 0);
        return __ldg(reinterpret_cast<const uint4 *>(j.bounds + tried * j.pitch + first + own));
    }

    /* Adds to m.gain what each of the trials would gain in this share. */
    __device__ void try_all(int trials, int *kept)
    {
        const int pieces = (int)((count + PIECE - 1) / PIECE), works = trials * pieces;
        uint4 next = {};
        if (warp < works) next = load(m.trial[warp / pieces], warp % pieces * PIECE);
        for (int work = warp; work < works; work += WARPS) {
            const int t = work / pieces, after = work + WARPS;
            const uint4 bounds = next;
            if (after < works) next = load(m.trial[after / pieces], after % pieces * PIECE);
            word gain = 0;
            each_near(m.trial[t], work % pieces * PIECE, bounds, [&](int32_t p, double distance) {
                if (p < 0 || !(distance < m.near[p])) return;
                gain += m.fixed[p] - (word)on_grid(m.weight[p], distance);
                int at = atomicAdd(kept, 1);
                if (at < NEARER) m.kept[at] = {distance, p, t};
            });
            for (int half = 16; half > 0; half /= 2)
                gain += __shfl_xor_sync(0xffffffffu, gain, half);
            if (lane == 0 && gain != 0) atomicAdd(&m.gain[t], gain);
        }
        __syncthreads();
    }

    /* The first trial with the largest gain in all shares, and that gain. By one warp. */
    __device__ int best_of(int64_t i, int trials, word *most) const
    {
        const word *gains = j.gains + i % 3 * s.trials;
        word own = 0;
        int best = trials;
        for (int t = lane; t < trials; t += 32) {
            word gain = __ldcg(&gains[t]);
            if (best < trials && gain <= own) continue;
            own = gain;
            best = t;
        }
        for (int half = 16; half > 0; half /= 2) {
            word gain = __shfl_xor_sync(0xffffffffu, own, half);
            int other = __shfl_xor_sync(0xffffffffu, best, half);
            if (other >= trials || (best < trials && (gain < own || (gain == own && other > best))))
                continue;
            own = gain;
            best = other;
        }
        *most = own;
        return best;
    }

    /* Compares the trials of choice number i, and makes room for those of the next. */
    __device__ int compare(int64_t i, int trials, int *kept, word *gain)
    {
        __shared__ int best;
        __shared__ word most;
        word *gains = j.gains + i % 3 * s.trials, *next = j.gains + (i + 1) % 3 * s.trials;
        try_all(trials, kept);
        for (int t = threadIdx.x; t < trials; t += THREADS)
            if (m.gain[t] != 0) atomicAdd(&gains[t], m.gain[t]);
        wait();
        if (warp == 0) {
            word own;
            int which = best_of(i, trials, &own);
            if (lane == 0) best = which, most = own;
        }
        if (block == 0)
            for (int t = threadIdx.x; t < s.trials; t += THREADS) next[t] = 0;
        __syncthreads();
        *gain = most;
        return best;
    }

    __device__ void approach(int32_t point, double distance)
    {
        m.near[point] = distance;
        m.limit[point] = __double2float_ru(distance);
    }

    /* Trial `best` is chosen. */
    __device__ void take(int best, int kept)
    {
        if (kept <= NEARER) {
            for (int at = threadIdx.x; at < kept; at += THREADS)
                if (m.kept[at].trial == best) approach(m.kept[at].point, m.kept[at].distance);
        } else {
            const int32_t tried = m.trial[best];
            for (int64_t at = warp * PIECE; at < count; at += WARPS * PIECE)
                each_near(tried, at, load(tried, at), [&](int32_t p, double distance) {
                    if (p >= 0 && distance < m.near[p]) approach(p, distance);
                });
        }
        __syncthreads();
    }

    __device__ void run()
    {
        __shared__ int kept;
        double least = INFINITY;
        begin();
        for (int64_t i = 0; i < j.most; i++) {
            const word total = weigh();
            if (total == 0) return;
            int best = 0, pairs = NEARER + 1;
            draw(i, i == 0 ? 1 : s.trials, total, &kept);
            if (i == 0) {
                for (int64_t p = threadIdx.x; p < count; p += THREADS)
                    m.near[p] = m.limit[p] = INFINITY;
                __syncthreads();
            } else {
                word gain;
                best = compare(i, s.trials, &kept, &gain);
                pairs = kept;
                least = fmin(least, (double)gain / scale);
            }
            if (block == 0 && threadIdx.x == 0) j.choices[i] = {least, m.trial[best]};
            take(best, pairs);
        }
    }
};

/* Without the 1, nvcc would have two blocks on a multiprocessor, in half of the registers. */
template <bool VECTOR>
__global__ void __launch_bounds__(THREADS, 1) choose(const job *jobs, team_shape shape)
{
    extern __shared__ double2 shared[];
    const job j = jobs[blockIdx.x / (unsigned)shape.blocks];
    const share_memory memory(reinterpret_cast<char *>(shared), shape);
    chooser<VECTOR> c(j, shape, memory, lloyd_reduce_bits(j.count));
    c.run();
}

} // namespace

#endif
