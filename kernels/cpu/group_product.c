/* See group_product.h. A block of a product is 12 rows and the 32 centroids of a tile (with registers of 256 bits 6 rows and 16
 * centroids): one load of a word of the centroids serves all rows, one of a word of a row all centroids.
 */
#include "kernels/cpu/group_product.h"

#include "kernels/clones.h"
#include "kernels/prune_bound.h"

/* GCC 11 and Clang 12 know AVX-VNNI. */
#if defined(__x86_64__) && !defined(LLOYD_ONE_TARGET) && (__GNUC__ >= 11 || __clang_major__ >= 12)

#include <immintrin.h>

enum { TILE = LLOYD_GROUP_TILE, WORDS = LLOYD_GROUP_WORDS, BLOCK = 12 };

#define TARGET(features) __attribute__((target(features)))
#define INLINE static inline __attribute__((always_inline))

/* In assembly for the reason that int8_product.c gives. */
#define ADD_PRODUCTS_512(sum, rows, centroids)                                                     \
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(rows), "v"(centroids))
#define ADD_PRODUCTS_256(sum, rows, centroids)                                                     \
    __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum) : "x"(rows), "x"(centroids))

/* --- AVX-512 --- */

#define AVX512 "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,fma"

/* The scores of a row with the 32 centroids: in score[0] and [1]. The greater of the two in each lane. */
TARGET(AVX512)
INLINE __m512 scores_of(const lloyd_group_rows *rows, int row, const lloyd_group_tile *tile,
                        __m512i low, __m512i high, __m512 *score)
{
    __m512 factor = _mm512_set1_ps(rows->factor[row]);
    score[0] = _mm512_fmsub_ps(_mm512_cvtepi32_ps(low), factor, _mm512_loadu_ps(tile->bias));
    score[1] = _mm512_fmsub_ps(_mm512_cvtepi32_ps(high), factor, _mm512_loadu_ps(tile->bias + 16));
    uint32_t own = (uint32_t)(rows->own[row] - tile->first);
    if (own < TILE) {
        const __m512 none = _mm512_set1_ps(-__builtin_inff());
        uint32_t lane = (uint32_t)1 << own;
        score[0] = _mm512_mask_mov_ps(score[0], (__mmask16)lane, none);
        score[1] = _mm512_mask_mov_ps(score[1], (__mmask16)(lane >> 16), none);
    }
    return _mm512_max_ps(score[0], score[1]);
}

/* The greatest lane of each of four. */
TARGET(AVX512)
INLINE __m128 greatest_of(const __m512 *x)
{
    __m512 a = _mm512_max_ps(_mm512_unpacklo_ps(x[0], x[1]), _mm512_unpackhi_ps(x[0], x[1]));
    __m512 b = _mm512_max_ps(_mm512_unpacklo_ps(x[2], x[3]), _mm512_unpackhi_ps(x[2], x[3]));
    __m512d c = _mm512_castps_pd(a), d = _mm512_castps_pd(b);
    __m512 all = _mm512_max_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(c, d)),
                               _mm512_castpd_ps(_mm512_unpackhi_pd(c, d)));
    __m256 half = _mm256_max_ps(_mm512_castps512_ps256(all), _mm512_extractf32x8_ps(all, 1));
    return _mm_max_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
}

/* What becomes of the products of at most four rows. */
TARGET(AVX512)
INLINE uint32_t finish_avx512(const lloyd_group_rows *rows, const uint16_t *list, int count,
                              const lloyd_group_tile *tile, const __m512i *low, const __m512i *high,
                              float *best, uint32_t *hits)
{
    const __mmask8 valid = (__mmask8)(count < 4 ? (1 << count) - 1 : 15);
    __m512 score[4][2], most[4];
    float threshold[4];
    uint32_t any = 0;
#pragma GCC unroll 4
    for (int r = 0; r < 4; r++) {
        most[r] = _mm512_set1_ps(-__builtin_inff());
        threshold[r] = __builtin_inff();
        if (r >= count) continue;
        threshold[r] = rows->threshold[list[r]];
        most[r] = scores_of(rows, list[r], tile, low[r], high[r], score[r]);
    }
    __m128 greatest = greatest_of(most);
    __m128 least = _mm_set_ps(threshold[3], threshold[2], threshold[1], threshold[0]);
    _mm_mask_storeu_ps(best, valid, _mm_max_ps(greatest, _mm_maskz_loadu_ps(valid, best)));
    _mm_mask_storeu_epi32(hits, valid, _mm_setzero_si128());
    __mmask8 reached = valid & _mm_cmp_ps_mask(greatest, least, _CMP_GE_OQ);
    if (reached == 0) return 0;
#pragma GCC unroll 4
    for (int r = 0; r < 4; r++) {
        if (!(reached >> r & 1)) continue;
        __m512 all = _mm512_set1_ps(threshold[r]);
        hits[r] = (uint32_t)_mm512_cmp_ps_mask(score[r][0], all, _CMP_GE_OQ) |
                  (uint32_t)_mm512_cmp_ps_mask(score[r][1], all, _CMP_GE_OQ) << 16;
        any |= hits[r];
    }
    return any;
}

TARGET(AVX512)
INLINE uint32_t block_avx512(const lloyd_group_rows *rows, const uint16_t *list, int count,
                             const lloyd_group_tile *tile, float *best, uint32_t *hits)
{
    __m512i low[BLOCK], high[BLOCK];
    const int32_t *row[BLOCK];
#pragma GCC unroll 12
    for (int r = 0; r < count; r++) {
        row[r] = rows->codes + list[r] * rows->words;
        low[r] = _mm512_loadu_si512(tile->correction);
        high[r] = _mm512_loadu_si512(tile->correction + 16);
    }
    const int32_t *operand = tile->operand;
    for (int64_t w = 0; w < rows->words; w += WORDS) {
#pragma GCC unroll 4
        for (int i = 0; i < WORDS; i++) {
            __m512i c0 = _mm512_loadu_si512(operand + i * TILE),
                    c1 = _mm512_loadu_si512(operand + i * TILE + 16);
#pragma GCC unroll 12
            for (int r = 0; r < count; r++) {
                __m512i x = _mm512_set1_epi32(row[r][w + i]);
                ADD_PRODUCTS_512(low[r], x, c0);
                ADD_PRODUCTS_512(high[r], x, c1);
            }
        }
        operand += WORDS * TILE;
    }
    uint32_t any = 0;
#pragma GCC unroll 3
    for (int r = 0; r < count; r += 4)
        any |=
            finish_avx512(rows, list + r, count - r, tile, low + r, high + r, best + r, hits + r);
    return any;
}

#define CASE(kind, n)                                                                              \
    case n: any |= block_##kind(rows, list + i, n, tile, best + i, hits + i); break;

TARGET(AVX512)
static uint32_t scores_avx512(const lloyd_group_rows *rows, const uint16_t *list, int count,
                              const lloyd_group_tile *tile, float *best, uint32_t *hits)
{
    uint32_t any = 0;
    for (int i = 0; i < count; i += 12) {
        switch (count - i) {
            CASE(avx512, 1)
            CASE(avx512, 2)
            CASE(avx512, 3)
            CASE(avx512, 4)
            CASE(avx512, 5)
            CASE(avx512, 6)
            CASE(avx512, 7)
            CASE(avx512, 8)
            CASE(avx512, 9)
            CASE(avx512, 10)
            CASE(avx512, 11)
        default: any |= block_avx512(rows, list + i, 12, tile, best + i, hits + i);
        }
    }
    return any;
}

/* --- 256-bit registers --- */

#define AVX_VNNI "avx2,fma,avxvnni"

/* Of the 16 centroids from `at` on. */
TARGET(AVX_VNNI)
INLINE uint32_t finish_avx_vnni(const lloyd_group_rows *rows, int row, const lloyd_group_tile *tile,
                                int at, __m256i low, __m256i high, float *best)
{
    __m256 factor = _mm256_set1_ps(rows->factor[row]), least = _mm256_set1_ps(rows->threshold[row]);
    __m256 score[2];
    score[0] = _mm256_fmsub_ps(_mm256_cvtepi32_ps(low), factor, _mm256_loadu_ps(tile->bias + at));
    score[1] =
        _mm256_fmsub_ps(_mm256_cvtepi32_ps(high), factor, _mm256_loadu_ps(tile->bias + at + 8));
    uint32_t own = (uint32_t)(rows->own[row] - tile->first - at);
    if (own < 16) {
        float lanes[16];
        _mm256_storeu_ps(lanes, score[0]);
        _mm256_storeu_ps(lanes + 8, score[1]);
        lanes[own] = -__builtin_inff();
        score[0] = _mm256_loadu_ps(lanes);
        score[1] = _mm256_loadu_ps(lanes + 8);
    }
    __m256 eight = _mm256_max_ps(score[0], score[1]);
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    four = _mm_max_ps(four, _mm_movehl_ps(four, four));
    float most = _mm_cvtss_f32(_mm_max_ss(four, _mm_movehdup_ps(four)));
    *best = most > *best ? most : *best;
    uint32_t reached = (uint32_t)_mm256_movemask_ps(_mm256_cmp_ps(score[0], least, _CMP_GE_OQ)) |
                       (uint32_t)_mm256_movemask_ps(_mm256_cmp_ps(score[1], least, _CMP_GE_OQ))
                           << 8;
    return reached << at;
}

TARGET(AVX_VNNI)
INLINE uint32_t half_avx_vnni(const lloyd_group_rows *rows, const uint16_t *list, int count,
                              const lloyd_group_tile *tile, int at, float *best, uint32_t *hits)
{
    __m256i low[6], high[6];
    const int32_t *row[6];
#pragma GCC unroll 6
    for (int r = 0; r < count; r++) {
        row[r] = rows->codes + list[r] * rows->words;
        low[r] = _mm256_loadu_si256((const __m256i *)(tile->correction + at));
        high[r] = _mm256_loadu_si256((const __m256i *)(tile->correction + at + 8));
    }
    const int32_t *operand = tile->operand + at;
    for (int64_t w = 0; w < rows->words; w += WORDS) {
#pragma GCC unroll 4
        for (int i = 0; i < WORDS; i++) {
            __m256i c0 = _mm256_loadu_si256((const __m256i *)(operand + i * TILE)),
                    c1 = _mm256_loadu_si256((const __m256i *)(operand + i * TILE + 8));
#pragma GCC unroll 6
            for (int r = 0; r < count; r++) {
                __m256i x = _mm256_set1_epi32(row[r][w + i]);
                ADD_PRODUCTS_256(low[r], x, c0);
                ADD_PRODUCTS_256(high[r], x, c1);
            }
        }
        operand += WORDS * TILE;
    }
    uint32_t any = 0;
#pragma GCC unroll 6
    for (int r = 0; r < count; r++) {
        hits[r] |= finish_avx_vnni(rows, list[r], tile, at, low[r], high[r], &best[r]);
        any |= hits[r];
    }
    return any;
}

TARGET(AVX_VNNI)
INLINE uint32_t block_avx_vnni(const lloyd_group_rows *rows, const uint16_t *list, int count,
                               const lloyd_group_tile *tile, float *best, uint32_t *hits)
{
    for (int r = 0; r < count; r++) hits[r] = 0;
    uint32_t any = half_avx_vnni(rows, list, count, tile, 0, best, hits);
    return any | half_avx_vnni(rows, list, count, tile, 16, best, hits);
}

TARGET(AVX_VNNI)
static uint32_t scores_avx_vnni(const lloyd_group_rows *rows, const uint16_t *list, int count,
                                const lloyd_group_tile *tile, float *best, uint32_t *hits)
{
    uint32_t any = 0;
    for (int i = 0; i < count; i += 6) {
        switch (count - i) {
            CASE(avx_vnni, 1)
            CASE(avx_vnni, 2)
            CASE(avx_vnni, 3)
            CASE(avx_vnni, 4)
            CASE(avx_vnni, 5)
        default: any |= block_avx_vnni(rows, list + i, 6, tile, best + i, hits + i);
        }
    }
    return any;
}

/* --- both --- */

uint32_t lloyd_group_scores_avx512(const lloyd_group_rows *rows, const uint16_t *list, int count,
                                   const lloyd_group_tile *tile, float *best, uint32_t *hits)
{
    return scores_avx512(rows, list, count, tile, best, hits);
}

uint32_t lloyd_group_scores_avx_vnni(const lloyd_group_rows *rows, const uint16_t *list, int count,
                                     const lloyd_group_tile *tile, float *best, uint32_t *hits)
{
    return scores_avx_vnni(rows, list, count, tile, best, hits);
}

#endif

/* --- bounds --- */

/* Bit i: byte i, which is 0 or 1. */
static uint64_t bits_of(const uint8_t *bytes)
{
    uint64_t eight;
    memcpy(&eight, bytes, sizeof eight);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    eight = __builtin_bswap64(eight);
#endif
    return (eight * 0x0102040810204080U) >> 56;
}

LLOYD_CLONES static uint64_t failing(const uint16_t *bound, const uint16_t *drift, uint16_t reach,
                                     int groups)
{
    enum { MOST = 64, PART = 32 };
    uint8_t fails[MOST] = {0};
    int g = 0;
    for (; g + PART <= groups; g += PART) {
        for (int i = 0; i < PART; i++) {
            uint16_t sum = (uint16_t)(reach + drift[g + i]);
            sum = sum < reach ? PRUNE_MOST : sum;
            fails[g + i] = bound[g + i] <= sum;
        }
    }
    for (; g < groups; g++) {
        int sum = reach + drift[g];
        fails[g] = bound[g] <= (sum < PRUNE_MOST ? sum : PRUNE_MOST);
    }
    uint64_t bits = 0;
    for (int at = 0; at < groups; at += 8) bits |= bits_of(fails + at) << at;
    return bits;
}

uint64_t lloyd_group_failing(const uint16_t *bound, const uint16_t *drift, uint16_t reach,
                             int groups)
{
    return failing(bound, drift, reach, groups);
}
