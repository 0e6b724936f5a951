/* dist(), the definition of every label: 32 interleaved partial sums in double, each step one
 * subtraction and one fma, then a tree. The lanes are independent, so the compiler keeps them in
 * four 512-bit or eight 256-bit registers without reordering. */
#include "kernels/dist.h"

#include "kernels/clones.h"
#include "kernels/numerics.h"

LLOYD_CLONES static double dist(const float *x, const float *c, int64_t dim)
{
    double p[LLOYD_LANES] = {0};
    int64_t j = 0;
    for (; j + LLOYD_LANES <= dim; j += LLOYD_LANES) {
        for (int l = 0; l < LLOYD_LANES; l++) {
            double t = (double)x[j + l] - (double)c[j + l];
            p[l] = fma(t, t, p[l]);
        }
    }
    for (int l = 0; j + l < dim; l++) {
        double t = (double)x[j + l] - (double)c[j + l];
        p[l] = fma(t, t, p[l]);
    }
    return lloyd_tree(p, LLOYD_LANES);
}

LLOYD_CLONES static float rough_dist(const float *x, const float *c, int64_t dim)
{
    float p[LLOYD_LANES] = {0};
    int64_t j = 0;
    for (; j + LLOYD_LANES <= dim; j += LLOYD_LANES) {
        for (int l = 0; l < LLOYD_LANES; l++) {
            float t = x[j + l] - c[j + l];
            p[l] = fmaf(t, t, p[l]);
        }
    }
    for (int l = 0; j + l < dim; l++) {
        float t = x[j + l] - c[j + l];
        p[l] = fmaf(t, t, p[l]);
    }
    for (int half = LLOYD_LANES / 2; half > 0; half /= 2)
        for (int l = 0; l < half; l++) p[l] += p[l + half];
    return p[0];
}

LLOYD_CLONES static double square(const float *x, int64_t dim)
{
    double p[LLOYD_LANES] = {0};
    int64_t j = 0;
    for (; j + LLOYD_LANES <= dim; j += LLOYD_LANES) {
        for (int l = 0; l < LLOYD_LANES; l++) p[l] = fma((double)x[j + l], (double)x[j + l], p[l]);
    }
    for (int l = 0; j + l < dim; l++) p[l] = fma((double)x[j + l], (double)x[j + l], p[l]);
    return lloyd_tree(p, LLOYD_LANES);
}

void lloyd_dist_all(const float *x, int64_t count, const float *c, int64_t k, int64_t dim,
                    int threads, double *out)
{
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t i = 0; i < count; i++)
        for (int64_t j = 0; j < k; j++) out[i * k + j] = lloyd_dist(x + i * dim, c + j * dim, dim);
}

/* clang resolves a clone only inside its own file. */
double lloyd_dist(const float *x, const float *c, int64_t dim)
{
    return dist(x, c, dim);
}

/* Nothing cancels in rough_dist(): differences and squares are off by a few 2^-24 of themselves, sums by one
 * more for each addition that an element goes through, of which there are at most D / 32 + 6. Only where
 * squares are subnormal or infinite it says nothing. */
static int is_near(float rough)
{
    return rough > 0x1p-100f && rough <= 0x1p126f;
}

static double rough_slack(int64_t dim)
{
    return (double)(dim + 64) * 0x1p-22;
}

int lloyd_is_farther(const float *x, const float *c, int64_t dim, double distance)
{
    float rough = rough_dist(x, c, dim);
    return is_near(rough) && (double)rough > distance + distance * rough_slack(dim);
}

double lloyd_dist_up(const float *x, const float *c, int64_t dim)
{
    float rough = rough_dist(x, c, dim);
    return is_near(rough) && dim < 1 << 16 ? (double)rough * (1 + rough_slack(dim))
                                           : dist(x, c, dim);
}

double lloyd_square(const float *x, int64_t dim)
{
    return square(x, dim);
}
