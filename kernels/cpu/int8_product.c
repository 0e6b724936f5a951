/* See int8_product.h. The blocks of a product, 6 centroids and as many rows as fill the registers with their
 * sums, follow BLIS (Van Zee and van de Geijn, 2015): one load of a word of the rows serves 6
 * centroids, one of the centroids all rows.
 */
#include "kernels/cpu/int8_product.h"

#include <stddef.h>

/* GCC 11 and Clang 12 know AVX-VNNI. */
#if defined(__x86_64__) && !defined(LLOYD_ONE_TARGET) && (__GNUC__ >= 11 || __clang_major__ >= 12)

#include <cpuid.h>
#include <immintrin.h>

enum { ROWS = LLOYD_INT8_ROWS, CENTROIDS = LLOYD_INT8_CENTROIDS, BLOCK = 6 };

#define TARGET(features) __attribute__((target(features)))

/* sum += the products of four neighbouring columns. In assembly, since GCC 12 makes a copy of every sum in
 * every step where the intrinsic is used, which takes twice as long. */
#define ADD_PRODUCTS_512(sum, rows, centroid)                                                      \
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(rows), "v"(centroid))
#define ADD_PRODUCTS_256(sum, rows, centroid)                                                      \
    __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum) : "x"(rows), "x"(centroid))

/* --- AVX-512: 64 rows are four registers --- */

#define AVX512 "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,fma"

TARGET(AVX512)
static void scores_avx512(const void *rows, const float *factor, const lloyd_int8_tile *tile,
                          int64_t words, float *scores)
{
    enum { VECTORS = ROWS / 16 };
    for (int k0 = 0; k0 < CENTROIDS; k0 += BLOCK) {
        const int32_t *centroid = (const int32_t *)tile->centroids + k0 * words;
        const int32_t *word = rows;
        __m512i sum[BLOCK][VECTORS];
#pragma GCC unroll 6
        for (int k = 0; k < BLOCK; k++) {
#pragma GCC unroll 4
            for (int v = 0; v < VECTORS; v++) sum[k][v] = _mm512_setzero_si512();
        }
        for (int64_t j = 0; j < words; j++, word += ROWS) {
            __m512i x[VECTORS];
#pragma GCC unroll 4
            for (int v = 0; v < VECTORS; v++) x[v] = _mm512_loadu_si512(word + 16 * v);
#pragma GCC unroll 6
            for (int k = 0; k < BLOCK; k++) {
                __m512i c = _mm512_set1_epi32(centroid[k * words + j]);
#pragma GCC unroll 4
                for (int v = 0; v < VECTORS; v++) ADD_PRODUCTS_512(sum[k][v], x[v], c);
            }
        }
#pragma GCC unroll 6
        for (int k = 0; k < BLOCK; k++) {
            __m512i correction = _mm512_set1_epi32(tile->correction[k0 + k]);
            __m512 bias = _mm512_set1_ps(tile->bias[k0 + k]);
#pragma GCC unroll 4
            for (int v = 0; v < VECTORS; v++) {
                __m512 product = _mm512_cvtepi32_ps(_mm512_add_epi32(sum[k][v], correction));
                _mm512_storeu_ps(scores + (k0 + k) * ROWS + 16 * v,
                                 _mm512_fmsub_ps(product, _mm512_loadu_ps(factor + 16 * v), bias));
            }
        }
    }
}

TARGET(AVX512) static void hits_avx512(const float *scores, const float *threshold, uint64_t *hits)
{
    __m512 least[ROWS / 16];
    for (int v = 0; v < ROWS / 16; v++) least[v] = _mm512_loadu_ps(threshold + 16 * v);
    for (int k = 0; k < CENTROIDS; k++) {
        uint64_t mask = 0;
        for (int v = 0; v < ROWS / 16; v++) {
            __m512 score = _mm512_loadu_ps(scores + k * ROWS + 16 * v);
            mask |= (uint64_t)_mm512_cmp_ps_mask(score, least[v], _CMP_GE_OQ) << (16 * v);
        }
        hits[k] = mask;
    }
}

/* --- 256-bit registers: 16 rows are two of them --- */

#define AVX_VNNI "avx2,fma,avxvnni"

/* Of rows i0 to i0 + 15 and the centroids of a block. */
TARGET(AVX_VNNI)
static void block_avx_vnni(const int32_t *word, const float *factor, const int32_t *centroid,
                           const int32_t *correction, const float *bias, int64_t words,
                           float *scores)
{
    enum { VECTORS = 2 };
    __m256i sum[BLOCK][VECTORS];
#pragma GCC unroll 6
    for (int k = 0; k < BLOCK; k++) sum[k][0] = sum[k][1] = _mm256_setzero_si256();
    for (int64_t j = 0; j < words; j++, word += ROWS) {
        __m256i x0 = _mm256_loadu_si256((const __m256i *)word);
        __m256i x1 = _mm256_loadu_si256((const __m256i *)(word + 8));
#pragma GCC unroll 6
        for (int k = 0; k < BLOCK; k++) {
            __m256i c = _mm256_set1_epi32(centroid[k * words + j]);
            ADD_PRODUCTS_256(sum[k][0], x0, c);
            ADD_PRODUCTS_256(sum[k][1], x1, c);
        }
    }
#pragma GCC unroll 6
    for (int k = 0; k < BLOCK; k++) {
        __m256i add = _mm256_set1_epi32(correction[k]);
        __m256 less = _mm256_set1_ps(bias[k]);
#pragma GCC unroll 2
        for (int v = 0; v < VECTORS; v++) {
            __m256 product = _mm256_cvtepi32_ps(_mm256_add_epi32(sum[k][v], add));
            __m256 by = _mm256_loadu_ps(factor + 8 * v);
            _mm256_storeu_ps(scores + k * ROWS + 8 * v, _mm256_fmsub_ps(product, by, less));
        }
    }
}

static void scores_avx_vnni(const void *rows, const float *factor, const lloyd_int8_tile *tile,
                            int64_t words, float *scores)
{
    for (int k0 = 0; k0 < CENTROIDS; k0 += BLOCK) {
        const int32_t *centroid = (const int32_t *)tile->centroids + k0 * words;
        for (int i0 = 0; i0 < ROWS; i0 += 16) {
            block_avx_vnni((const int32_t *)rows + i0, factor + i0, centroid, tile->correction + k0,
                           tile->bias + k0, words, scores + k0 * ROWS + i0);
        }
    }
}

TARGET(AVX_VNNI)
static void hits_avx_vnni(const float *scores, const float *threshold, uint64_t *hits)
{
    for (int k = 0; k < CENTROIDS; k++) {
        uint64_t mask = 0;
        for (int v = 0; v < ROWS / 8; v++) {
            __m256 score = _mm256_loadu_ps(scores + k * ROWS + 8 * v);
            __m256 least = _mm256_loadu_ps(threshold + 8 * v);
            int part = _mm256_movemask_ps(_mm256_cmp_ps(score, least, _CMP_GE_OQ));
            mask |= (uint64_t)(unsigned)part << (8 * v);
        }
        hits[k] = mask;
    }
}

/* GCC 12 has no name for it in __builtin_cpu_supports(). */
static int has_avx_vnni(void)
{
    unsigned a = 0, b = 0, c = 0, d = 0;
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 4 & 1);
}

static int has_avx512_vnni(void)
{
    return __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
}

static const lloyd_int8_product products[] = {
    {"avx512-vnni", 0.2, has_avx512_vnni, scores_avx512, hits_avx512, lloyd_group_scores_avx512},
    {"avx-vnni", 0.35, has_avx_vnni, scores_avx_vnni, hits_avx_vnni, lloyd_group_scores_avx_vnni},
};

enum { COUNT = sizeof products / sizeof products[0] };

#else

static const lloyd_int8_product products[1];
enum { COUNT = 0 };

#endif

const lloyd_int8_product *lloyd_int8_products(int *count)
{
    *count = COUNT;
    return products;
}

const lloyd_int8_product *lloyd_int8_product_best(void)
{
    for (int i = 0; i < COUNT; i++)
        if (products[i].is_supported()) return &products[i];
    return NULL;
}
