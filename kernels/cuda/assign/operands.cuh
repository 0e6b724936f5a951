/* The operands of the filter: the image of the centroids, and how rows become fragments of matrix instructions. docs/numerics.md, section 2.5. */
#ifndef LLOYD_KERNELS_CUDA_ASSIGN_OPERANDS_CUH
#define LLOYD_KERNELS_CUDA_ASSIGN_OPERANDS_CUH

#include "kernels/cuda/rows.cuh"

/* Units of the filter: rows up to REACH long, with operands off by up to REST, are regular;
 * centroids beyond FAR (more than REACH + REST) are far. The longer rows are, the less the last bit
 * of a score weighs. */
constexpr float FLASH_REACH = 2400.0F;
constexpr float FLASH_REST = 16.0F;
constexpr float FLASH_FAR = 3072.0F;
constexpr float FLASH_ORIGIN = 13369344.0F; /* M = 12.75 * 2^20 */
constexpr float FLASH_LEAST = 786432.0F;    /* less than any centroid's score, */
constexpr float FLASH_FLOOR = 262144.0F; /* and more than filler's, which this is without bounds */
constexpr float FLASH_UNIT = 1024.0F;    /* what rows multiply biases by */

constexpr int FLASH_STEP = 16; /* columns of one matrix instruction */
constexpr int FLASH_FEW = 4;   /* up to so many centroids need no filter */

/* --- columns --- */

/* A thread reads consecutive columns of a row, 16 bytes at a time, and takes them as they come: the
 * columns are permuted, for points and centroids alike, inside groups of `group` steps (0: not at
 * all). Column that sits at place p (0..15) of step s. */
__host__ __device__ constexpr int flash_column(int step, int place, int steps, int group)
{
    if (group == 0) return FLASH_STEP * step + place;
    int base = step / group * group;
    while (base + group > steps) {
        group /= 2;
        base = step / group * group;
    }
    return FLASH_STEP * base + 4 * group * (place % 8 / 2) + 4 * (step - base) + place / 8 * 2 +
           place % 2;
}

/* Steps that a thread's 16 bytes cover. */
__host__ __device__ constexpr int flash_group(lloyd_type type, bool vector)
{
    return !vector ? 1 : type == LLOYD_F32 ? 1 : type == LLOYD_F16 || type == LLOYD_BF16 ? 2 : 4;
}

/* Bytes of the operand image of a tile of `width` centroids, `steps` with the bound columns if there are any.
 * The image is what the matrix instructions read from shared memory, so that a tile is one plain
 * copy: per step, per 8 centroids, two core matrices (8 rows of 16 bytes), no swizzle. */
__host__ __device__ constexpr int64_t flash_tile_bytes(int64_t steps, int width)
{
    return steps * width * FLASH_STEP * 2;
}

__host__ __device__ constexpr int64_t flash_image_offset(int64_t centroid, int step, int place,
                                                         int steps, int width)
{
    int64_t tile = centroid / width;
    int row = (int)(centroid % width);
    return tile * flash_tile_bytes(steps, width) +
           (((int64_t)step * (width / 8) + row / 8) * 2 + place / 8) * 128 + row % 8 * 16 +
           place % 8 * 2;
}

/* --- the operand of an element: one fma and one rounding to float16, the same wherever it is
 * needed --- */

__device__ inline float flash_offset(lloyd_type type, bool cosine, float origin, float sigma)
{
    return -sigma * ((cosine ? 0.0F : cuda_lift(type)) + origin);
}

__device__ inline float flash_row_scale(const cuda_rows &rows, int64_t i, float sigma)
{
    return rows.lengths ? __fdiv_rn(sigma, __double2float_rn(rows.lengths[i])) : sigma;
}

/* Four consecutive elements from 4, 2 or 1 words; bytes are cuda_lift() too great, which the offset takes off, except where rows have
 * scales of their own (`cosine`). */
template <lloyd_type T>
__device__ inline void flash_four(const uint32_t *words, bool cosine, float out[4])
{
    if constexpr (cuda_element_bytes(T) > 1) {
        cuda_four_values<T>(words, out);
    } else {
        cuda_lifted_bytes<T>(words[0], out);
        for (int i = 0; cosine && i < 4; i++) out[i] -= cuda_lift(T); /* exact */
    }
}

template <lloyd_type T> __device__ inline float flash_lifted(float x, bool cosine)
{
    return cosine ? x : x + cuda_lift(T); /* exact: bytes below 2^23 */
}

__device__ inline float flash_operand(float lifted, float scale, float offset)
{
    return __fmaf_rn(lifted, scale, offset);
}

__device__ inline uint32_t flash_pack(float low, float high)
{
    __half2 pair = __floats2half2_rn(low, high);
    return *reinterpret_cast<uint32_t *>(&pair);
}

/* Calls work(step, column, steps) for every piece in which a thread reads its columns of a row that
 * starts at a multiple of 16 bytes: `steps` steps from `step` on, which lie together in the row from
 * `column` on. All but t and the column are constants once the loop is unrolled. */
template <int STEPS, int GROUP, class Work>
__device__ inline void flash_for_chunks(int t, Work work)
{
#pragma unroll
    for (int base = 0; base < STEPS; base++) {
        int first = flash_column(base, 0, STEPS, GROUP); /* of thread 0 */
        int group = (flash_column(base, 2, STEPS, GROUP) - first) / 4;
        if (first % (FLASH_STEP * group) != 0) continue; /* not the first step of its group */
        work(base, first + 4 * group * t, group);
    }
}

/* `words` (4, 2 or 1) words to raw[step][0], raw[step][1], ... */
template <int SIZE>
__device__ inline void flash_take_words(const void *at, bool there, int words, int step,
                                        uint32_t (*raw)[SIZE])
{
    if (words == 4) {
        uint4 v = there ? *reinterpret_cast<const uint4 *>(at) : uint4{0, 0, 0, 0};
        uint32_t list[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
        for (int w = 0; w < 4; w++) raw[step + w / SIZE][w % SIZE] = list[w];
    } else if (words == 2) {
        uint2 v = there ? *reinterpret_cast<const uint2 *>(at) : uint2{0, 0};
        raw[step][0] = v.x;
        raw[step + 1 / SIZE][1 % SIZE] = v.y;
    } else {
        raw[step][0] = there ? *reinterpret_cast<const uint32_t *>(at) : 0;
    }
}

/* One row's share of a thread's A fragments (m16n8k16 and wgmma agree on them) from its elements as
 * they are stored: places 2t, 2t+1 and 2t+8, 2t+9 of every step go to fragment[step][half] and
 * fragment[step][half + 2]. `offset` is in shared memory. */
template <int STEPS, lloyd_type T, bool VECTOR>
__device__ inline void flash_convert_row(const uint32_t (*raw)[cuda_element_bytes(T)], bool cosine,
                                         float scale, const float *offset, int t, int half,
                                         uint32_t (*fragment)[4])
{
    constexpr int GROUP = flash_group(T, VECTOR);
#pragma unroll
    for (int step = 0; step < STEPS; step++) {
        float x[4];
        flash_four<T>(raw[step], cosine, x);
        int first = flash_column(step, 0, STEPS, GROUP);
        int group = (flash_column(step, 2, STEPS, GROUP) - first) / 4;
        float4 o = *reinterpret_cast<const float4 *>(offset + first + 4 * group * t);
        fragment[step][half] =
            flash_pack(flash_operand(x[0], scale, o.x), flash_operand(x[1], scale, o.y));
        fragment[step][half + 2] =
            flash_pack(flash_operand(x[2], scale, o.z), flash_operand(x[3], scale, o.w));
    }
}

/* The same of a row in global memory. One that does not exist is read as zeros, whatever operand
 * that gives. */
template <int STEPS, lloyd_type T, bool VECTOR>
__device__ inline void flash_load_row(const cuda_rows &rows, int64_t i, bool exists, float scale,
                                      const float *offset, int t, int half, uint32_t (*fragment)[4])
{
    constexpr int GROUP = flash_group(T, VECTOR), SIZE = cuda_element_bytes(T);
    const char *row = rows.data + i * rows.dim * SIZE;
    uint32_t raw[STEPS][SIZE];
    /* all loads first */
    flash_for_chunks<STEPS, GROUP>(t, [&](int base, int column, int group) {
        if constexpr (VECTOR) {
            flash_take_words<SIZE>(row + (int64_t)column * SIZE, exists && column < rows.dim,
                                   group * SIZE, base, raw);
        } else {
            using element = typename cuda_element<T>::type;
            const element *at = reinterpret_cast<const element *>(row) + column;
            element four[4];
#pragma unroll
            for (int e = 0; e < 4; e++)
                four[e] = exists && column + e < rows.dim ? at[e] : element(0.0F);
#pragma unroll
            for (int w = 0; w < SIZE; w++)
                raw[base][w] = reinterpret_cast<const uint32_t *>(four)[w];
        }
    });
    flash_convert_row<STEPS, T, VECTOR>(raw, rows.lengths != nullptr, scale, offset, t, half,
                                        fragment);
}

/* The point's side of the bound columns, of the two rows of a thread: places 2t and 2t+1 are unit and unit, unit
 * and |x^|, |dx| and 0, or zeros (t = 0 to 3); places 8..15 are zeros. */
__device__ inline void flash_bound_fragment(const __half2 norms[2], int t, uint32_t bounds[2])
{
    const uint32_t unit = __half_as_ushort(__float2half_rn(FLASH_UNIT)); /* and a zero above it */
    const uint32_t bytes = (uint32_t)(0x7676763210545454 >> 16 * t);     /* of norms, then unit */
#pragma unroll
    for (int h = 0; h < 2; h++) {
        uint32_t word;
        memcpy(&word, &norms[h], sizeof word);
        bounds[h] = __byte_perm(word, unit, bytes);
    }
}

#endif
