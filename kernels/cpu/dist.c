/* dist(), the definition of every label: 32 interleaved partial sums in double, each step one
 * subtraction and one fma, then a tree. The lanes are independent, so the compiler keeps them in
 * four 512-bit or eight 256-bit registers without reordering. */
#include "kernels/cpu/cpu.h"

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

/* clang resolves a clone only inside its own file. */
double lloyd_cpu_dist(const float *x, const float *c, int64_t dim)
{
    return dist(x, c, dim);
}

double lloyd_cpu_square(const float *x, int64_t dim)
{
    return square(x, dim);
}
