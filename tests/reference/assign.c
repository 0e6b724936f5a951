#include "assign.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#if defined(__x86_64__)
#define FAST __attribute__((target_clones("avx512f", "fma", "default")))
#else
#define FAST
#endif

/* 32 interleaved partial sums of squared differences, then a tree. */
FAST double dist(const float *x, const float *c, int64_t d)
{
    double p[32] = {0};
    int64_t j = 0;
    for (; j + 32 <= d; j += 32) {
        for (int l = 0; l < 32; l++) {
            double t = (double)x[j + l] - (double)c[j + l];
            p[l] = fma(t, t, p[l]);
        }
    }
    for (int l = 0; j + l < d; l++) {
        double t = (double)x[j + l] - (double)c[j + l];
        p[l] = fma(t, t, p[l]);
    }
    for (int half = 16; half >= 1; half /= 2) {
        for (int l = 0; l < half; l++) p[l] += p[l + half];
    }
    return p[0];
}

void assign(const matrix *x, const matrix *c, int32_t *label, double *own)
{
#pragma omp parallel for schedule(dynamic, 64)
    for (int64_t i = 0; i < x->rows; i++) {
        const float *row = x->value + i * x->columns;
        int64_t best = 0;
        double smallest = dist(row, c->value, x->columns);
        for (int64_t k = 1; k < c->rows; k++) {
            double distance = dist(row, c->value + k * x->columns, x->columns);
            if (distance < smallest) {
                smallest = distance;
                best = k;
            }
        }
        label[i] = (int32_t)best;
        own[i] = smallest;
    }
}

void normalise(float *row, int64_t d, const char *what, int64_t index)
{
    float *origin = allocate(d, sizeof *origin);
    double length = sqrt(dist(row, origin, d));
    free(origin);
    if (!(length > 0)) {
        fprintf(stderr, "reference: %s %lld has length 0\n", what, (long long)index);
        exit(2);
    }
    for (int64_t j = 0; j < d; j++) row[j] = (float)((double)row[j] / length);
}
