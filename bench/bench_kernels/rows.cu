/* All random numbers are functions of a counter, so that rows do not depend on the device or on how the
 * work is divided.
 */
#include "rows.cuh"

#include <cmath>
#include <cstdio>

namespace benchmarks
{

namespace
{

/* What random numbers are for: each purpose has counters of its own. */
enum purpose { PLAIN, NOISE, CLUSTER, CENTRE, SPREAD, POSITION, REST };

__device__ inline uint64_t counter_of(purpose p, int64_t index)
{
    return ((uint64_t)p << 58) + (uint64_t)index;
}

/* Box and Muller's transform of the counter's 64 random bits; |g| < 6.8. */
__device__ inline float gaussian(uint64_t counter)
{
    uint64_t random = mixed(counter);
    float u = ((float)(uint32_t)(random >> 32) + 0.5f) * 0x1p-32f; /* in (0, 1] */
    float v = (float)(uint32_t)random * 0x1p-32f;
    return sqrtf(-2.0f * logf(u)) * cospif(2.0f * v);
}

/* Element `at` = the value, rounded to the type. */
__device__ inline void store(void *data, lloyd_type type, int64_t at, float value)
{
    switch (type) {
    case LLOYD_F32: static_cast<float *>(data)[at] = value; break;
    case LLOYD_F16: static_cast<__half *>(data)[at] = __float2half_rn(value); break;
    case LLOYD_BF16: static_cast<__nv_bfloat16 *>(data)[at] = __float2bfloat16_rn(value); break;
    case LLOYD_U8:
        static_cast<uint8_t *>(data)[at] = (uint8_t)fminf(fmaxf(rintf(value), 0.0f), 255.0f);
        break;
    case LLOYD_I8:
        static_cast<int8_t *>(data)[at] = (int8_t)fminf(fmaxf(rintf(value), -128.0f), 127.0f);
        break;
    }
}

/* A number of mean 0 and variance 1, where bytes have 40 steps to the standard deviation. */
__device__ inline float scaled(lloyd_type type, float g)
{
    if (type == LLOYD_U8) return 127.0f + 40.0f * g;
    return type == LLOYD_I8 ? 40.0f * g : g;
}

__global__ void fill_gaussian(void *data, lloyd_type type, int64_t count)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x;
    for (int64_t at = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; at < count; at += step)
        store(data, type, at, scaled(type, gaussian(counter_of(PLAIN, at))));
}

/* A fill value in column 0 of row `row`. */
__global__ void set_fill_value(float *data, int64_t dim, int64_t row)
{
    data[row * dim] = 9.96920997e36f;
}

/* --- rows of a file --- */

/* Elements [there, count) = the first `there`, over and over, with noise: of bytes one of -jitter .. jitter, each as
 * likely, else Gaussian numbers of standard deviation `jitter`. */
__global__ void repeat_with_noise(void *data, lloyd_type type, int64_t there, int64_t count,
                                  float jitter)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x;
    for (int64_t at = there + (int64_t)blockIdx.x * blockDim.x + threadIdx.x; at < count;
         at += step) {
        uint64_t counter = counter_of(NOISE, at);
        float noise;
        if (type == LLOYD_U8 || type == LLOYD_I8) {
            int most = (int)jitter;
            noise = (float)((int)(mixed(counter) % (uint64_t)(2 * most + 1)) - most);
        } else {
            noise = jitter * gaussian(counter);
        }
        store(data, type, at, element(data, type, at % there) + noise);
    }
}

/* The bytes of a file, `most` of them if it has more. */
lloyd_status read_bytes(const char *path, size_t most, std::vector<char> *bytes)
{
    FILE *file = fopen(path, "rb");
    if (!file) return lloyd_fail(LLOYD_BAD_INPUT, "cannot open %s", path);
    bytes->resize(most);
    bytes->resize(fread(bytes->data(), 1, most, file));
    (void)fclose(file);
    return LLOYD_OK;
}

/* sqrt of the mean square of the elements. */
double root_mean_square(const void *data, lloyd_type type, int64_t count)
{
    double sum = 0;
    for (int64_t at = 0; at < count; at++) {
        double value = (double)element(data, type, at);
        sum += value * value;
    }
    return std::sqrt(sum / (double)count);
}

/* The rows of o.rows, repeated if the shape has more. */
lloyd_status rows_of_file(const options &o, const shape &s, lloyd_type type, char *data,
                          int64_t *originals)
{
    const int64_t row_bytes = s.d * (int64_t)lloyd_type_size(type);
    std::vector<char> read;
    LLOYD_TRY(read_bytes(o.rows, (size_t)(s.n * row_bytes), &read));
    if (read.empty() || (int64_t)read.size() % row_bytes != 0)
        return lloyd_fail(LLOYD_BAD_INPUT, "%s has %zu bytes, which are no whole rows of %lld x %s",
                          o.rows, read.size(), (long long)s.d, lloyd_type_name(type));
    *originals = (int64_t)read.size() / row_bytes;
    CUDA_TRY(cudaMemcpy(data, read.data(), read.size(), cudaMemcpyHostToDevice),
             "copying the rows of the benchmark");
    const int64_t there = *originals * s.d, count = s.n * s.d;
    const bool bytes = type == LLOYD_U8 || type == LLOYD_I8;
    const double unit = bytes ? 1 : 0.02 * root_mean_square(read.data(), type, there);
    if (count > there)
        repeat_with_noise<<<blocks_for(count - there), THREADS>>>(data, type, there, count,
                                                                  (float)(o.jitter * unit));
    return LLOYD_OK;
}

/* --- mixtures --- */

/* The model, per row:
 *
 *     x = sum over a of (1 + a)^-1/2 (centre + spread position) direction + REST_SHARE noise
 *
 * with FACTORS random directions that all clusters share, a Gaussian centre for each cluster and direction, a
 * Gaussian position for each row and direction, and a spread for each cluster and direction that is log-normal around
 * SPREAD_MEAN. So each cluster is elongated in its own way, variances of principal components fall slowly, and
 * clusters overlap. Every row has the length sqrt(D). Cluster floor(C u^2), u uniform, takes a row: the largest cluster has
 * sqrt(C) times the mean size, the smallest half of it.
 *
 * The figures are chosen such that the distances of the nearest two centroids differ about as much as with
 * embeddings of sentences: 30,000 x 768 rows of 300 clusters, K = 410, have after six iterations 59 % of the variance
 * within clusters, and the 10, 30, 50 and 70 % quantiles of d2^2 - d1^2 are 0.027, 0.076, 0.13 and 0.20 of the mean
 * of d1^2; those of 30,000 embeddings of sentences (D = 384): 72 %, 0.024, 0.069, 0.12 and 0.18.
 */
enum { FACTORS = 128 };
constexpr float SPREAD_MEAN = 1.5f, REST_SHARE = 0.3f;

/* factor[FACTORS] of a row, a thread each. */
__device__ inline float factor_of(int64_t row, int64_t cluster, int a, float norm)
{
    const int64_t at = cluster * FACTORS + a;
    const float centre = gaussian(counter_of(CENTRE, at)),
                spread = SPREAD_MEAN * expf(0.5f * gaussian(counter_of(SPREAD, at)) - 0.25f),
                position = gaussian(counter_of(POSITION, row * FACTORS + a));
    return norm * rsqrtf(1.0f + (float)a) * (centre + spread * position);
}

/* The sum of one number of each thread of the block, in the same order always. */
__device__ inline float block_sum(float value)
{
    __shared__ float part[THREADS];
    part[threadIdx.x] = value;
    for (int half = THREADS / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) part[threadIdx.x] += part[threadIdx.x + half];
    }
    __syncthreads();
    return part[0];
}

/* A block takes one row after the other. directions[FACTORS][D]; norm makes the factors' variances of one cluster
 * centre add up to 1. */
__global__ void __launch_bounds__(THREADS)
    fill_mixture(void *data, lloyd_type type, int64_t n, int64_t dim, int64_t clusters, float norm,
                 const float *directions)
{
    extern __shared__ float value[]; /* [D] */
    __shared__ float factor[FACTORS];
    for (int64_t row = blockIdx.x; row < n; row += gridDim.x) {
        const double u = (double)(mixed(counter_of(CLUSTER, row)) >> 11) * 0x1p-53; /* [0, 1) */
        const int64_t cluster = (int64_t)((double)clusters * u * u);
        if (threadIdx.x < FACTORS)
            factor[threadIdx.x] = factor_of(row, cluster, (int)threadIdx.x, norm);
        __syncthreads();
        float squares = 0;
        for (int64_t j = threadIdx.x; j < dim; j += THREADS) {
            float x = REST_SHARE * gaussian(counter_of(REST, row * dim + j));
            for (int a = 0; a < FACTORS; a++) x += factor[a] * directions[a * dim + j];
            value[j] = x;
            squares += x * x;
        }
        const float scale = sqrtf((float)dim / block_sum(squares));
        for (int64_t j = threadIdx.x; j < dim; j += THREADS)
            store(data, type, row * dim + j, scaled(type, scale * value[j]));
        __syncthreads();
    }
}

lloyd_status rows_of_mixture(const options &o, const shape &s, lloyd_type type, char *data)
{
    const char *what = "the mixture";
    device_array<float> directions;
    double variance = 0;
    for (int a = 0; a < FACTORS; a++) variance += 1 / (1 + (double)a);
    LLOYD_TRY(directions.alloc(FACTORS * s.d, what));
    fill_with_gaussian(directions.data, LLOYD_F32, FACTORS * s.d);
    fill_mixture<<<(unsigned)std::min<int64_t>(s.n, 65536), THREADS,
                   (size_t)s.d * sizeof(float)>>>(data, type, s.n, s.d, o.mixture,
                                                  (float)(1 / std::sqrt(variance)),
                                                  directions.data);
    return finished(what); /* before `directions` ends */
}

} // namespace

void fill_with_gaussian(void *data, lloyd_type type, int64_t count)
{
    fill_gaussian<<<blocks_for(count), THREADS>>>(data, type, count);
}

lloyd_status make_rows(const options &o, const shape &s, lloyd_type type, char *data,
                       int64_t *originals)
{
    *originals = s.n;
    if (o.rows)
        LLOYD_TRY(rows_of_file(o, s, type, data, originals));
    else if (o.mixture > 0)
        LLOYD_TRY(rows_of_mixture(o, s, type, data));
    else
        fill_with_gaussian(data, type, s.n * s.d);
    if (o.fill && type == LLOYD_F32)
        set_fill_value<<<1, 1>>>(reinterpret_cast<float *>(data), s.d, s.n / 2 + 1);
    return finished("making the rows of the benchmark");
}

} // namespace benchmarks
