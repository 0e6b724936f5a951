/* dist() for many rows at the speed of memory.
 *
 * The contract fixes 32 partial sums per row, p[j mod 32], and the tree over them, not who holds
 * them. A warp per row would spend more instructions on the tree than on the row where rows are
 * short, and load single bytes where elements are. So eight lanes share a row: each holds
 * four of the partial sums, and a warp works on four rows at a time (twice, to have more loads in
 * flight). Where D is a multiple of four, lane g owns the neighbours 4g .. 4g+3 and loads them at
 * once; else it owns g, g+8, g+16, g+24, which these lanes load side by side.
 */
#ifndef LLOYD_KERNELS_CUDA_ROW_DISTANCE_CUH
#define LLOYD_KERNELS_CUDA_ROW_DISTANCE_CUH

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/rows.cuh"

enum {
    CUDA_GROUP_LANES = 8, /* lanes of a row */
    CUDA_GROUP_ROWS = 2,  /* rows an 8-lane group works on at a time */
    CUDA_OWNED = 4,       /* partial sums of a lane */
    CUDA_DIST_THREADS = 256,
    /* rows a warp, and a block, works on at a time */
    CUDA_WARP_ROWS = 32 / CUDA_GROUP_LANES * CUDA_GROUP_ROWS,
    CUDA_BLOCK_ROWS = CUDA_DIST_THREADS / 32 * CUDA_WARP_ROWS
};

/* --- a warp per row --- */

/* The tree of dist() over the 32 partial sums of a warp's lanes; the result is in every lane. */
__device__ inline double cuda_warp_tree(double p)
{
    for (int half = LLOYD_LANES / 2; half > 0; half /= 2)
        p = lloyd_add(p, __shfl_down_sync(0xffffffffu, p, half));
    return __shfl_sync(0xffffffffu, p, 0);
}

/* dist() of row i to a centroid, by a whole warp: lane l has partial sum l. In every lane. */
template <lloyd_type T>
__device__ inline double cuda_warp_dist(const cuda_rows &rows, int64_t i, const float *centroid,
                                        int lane)
{
    double p = 0;
    for (int64_t j = lane; j < rows.dim; j += LLOYD_LANES) {
        double t = lloyd_add((double)cuda_value<T>(rows, i, j), -(double)centroid[j]);
        p = __fma_rn(t, t, p);
    }
    return cuda_warp_tree(p);
}

/* --- elements --- */

/* Four neighbours, loaded with one instruction. */
template <class E> struct alignas(CUDA_OWNED * sizeof(E)) cuda_four {
    E e[CUDA_OWNED];
};

template <lloyd_type T, bool COSINE>
__device__ inline double cuda_wide_value(cuda_stored<T> x, double length)
{
    if constexpr (COSINE)
        return (double)lloyd_normalised(cuda_element<T>::value(x), length);
    else
        return cuda_wide<T>(x);
}

/* --- centroids: where their elements are --- */

/* In global memory, another one for every row. */
struct cuda_centroid {
    const float *at; /* [D], aligned to 16 bytes where fours are loaded */

    /* Elements j .. j+3, which lane g of the 8-lane group owns. */
    __device__ void four(int64_t j, int g, double c[CUDA_OWNED]) const
    {
        (void)g;
        float4 x = *reinterpret_cast<const float4 *>(at + j);
        c[0] = (double)x.x, c[1] = (double)x.y, c[2] = (double)x.z, c[3] = (double)x.w;
    }
    __device__ double one(int64_t j) const
    {
        return (double)at[j];
    }
};

/* In shared memory, already in double. For fours, of each 32 elements first 4g, 4g+1 of all lanes
 * g, then 4g+2, 4g+3: an 8-lane group reads 128 bytes in a row, without bank conflicts. */
struct cuda_staged_centroid {
    const double *at; /* [cuda_staged_doubles(D)], aligned to 16 bytes */

    /* Where element j is kept for fours. */
    __device__ static int64_t place(int64_t j)
    {
        int64_t lane = j / 4 % CUDA_GROUP_LANES, pair = j / 2 % 2;
        return j / 32 * 32 + pair * 16 + lane * 2 + j % 2;
    }
    __device__ void four(int64_t j, int g, double c[CUDA_OWNED]) const
    {
        const double *first = at + (j - 2 * g); /* place(j), as j is 4g and a multiple of 32 */
        double2 low = *reinterpret_cast<const double2 *>(first);
        double2 high = *reinterpret_cast<const double2 *>(first + 16);
        c[0] = low.x, c[1] = low.y, c[2] = high.x, c[3] = high.y;
    }
    __device__ double one(int64_t j) const
    {
        return at[j];
    }
};

static inline __host__ __device__ int64_t cuda_staged_doubles(int64_t dim)
{
    return (dim + LLOYD_LANES - 1) / LLOYD_LANES * LLOYD_LANES;
}

/* --- the rows of an 8-lane group --- */

__device__ inline void cuda_add_square(double x, double c, double *p)
{
    double t = lloyd_add(x, -c);
    *p = __fma_rn(t, t, *p);
}

/* Adds to p[r], the partial sums that lane g of an 8-lane group owns of the row at data[r]. */
template <lloyd_type T, bool VECTOR, bool COSINE, int AHEAD, class Centroid>
__device__ inline void cuda_partial_sums(const cuda_stored<T> *const data[CUDA_GROUP_ROWS],
                                         const double length[CUDA_GROUP_ROWS], int64_t dim,
                                         const Centroid centroid[CUDA_GROUP_ROWS], int g,
                                         double p[CUDA_GROUP_ROWS][CUDA_OWNED])
{
    if constexpr (VECTOR) {
        constexpr int unroll = COSINE ? 1 : AHEAD; /* divisions are what takes time there */
#pragma unroll unroll
        for (int64_t j = CUDA_OWNED * g; j < dim; j += LLOYD_LANES) {
#pragma unroll
            for (int r = 0; r < CUDA_GROUP_ROWS; r++) {
                auto x = *reinterpret_cast<const cuda_four<cuda_stored<T>> *>(data[r] + j);
                double c[CUDA_OWNED];
                centroid[r].four(j, g, c);
#pragma unroll
                for (int e = 0; e < CUDA_OWNED; e++)
                    cuda_add_square(cuda_wide_value<T, COSINE>(x.e[e], length[r]), c[e], &p[r][e]);
            }
        }
    } else {
        constexpr int unroll = COSINE ? 1 : 2;
#pragma unroll unroll
        for (int64_t j = g; j < dim; j += LLOYD_LANES) {
#pragma unroll
            for (int e = 0; e < CUDA_OWNED; e++) {
                int64_t at = j + e * CUDA_GROUP_LANES;
                if (at >= dim) continue;
#pragma unroll
                for (int r = 0; r < CUDA_GROUP_ROWS; r++) {
                    double x = cuda_wide_value<T, COSINE>(data[r][at], length[r]);
                    cuda_add_square(x, centroid[r].one(at), &p[r][e]);
                }
            }
        }
    }
}

/* p + that of the lane whose number differs in `bit`. Addition commutes: both get the same bits. */
__device__ inline double cuda_add_partner(double p, int bit)
{
    return lloyd_add(p, __shfl_xor_sync(0xffffffffu, p, bit));
}

/* The tree over an 8-lane group's 32 partial sums; in every lane. Where lanes own neighbours, the first
 * two levels are across lanes, and each of two partners does half of the additions. */
template <bool VECTOR> __device__ inline double cuda_group_tree(const double p[CUDA_OWNED], int g)
{
    if constexpr (VECTOR) {
        bool upper = g & 4, odd = g & 2;
        double a = __shfl_xor_sync(0xffffffffu, upper ? p[0] : p[2], 4);
        double b = __shfl_xor_sync(0xffffffffu, upper ? p[1] : p[3], 4);
        a = lloyd_add(upper ? p[2] : p[0], a); /* +16: sums 4(g mod 4), from `upper` on + 2 */
        b = lloyd_add(upper ? p[3] : p[1], b); /* ... and the one after it */
        double c = __shfl_xor_sync(0xffffffffu, odd ? a : b, 2);
        c = lloyd_add(odd ? b : a, c); /* +8: sum 4(g mod 2), + 2 if upper, + 1 if odd */
        c = cuda_add_partner(c, 1);    /* +4 */
        c = cuda_add_partner(c, 4);    /* +2 */
        return cuda_add_partner(c, 2); /* +1 */
    } else {
        double c = lloyd_add(lloyd_add(p[0], p[2]), lloyd_add(p[1], p[3])); /* +16, +8 */
        c = cuda_add_partner(c, 4);
        c = cuda_add_partner(c, 2);
        return cuda_add_partner(c, 1);
    }
}

/* The place of a thread: the rows of its group are number group + 4 r of those of its warp,
 * r < CUDA_GROUP_ROWS. Lane g of an 8-lane group takes the result of row r = g. */
struct cuda_lane_group {
    int g, group;
    int64_t first, stride; /* the warp's first row, and from there to its next */

    __device__ cuda_lane_group()
    {
        int lane = threadIdx.x % 32;
        g = lane % CUDA_GROUP_LANES;
        group = lane / CUDA_GROUP_LANES;
        first =
            ((int64_t)blockIdx.x * (CUDA_DIST_THREADS / 32) + threadIdx.x / 32) * CUDA_WARP_ROWS;
        stride = (int64_t)gridDim.x * CUDA_BLOCK_ROWS;
    }
    __device__ int64_t row(int64_t begin, int r) const
    {
        return begin + group + r * (32 / CUDA_GROUP_LANES);
    }
    /* Whether this lane takes a result, of row row(begin, g). */
    __device__ bool takes(int64_t begin, int64_t count) const
    {
        return g < CUDA_GROUP_ROWS && row(begin, g) < count;
    }
};

/* dist() of an 8-lane group's rows i[] to their centroids; lane g < CUDA_GROUP_ROWS gets that of i[g]. By
 * whole warps. AHEAD: fours of a row that are loaded at a time, which takes registers. */
template <lloyd_type T, bool VECTOR, int AHEAD = 4, class Centroid>
__device__ inline double cuda_group_dist(const cuda_rows &rows, const int64_t i[CUDA_GROUP_ROWS],
                                         const Centroid centroid[CUDA_GROUP_ROWS], int g)
{
    const cuda_stored<T> *data[CUDA_GROUP_ROWS];
    double length[CUDA_GROUP_ROWS], p[CUDA_GROUP_ROWS][CUDA_OWNED] = {};
#pragma unroll
    for (int r = 0; r < CUDA_GROUP_ROWS; r++) {
        data[r] = reinterpret_cast<const cuda_stored<T> *>(rows.data) + i[r] * rows.dim;
        length[r] = rows.lengths ? rows.lengths[i[r]] : 0;
    }
    if (rows.lengths)
        cuda_partial_sums<T, VECTOR, true, AHEAD>(data, length, rows.dim, centroid, g, p);
    else
        cuda_partial_sums<T, VECTOR, false, AHEAD>(data, length, rows.dim, centroid, g, p);
    double mine = 0;
#pragma unroll
    for (int r = 0; r < CUDA_GROUP_ROWS; r++) {
        double distance = cuda_group_tree<VECTOR>(p[r], g);
        if (g == r) mine = distance;
    }
    return mine;
}

/* --- every row of a slot to the centroid of its label --- */

/* Gives sink.row(i, dist()) every row once, and calls sink.finish() by whole warps at the end. */
template <lloyd_type T, bool VECTOR, class Sink>
static __global__ void __launch_bounds__(CUDA_DIST_THREADS)
    cuda_own_distances(cuda_rows rows, const int32_t *labels, const float *centroids, Sink sink)
{
    cuda_lane_group place;
    for (int64_t begin = place.first; begin < rows.count; begin += place.stride) {
        int64_t i[CUDA_GROUP_ROWS];
        cuda_centroid centroid[CUDA_GROUP_ROWS];
#pragma unroll
        for (int r = 0; r < CUDA_GROUP_ROWS; r++) {
            int64_t row = place.row(begin, r);
            i[r] = row < rows.count ? row : rows.count - 1;
            centroid[r].at = centroids + labels[i[r]] * rows.dim;
        }
        double distance = cuda_group_dist<T, VECTOR>(rows, i, centroid, place.g);
        if (place.takes(begin, rows.count)) sink.row(place.row(begin, place.g), distance);
    }
    sink.finish();
}

/* --- sums and maxima over a warp, into one number --- */

__device__ inline void cuda_warp_add(unsigned long long value, unsigned long long *sum)
{
    for (int half = 16; half > 0; half /= 2) value += __shfl_xor_sync(0xffffffffu, value, half);
    if (threadIdx.x % 32 == 0 && value != 0) atomicAdd(sum, value);
}

__device__ inline void cuda_warp_max(unsigned long long value, unsigned long long *greatest)
{
    for (int half = 16; half > 0; half /= 2) {
        unsigned long long other = __shfl_xor_sync(0xffffffffu, value, half);
        value = other > value ? other : value;
    }
    if (threadIdx.x % 32 == 0 && value != 0) atomicMax(greatest, value);
}

/* Bits of numbers that are not negative are ordered as they are. */
__device__ inline unsigned long long cuda_ordered_bits(double value)
{
    return (unsigned long long)__double_as_longlong(value);
}

/* --- host --- */

/* Whether rows and centroids can be read four elements at a time. */
static inline bool cuda_reads_fours(const cuda_rows &rows, const float *centroids)
{
    return rows.dim % CUDA_OWNED == 0 &&
           (uintptr_t)rows.data % (CUDA_OWNED * lloyd_type_size(rows.type)) == 0 &&
           (uintptr_t)centroids % (CUDA_OWNED * sizeof *centroids) == 0;
}

/* Blocks of CUDA_DIST_THREADS: as many as run at once, or fewer where there are few rows. */
template <class Kernel>
static inline unsigned cuda_dist_grid(const cuda_kernels *cuda, Kernel kernel, size_t shared,
                                      int64_t rows)
{
    int resident = 0;
    if (cudaOccupancyMaxActiveBlocksPerMultiprocessor(&resident, kernel, CUDA_DIST_THREADS,
                                                      shared) != cudaSuccess ||
        resident < 1)
        resident = 1; /* the launch reports what is wrong */
    int64_t needed = cuda_divide_up(rows, CUDA_BLOCK_ROWS);
    int64_t most = (int64_t)cuda->gpu.multiprocessors * resident;
    return (unsigned)(needed < most ? needed : most);
}

/* Enqueues cuda_own_distances() for at least one row; `labels` of these rows. */
template <class Sink>
static inline lloyd_status cuda_each_own_distance(cuda_kernels *cuda, const cuda_rows &rows,
                                                  const int32_t *labels, Sink sink)
{
    const float *centroids = cuda->centroids;
    bool fours = cuda_reads_fours(rows, centroids);
    cuda_for_type(rows.type, [&](auto type) {
        constexpr lloyd_type T = decltype(type)::value;
        auto kernel =
            fours ? cuda_own_distances<T, true, Sink> : cuda_own_distances<T, false, Sink>;
        unsigned grid = cuda_dist_grid(cuda, kernel, 0, rows.count);
        kernel<<<grid, CUDA_DIST_THREADS, 0, cuda->stream>>>(rows, labels, centroids, sink);
    });
    CUDA_LAUNCHED("computing the distances of rows to their own centroids");
    return LLOYD_OK;
}

#endif
