/* Seeding: every row keeps its squared distance to the nearest centroid chosen so far, in double,
 * and that centroid's number. The twin of kernels/cpu/seed.c.
 *
 * kmeans++ compares all rows with one centroid, K times: that kernel reads the rows at the speed of
 * memory (row_distance.cuh), with the centroid as doubles in shared memory.
 */
#include "kernels/cuda/seed/compare.h"

#include "kernels/cuda/assign/assign.h"
#include "kernels/cuda/seed/seeds.cuh"

#include <type_traits>

namespace
{

constexpr int64_t FEW = 4;                 /* up to so many centroids dist() to all is cheapest */
constexpr int64_t STAGED_BYTES = 48 << 10; /* of shared memory, without asking for more */

/* --- comparing rows with centroids --- */

/* Copies `set` centroids to shared memory as doubles, each of `pitch`. By the whole block. */
template <bool VECTOR>
__device__ void stage(const float *centroids, int set, int64_t dim, int64_t pitch, double *staged)
{
    for (int64_t at = threadIdx.x; at < set * dim; at += CUDA_DIST_THREADS) {
        int64_t k = at / dim, j = at % dim;
        staged[k * pitch + (VECTOR ? cuda_staged_centroid::place(j) : j)] = centroids[at];
    }
    __syncthreads();
}

/* The rows of this lane's 8-lane group from `begin` on, the last one where there are fewer. */
__device__ void group_rows(const cuda_lane_group &place, int64_t begin, int64_t count,
                           int64_t i[CUDA_GROUP_ROWS])
{
    for (int r = 0; r < CUDA_GROUP_ROWS; r++) {
        int64_t row = place.row(begin, r);
        i[r] = row < count ? row : count - 1;
    }
}

/* dist() of these rows to member k of the set; STAGED as below. */
template <lloyd_type T, bool VECTOR, bool STAGED>
__device__ double dist_to(const cuda_rows &rows, const int64_t i[CUDA_GROUP_ROWS],
                          const float *centroids, const double *staged, int64_t pitch, int k, int g)
{
    std::conditional_t<STAGED, cuda_staged_centroid, cuda_centroid> c[CUDA_GROUP_ROWS];
    for (int r = 0; r < CUDA_GROUP_ROWS; r++) {
        if constexpr (STAGED)
            c[r].at = staged + k * pitch;
        else
            c[r].at = centroids + k * pitch;
    }
    return cuda_group_dist<T, VECTOR>(rows, i, c, g);
}

/* Up to FEW centroids. STAGED: in shared memory, where they have room. */
template <lloyd_type T, bool VECTOR, bool STAGED>
__global__ void __launch_bounds__(CUDA_DIST_THREADS)
    compare_few(cuda_rows rows, const float *centroids, int set, int32_t base, cuda_seeds s,
                unsigned long long *greatest)
{
    extern __shared__ double2 staged_pairs[];
    double *staged = reinterpret_cast<double *>(staged_pairs);
    int64_t pitch = STAGED ? cuda_staged_doubles(rows.dim) : rows.dim;
    if constexpr (STAGED) stage<VECTOR>(centroids, set, rows.dim, pitch, staged);
    cuda_lane_group place;
    double most = 0;
    for (int64_t begin = place.first; begin < rows.count; begin += place.stride) {
        int64_t i[CUDA_GROUP_ROWS], own = place.row(begin, place.g);
        group_rows(place, begin, rows.count, i);
        bool mine = place.takes(begin, rows.count);
        double best = mine ? s.distance[own] : 0;
        int32_t number = -1;
        for (int k = 0; k < set; k++) {
            double distance =
                dist_to<T, VECTOR, STAGED>(rows, i, centroids, staged, pitch, k, place.g);
            if (!(distance < best)) continue;
            best = distance;
            number = base + k;
        }
        if (!mine) continue;
        if (number >= 0) {
            s.distance[own] = best;
            s.nearest[own] = number;
        }
        double mass = cuda_row_mass(s, own, best);
        if (mass > most) most = mass;
    }
    cuda_warp_max(cuda_ordered_bits(most), greatest);
}

/* totals[k] += the masses that the rows would have if centroid k were chosen. Shared memory: a tally
 * of `set` for each warp, and STAGED centroids before it. */
template <lloyd_type T, bool VECTOR, bool STAGED>
__global__ void __launch_bounds__(CUDA_DIST_THREADS)
    try_seeds(cuda_rows rows, const float *centroids, int set, cuda_seeds s, int exponent, int bits,
              unsigned long long *totals)
{
    extern __shared__ double2 staged_pairs[];
    double *staged = reinterpret_cast<double *>(staged_pairs);
    int64_t pitch = STAGED ? cuda_staged_doubles(rows.dim) : rows.dim;
    unsigned long long *tally =
        reinterpret_cast<unsigned long long *>(staged + (STAGED ? set * pitch : 0)) +
        threadIdx.x / 32 * set;
    if constexpr (STAGED) stage<VECTOR>(centroids, set, rows.dim, pitch, staged);
    for (int k = threadIdx.x % 32; k < set; k += 32) tally[k] = 0;
    __syncwarp();
    cuda_lane_group place;
    for (int64_t begin = place.first; begin < rows.count; begin += place.stride) {
        int64_t i[CUDA_GROUP_ROWS], own = place.row(begin, place.g);
        group_rows(place, begin, rows.count, i);
        bool mine = place.takes(begin, rows.count);
        double nearest = mine ? s.distance[own] : 0;
        for (int k = 0; k < set; k++) {
            double distance =
                dist_to<T, VECTOR, STAGED>(rows, i, centroids, staged, pitch, k, place.g);
            unsigned long long mass = 0;
            if (mine) {
                double left = cuda_row_mass(s, own, distance < nearest ? distance : nearest);
                mass = (unsigned long long)lloyd_fixed_mass(left, exponent, bits);
            }
            for (int half = 16; half > 0; half /= 2)
                mass += __shfl_xor_sync(0xffffffffu, mass, half);
            if (threadIdx.x % 32 == 0) tally[k] += mass;
        }
    }
    __syncwarp();
    for (int k = threadIdx.x % 32; k < set; k += 32)
        if (tally[k] != 0) atomicAdd(&totals[k], tally[k]);
}

/* The sink of distances to the one centroid that a filter found nearest, whose number is in
 * `labels`. */
struct take_nearer {
    cuda_seeds s;
    const int32_t *labels;
    int32_t base;
    unsigned long long *greatest;
    double most = 0;

    __device__ void row(int64_t i, double distance)
    {
        double best = s.distance[i];
        if (distance < best) {
            best = distance;
            s.distance[i] = distance;
            s.nearest[i] = base + labels[i];
        }
        double mass = cuda_row_mass(s, i, best);
        if (mass > most) most = mass;
    }
    __device__ void finish()
    {
        cuda_warp_max(cuda_ordered_bits(most), greatest);
    }
};

} // namespace

/* --- compare --- */

static lloyd_status launch_few(cuda_kernels *cuda, const cuda_rows &rows, int32_t base,
                               const cuda_seeds &s, unsigned long long *greatest)
{
    const float *centroids = cuda->centroids;
    int set = (int)cuda->set;
    int64_t bytes = set * cuda_staged_doubles(rows.dim) * (int64_t)sizeof(double);
    bool fours = cuda_reads_fours(rows, centroids), staged = bytes <= STAGED_BYTES;
    size_t shared = staged ? (size_t)bytes : 0;
    cuda_for_type(rows.type, [&](auto type) {
        constexpr lloyd_type T = decltype(type)::value;
        auto kernel = fours    ? staged ? compare_few<T, true, true> : compare_few<T, true, false>
                         : staged ? compare_few<T, false, true>
                               : compare_few<T, false, false>;
        unsigned grid = cuda_dist_grid(cuda, kernel, shared, rows.count);
        kernel<<<grid, CUDA_DIST_THREADS, shared, cuda->stream>>>(rows, centroids, set, base, s,
                                                                  greatest);
    });
    CUDA_LAUNCHED("comparing rows with seeds");
    return LLOYD_OK;
}

/* Larger sets: labels are free to use until the first iteration. */
static lloyd_status launch_many(cuda_kernels *cuda, int slot, const cuda_rows &rows, int32_t base,
                                const cuda_seeds &s, unsigned long long *greatest,
                                int64_t *counters)
{
    LLOYD_TRY(lloyd_cuda_nearest(cuda, slot, counters));
    const int32_t *labels = cuda->labels + cuda->slots[slot].first;
    return cuda_each_own_distance(cuda, rows, labels, take_nearer{s, labels, base, greatest});
}

lloyd_status lloyd_cuda_seed_compare(lloyd_kernels *kernels, int slot, int64_t base, double *mass)
{
    cuda_kernels *cuda = lloyd_cuda(kernels);
    cuda_rows rows = lloyd_cuda_slot_rows(cuda, slot);
    if (rows.count == 0) return LLOYD_OK;
    cuda->mass_bits = 0;
    cuda_seeds s = cuda_seeds_from(cuda, cuda->slots[slot].first);
    unsigned long long *greatest = reinterpret_cast<unsigned long long *>(cuda->results.data);
    auto *counters = reinterpret_cast<int64_t *>(greatest + 1); /* of an assignment */
    CUDA_TRY(cudaMemsetAsync(greatest, 0, (1 + LLOYD_COUNTERS) * sizeof *counters, cuda->stream),
             "clearing the greatest mass");
    if (cuda->set <= FEW && !cuda->groups)
        LLOYD_TRY(launch_few(cuda, rows, (int32_t)base, s, greatest));
    else
        LLOYD_TRY(launch_many(cuda, slot, rows, (int32_t)base, s, greatest, counters));
    double found;
    LLOYD_TRY(lloyd_cuda_fetch(cuda, &found, greatest, sizeof found));
    if (found > *mass) *mass = found;
    return LLOYD_OK;
}

/* --- try --- */

static lloyd_status launch_try(cuda_kernels *cuda, const cuda_rows &rows, const cuda_seeds &s,
                               int exponent, int bits, unsigned long long *totals)
{
    const float *centroids = cuda->centroids;
    int set = (int)cuda->set;
    int64_t tallies = CUDA_DIST_THREADS / 32 * set * (int64_t)sizeof(unsigned long long);
    int64_t bytes = set * cuda_staged_doubles(rows.dim) * (int64_t)sizeof(double);
    bool fours = cuda_reads_fours(rows, centroids), staged = bytes + tallies <= STAGED_BYTES;
    size_t shared = (size_t)(staged ? bytes + tallies : tallies);
    cuda_for_type(rows.type, [&](auto type) {
        constexpr lloyd_type T = decltype(type)::value;
        auto kernel = fours    ? staged ? try_seeds<T, true, true> : try_seeds<T, true, false>
                         : staged ? try_seeds<T, false, true>
                               : try_seeds<T, false, false>;
        unsigned grid = cuda_dist_grid(cuda, kernel, shared, rows.count);
        kernel<<<grid, CUDA_DIST_THREADS, shared, cuda->stream>>>(rows, centroids, set, s, exponent,
                                                                  bits, totals);
    });
    CUDA_LAUNCHED("trying seeds");
    return LLOYD_OK;
}

lloyd_status lloyd_cuda_seed_try(lloyd_kernels *kernels, int slot, int exponent, int bits,
                                 int64_t *totals)
{
    cuda_kernels *cuda = lloyd_cuda(kernels);
    cuda_rows rows = lloyd_cuda_slot_rows(cuda, slot);
    int64_t found[LLOYD_MOST_TRIALS];
    if (rows.count == 0) return LLOYD_OK;
    size_t bytes = (size_t)cuda->set * sizeof *found;
    unsigned long long *sums = reinterpret_cast<unsigned long long *>(cuda->results.data);
    cuda_seeds s = cuda_seeds_from(cuda, cuda->slots[slot].first);
    CUDA_TRY(cudaMemsetAsync(sums, 0, bytes, cuda->stream), "clearing the totals of trials");
    LLOYD_TRY(launch_try(cuda, rows, s, exponent, bits, sums));
    LLOYD_TRY(lloyd_cuda_fetch(cuda, found, sums, bytes));
    for (int64_t c = 0; c < cuda->set; c++) totals[c] += found[c];
    return LLOYD_OK;
}
