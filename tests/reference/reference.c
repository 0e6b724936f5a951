/* The reference: the numerical contract (docs/numerics.md) by brute force, written from that page alone.
 *
 * It shares no line with the library, and does everything the slow and obvious way: every distance in double precision,
 * every row against every centroid, every sum an exact one of 1,280 bits, all data in memory, one process. Whatever it
 * computes, `lloyd` must equal to the bit. The one exception is the history of the inertia, of which the contract says only
 * how near it is to the exact sum: here it is that sum, rounded once.
 *
 *     reference labels DATA.h5[:DATASET] MODEL.h5 [--labels LABELS.h5] [--cosine]
 *         labels (and counts, or distances) in the file against the nearest centroids of the model
 *     reference fit DATA.h5[:DATASET] -k K --init MODEL.h5 --iters T --output REF.h5
 *         [--weights DATASET] [--cosine] [--empty relocate|keep] [--tol X] [--scale-init]
 *         Lloyd's iteration from the first K given centroids; --scale-init: scaled to length 1 first, which is what
 *         lloyd does for the cosine metric to centroids that a file gives
 *
 * DATASET is /train unless given. Exit status: 0 equal or done, 1 different, 2 wrong usage or unreadable file.
 * Must be compiled without contraction of a*b+c (-ffp-contract=off, or ISO C mode).
 */
#include <Random123/philox.h>
#include <hdf5.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#define FAST __attribute__((target_clones("avx512f", "fma", "default")))
#else
#define FAST
#endif

typedef struct matrix {
    int64_t rows, columns;
    float *value; /* [rows*columns] */
} matrix;

static void die(const char *what, const char *name)
{
    fprintf(stderr, "reference: %s: %s\n", what, name);
    exit(2);
}

static void *allocate(int64_t count, size_t size)
{
    void *memory = calloc(count > 0 ? (size_t)count : 1, size);
    if (!memory) die("out of memory for", "an array");
    return memory;
}

/* ---- files ---------------------------------------------------------------------------------------------------- */

static int exists(const char *file, const char *dataset)
{
    hid_t f = H5Fopen(file, H5F_ACC_RDONLY, H5P_DEFAULT);
    if (f < 0) die("cannot open", file);
    int found = H5Lexists(f, dataset, H5P_DEFAULT) > 0;
    H5Fclose(f);
    return found;
}

/* The whole dataset as `type`; its shape goes to *rows and *columns (1 where it has one dimension). */
static void *read_dataset(const char *file, const char *dataset, hid_t type, int64_t *rows,
                          int64_t *columns)
{
    hid_t f = H5Fopen(file, H5F_ACC_RDONLY, H5P_DEFAULT);
    if (f < 0) die("cannot open", file);
    hid_t set = H5Dopen2(f, dataset, H5P_DEFAULT);
    if (set < 0) die("no such dataset", dataset);
    hid_t space = H5Dget_space(set);
    hsize_t shape[2] = {1, 1};
    int rank = H5Sget_simple_extent_ndims(space);
    if (rank < 1 || rank > 2) die("neither one- nor two-dimensional", dataset);
    H5Sget_simple_extent_dims(space, shape, NULL);
    *rows = (int64_t)shape[0];
    *columns = (int64_t)shape[1];
    void *data = allocate(*rows * *columns, H5Tget_size(type));
    if (H5Dread(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0) die("cannot read", dataset);
    H5Sclose(space);
    H5Dclose(set);
    H5Fclose(f);
    return data;
}

/* A dataset as float32. Everything is read as double, which holds all stored types exactly, and rounded once. */
static matrix read_matrix(const char *file, const char *dataset)
{
    matrix m;
    double *wider = read_dataset(file, dataset, H5T_NATIVE_DOUBLE, &m.rows, &m.columns);
    m.value = allocate(m.rows * m.columns, sizeof *m.value);
    for (int64_t i = 0; i < m.rows * m.columns; i++) m.value[i] = (float)wider[i];
    free(wider);
    return m;
}

/* "FILE:DATASET" or "FILE" (then /train). */
static matrix read_input(const char *input)
{
    char file[4096];
    snprintf(file, sizeof file, "%s", input);
    char *colon = strrchr(file, ':');
    if (colon) *colon = '\0';
    return read_matrix(file, colon ? colon + 1 : "/train");
}

static void write_dataset(hid_t where, const char *name, hid_t type, int rank, int64_t rows,
                          int64_t columns, const void *data)
{
    hsize_t shape[2] = {(hsize_t)rows, (hsize_t)columns};
    hid_t space = H5Screate_simple(rank, shape, NULL);
    hid_t set = H5Dcreate2(where, name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    if (set < 0 || H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0)
        die("cannot write", name);
    H5Dclose(set);
    H5Sclose(space);
}

static void write_attribute(hid_t where, const char *name, hid_t type, const void *value)
{
    hid_t space = H5Screate(H5S_SCALAR);
    hid_t attribute = H5Acreate2(where, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    if (attribute < 0 || H5Awrite(attribute, type, value) < 0) die("cannot write attribute", name);
    H5Aclose(attribute);
    H5Sclose(space);
}

/* ---- section 2: assignment ------------------------------------------------------------------------------------ */

/* dist(x, c): 32 interleaved partial sums of squared differences, then a tree. */
FAST static double dist(const float *x, const float *c, int64_t d)
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

/* label[i] = the smallest k that minimises dist(x[i], c[k]); own[i] = that distance. */
static void assign(const matrix *x, const matrix *c, int32_t *label, double *own)
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

/* Cosine: x / sqrt(sum x^2), the sum in the order of dist(), rounded to float32. */
static void normalise(float *row, int64_t d, const char *what, int64_t index)
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

/* ---- exact numbers -------------------------------------------------------------------------------------------- */

/* A multiple of 2^UNIT in two's complement, the lowest word first. The products and sums of all that a float32 can hold lie
 * well inside: squares of differences times weights are multiples of 2^-447 below 2^386, and nobody has 2^200 of them. */
enum { WORDS = 20, UNIT = -640 };

typedef struct exact {
    uint64_t word[WORDS];
} exact;

static int is_negative(const exact *a)
{
    return a->word[WORDS - 1] >> 63 != 0;
}

static int is_zero(const exact *a)
{
    for (int i = 0; i < WORDS; i++) {
        if (a->word[i] != 0) return 0;
    }
    return 1;
}

/* to += value 2^(64 from), or -= */
static void add_word(exact *to, uint64_t value, int from, int subtract)
{
    for (int i = from; i < WORDS && value != 0; i++) {
        uint64_t old = to->word[i];
        to->word[i] = subtract ? old - value : old + value;
        value = subtract ? old < value : to->word[i] < old; /* the borrow or carry */
    }
}

/* to += sign value, sign = 1 or -1 */
static void add_double(exact *to, double value, int sign)
{
    int exponent = 0;
    int64_t mantissa = (int64_t)ldexp(frexp(value, &exponent), 53);
    int shift = exponent - 53 - UNIT; /* value = mantissa 2^(shift + UNIT) */
    if (mantissa == 0) return;
    while (shift < 0 && mantissa % 2 == 0) {
        mantissa /= 2;
        shift++;
    }
    if (shift < 0 || shift > 64 * (WORDS - 2)) die("out of range", "an exact sum");
    int subtract = (mantissa < 0) != (sign < 0), inside = shift % 64;
    uint64_t size = (uint64_t)(mantissa < 0 ? -mantissa : mantissa);
    add_word(to, size << inside, shift / 64, subtract);
    if (inside > 0) add_word(to, size >> (64 - inside), shift / 64 + 1, subtract);
}

static void subtract(exact *to, const exact *a)
{
    for (int i = 0; i < WORDS; i++) add_word(to, a->word[i], i, 1);
}

static exact size_of(const exact *a)
{
    exact size = {{0}};
    if (!is_negative(a)) return *a;
    subtract(&size, a);
    return size;
}

/* a 2^by, for a >= 0 and by >= 0 */
static exact shifted(const exact *a, int by)
{
    exact to = {{0}};
    for (int i = WORDS - 1; i >= 0; i--) {
        int from = i - by / 64;
        if (from >= 0) to.word[i] = a->word[from] << (by % 64);
        if (from >= 1 && by % 64 > 0) to.word[i] |= a->word[from - 1] >> (64 - by % 64);
    }
    return to;
}

/* The smallest integer e with a < 2^(e + UNIT), for a >= 0. */
static int bits_of(const exact *a)
{
    for (int i = WORDS - 1; i >= 0; i--) {
        int bits = 64;
        while (bits > 0 && a->word[i] >> (bits - 1) == 0) bits--;
        if (bits > 0) return 64 * i + bits;
    }
    return 0;
}

static int is_less(const exact *a, const exact *b)
{
    exact difference = *a;
    subtract(&difference, b);
    return is_negative(&difference);
}

/* a / b for a, b > 0, rounded once to `digits` bits and to a multiple of 2^lowest, ties to even. Long division. */
static double rounded_quotient(exact a, exact b, int digits, int lowest)
{
    int top = bits_of(&a) - bits_of(&b); /* 2^(top - 1) < a / b < 2^(top + 1) */
    exact scaled = top > 0 ? shifted(&b, top) : b, part = top < 0 ? shifted(&a, -top) : a;
    if (is_less(&part, &scaled)) top--; /* 2^top <= a / b */
    int last = top - digits + 1 > lowest ? top - digits + 1 : lowest;
    if (last > 0)
        b = shifted(&b, last);
    else
        a = shifted(&a, -last);
    uint64_t quotient = 0;
    for (int bit = digits; bit >= 0; bit--) {
        exact multiple = shifted(&b, bit);
        if (is_less(&a, &multiple)) continue;
        subtract(&a, &multiple);
        quotient += (uint64_t)1 << bit;
    }
    exact twice = shifted(&a, 1);
    int above = is_less(&b, &twice), below = is_less(&twice, &b);
    if (above || (!below && quotient % 2 == 1)) quotient++;
    return ldexp((double)quotient, last);
}

static double rounded_to_double(const exact *a)
{
    exact one = {{0}}, size = size_of(a);
    add_double(&one, 1, 1);
    if (is_zero(a)) return 0;
    double value = rounded_quotient(size, one, 53, UNIT);
    return is_negative(a) ? -value : value;
}

/* RN32(a / b), b > 0: zero is +0, and infinity what float32 does not reach. */
static float float32_quotient(const exact *a, const exact *b)
{
    exact size = size_of(a);
    if (is_zero(a)) return 0;
    if (bits_of(&size) - bits_of(b) > 200) return INFINITY;
    float value = (float)rounded_quotient(size, *b, 24, -149);
    return is_negative(a) && value != 0 ? -value : value;
}

/* ---- section 8: the permutation ------------------------------------------------------------------------------- */

/* u(what, index, round) of the key 0 */
static uint64_t draw(uint32_t what, uint64_t index, uint32_t round)
{
    philox4x32_ctr_t counter = {{what, (uint32_t)index, (uint32_t)(index >> 32), round}};
    philox4x32_key_t key = {{0, 0}};
    philox4x32_ctr_t random = philox4x32_R(10, counter, key);
    return (uint64_t)random.v[0] + ((uint64_t)random.v[1] << 32);
}

/* Row number pi(i) of n with the key 0: a Feistel network on 2h bits, walked until it is below n. */
static int64_t permuted(int64_t i, int64_t n)
{
    int h = 1;
    while (((int64_t)1 << 2 * h) < n) h++;
    uint64_t mask = ((uint64_t)1 << h) - 1, at = (uint64_t)i;
    do {
        uint64_t left = at >> h, right = at & mask;
        for (uint32_t round = 0; round < 8; round++) {
            uint64_t next = left ^ (draw(1, right, round) & mask);
            left = right;
            right = next;
        }
        at = left << h | right;
    } while (at >= (uint64_t)n);
    return (int64_t)at;
}

/* ---- section 3: digits ---------------------------------------------------------------------------------------- */

typedef struct grid {
    const float *weight; /* [n], NULL: every row counts 1 */
    int *last;           /* [d] X[i][j] 2^last is what an element becomes: M - bT */
    int weight_last;
} grid;

/* The smallest integer e with |value| < 2^e; 0 for 0. */
static int exponent_of(double value)
{
    int e = 0;
    if (value != 0) frexp(value, &e); /* value = m * 2^e with 1/2 <= |m| < 1 */
    return e;
}

/* The largest integer e such that value, not 0, is a multiple of 2^e. */
static int lowest_bit_of(double value)
{
    int e = 0;
    int64_t mantissa = (int64_t)ldexp(frexp(value, &e), 53);
    e -= 53;
    while (mantissa % 2 == 0) {
        mantissa /= 2;
        e++;
    }
    return e;
}

static int larger(int a, int b)
{
    return a > b ? a : b;
}

static int smaller(int a, int b)
{
    return a < b ? a : b;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* m of the numbers of a column; `lowest` is L. */
static int ordinary_exponent(const double *value, const int64_t *sample, int64_t count, int lowest)
{
    double *size = allocate(count, sizeof *size);
    int64_t found = 0;
    for (int64_t s = 0; s < count; s++) {
        double v = fabs(value[sample[s]]);
        if (v != 0) size[found++] = v;
    }
    qsort(size, (size_t)found, sizeof *size, compare_doubles);
    int m = found == 0 ? lowest + 24 : exponent_of(size[found < 4 ? 0 : 3]);
    free(size);
    return m;
}

/* M - bT of a column of the numbers `value`, [n]. */
static int last_of_column(const double *value, int64_t n, const int64_t *sample, int64_t count)
{
    int log2n = 0; /* ceil(log2 n) */
    while (((int64_t)1 << log2n) < n) log2n++;
    int b = smaller(30, 62 - log2n), any = 0, M = 0, L = 0;
    for (int64_t i = 0; i < n; i++) {
        if (value[i] == 0) continue;
        M = any ? larger(M, exponent_of(value[i])) : exponent_of(value[i]);
        L = any ? smaller(L, lowest_bit_of(value[i])) : lowest_bit_of(value[i]);
        any = 1;
    }
    int B = M - L;
    if (B > 2 * b) {
        int m = ordinary_exponent(value, sample, count, L);
        B = smaller(M - L, larger(2 * b, M - m + 24));
    }
    int T = larger(1, (B + b - 1) / b);
    return M - b * T;
}

/* x[i][j] or w[i] x[i][j], exactly */
static double number_at(const grid *g, const matrix *x, int64_t i, int64_t j)
{
    double value = (double)x->value[i * x->columns + j];
    return g->weight ? (double)g->weight[i] * value : value;
}

static grid make_grid(const matrix *x, const float *weight)
{
    int64_t n = x->rows, d = x->columns, count = n < 4096 ? n : 4096;
    grid g = {weight, allocate(d, sizeof(int)), 0};
    int64_t *sample = allocate(count, sizeof *sample);
    double *value = allocate(n, sizeof *value);
    for (int64_t s = 0; s < count; s++) sample[s] = permuted(s, n);
    for (int64_t j = 0; j < d; j++) {
        for (int64_t i = 0; i < n; i++) value[i] = number_at(&g, x, i, j);
        g.last[j] = last_of_column(value, n, sample, count);
    }
    if (weight) {
        for (int64_t i = 0; i < n; i++) value[i] = (double)weight[i];
        g.weight_last = last_of_column(value, n, sample, count);
    }
    free(value);
    free(sample);
    return g;
}

/* X 2^last: `value` cut to the digits of its column. A double still, since it has no more bits than before. */
static double digits_of(double value, int last)
{
    return ldexp(rint(ldexp(value, -last)), last); /* ties to even, the default rounding mode */
}

/* W 2^last of row i, 1 without weights */
static double weight_of(const grid *g, int64_t i)
{
    return g->weight ? digits_of((double)g->weight[i], g->weight_last) : 1;
}

/* ---- sections 3, 4 and 9: update -------------------------------------------------------------------------------- */

/* Of every cluster, as real numbers. */
typedef struct sums {
    exact *s; /* [k*d] */
    exact *n; /* [k] */
} sums;

/* Adds `sign` times row i to cluster k. */
static void add_row(sums *to, const grid *g, const matrix *x, int64_t i, int64_t k, int sign)
{
    for (int64_t j = 0; j < x->columns; j++)
        add_double(&to->s[k * x->columns + j], digits_of(number_at(g, x, i, j), g->last[j]), sign);
    add_double(&to->n[k], weight_of(g, i), sign);
}

static void accumulate(sums *to, const grid *g, const matrix *x, const int32_t *label, int64_t k)
{
    memset(to->s, 0, (size_t)(k * x->columns) * sizeof *to->s);
    memset(to->n, 0, (size_t)k * sizeof *to->n);
    for (int64_t i = 0; i < x->rows; i++) add_row(to, g, x, i, label[i], 1);
}

/* The m empty clusters, in increasing k, take the m rows farthest from their own centroids (ties: the lowest row). Rows
 * without weight are not taken; an empty cluster that finds no row stays empty. */
static void relocate(sums *of, const grid *g, const matrix *x, const int32_t *label,
                     const double *own, int64_t k)
{
    char *taken = allocate(x->rows, 1), *empty = allocate(k, 1);
    for (int64_t c = 0; c < k; c++) empty[c] = (char)is_zero(&of->n[c]);
    for (int64_t c = 0; c < k; c++) {
        if (!empty[c]) continue;
        int64_t farthest = -1;
        for (int64_t i = 0; i < x->rows; i++) {
            if (taken[i] || weight_of(g, i) == 0) continue;
            if (farthest < 0 || own[i] > own[farthest]) farthest = i;
        }
        if (farthest < 0) break;
        taken[farthest] = 1;
        add_row(of, g, x, farthest, label[farthest], -1);
        memset(of->s + c * x->columns, 0, (size_t)x->columns * sizeof *of->s);
        add_row(of, g, x, farthest, c, 1);
    }
    free(taken);
    free(empty);
}

/* Section 4. An empty cluster keeps its centroid, and so does one whose mean is out of range or, with cosine, zero. */
static void move_centroids(matrix *c, const sums *of, int cosine)
{
    int64_t d = c->columns;
    float *mean = allocate(d, sizeof *mean);
    for (int64_t k = 0; k < c->rows; k++) {
        if (is_zero(&of->n[k])) continue;
        int usable = 1, zero = 1;
        for (int64_t j = 0; j < d; j++) {
            mean[j] = float32_quotient(&of->s[k * d + j], &of->n[k]);
            usable = usable && isfinite(mean[j]);
            zero = zero && mean[j] == 0;
        }
        if (!usable || (cosine && zero)) continue;
        if (cosine) normalise(mean, d, "centroid", k);
        memcpy(c->value + k * d, mean, (size_t)d * sizeof *mean);
    }
    free(mean);
}

/* ---- section 5: inertia --------------------------------------------------------------------------------------- */

/* The sum of w dist, each product rounded to double, exact and rounded once. */
static double inertia_of(const grid *g, const double *own, int64_t n)
{
    exact total = {{0}};
    for (int64_t i = 0; i < n; i++)
        add_double(&total, g->weight ? (double)g->weight[i] * own[i] : own[i], 1);
    return rounded_to_double(&total);
}

/* ---- the two commands ----------------------------------------------------------------------------------------- */

typedef struct options {
    const char *data, *model, *labels, *weights, *output, *empty;
    int64_t k, iters;
    double tol;
    int cosine, scale_init;
} options;

static matrix read_data(const options *o)
{
    matrix x = read_input(o->data);
    for (int64_t i = 0; o->cosine && i < x.rows; i++)
        normalise(x.value + i * x.columns, x.columns, "row", i);
    return x;
}

static int compare_labels(const options *o)
{
    matrix x = read_data(o), c = read_matrix(o->model, "/centroids");
    if (x.columns != c.columns) die("the centroids have another dimension than", o->data);
    int32_t *label = allocate(x.rows, sizeof *label);
    double *own = allocate(x.rows, sizeof *own);
    assign(&x, &c, label, own);

    const char *file = o->labels ? o->labels : o->model;
    int64_t rows, one, wrong = 0, wrong_counts = 0, wrong_distances = 0;
    int32_t *theirs = read_dataset(file, "/labels", H5T_NATIVE_INT32, &rows, &one);
    if (rows != x.rows) die("another number of labels than rows in", file);
    for (int64_t i = 0; i < x.rows; i++) {
        if (theirs[i] == label[i]) continue;
        int known = theirs[i] >= 0 && theirs[i] < c.rows;
        double other =
            known ? dist(x.value + i * x.columns, c.value + theirs[i] * c.columns, c.columns) : NAN;
        if (wrong++ < 5) {
            printf("row %lld: label %d at %.17g, right is %d at %.17g\n", (long long)i, theirs[i],
                   other, label[i], own[i]);
        }
    }
    if (!o->labels) {
        int64_t *count = allocate(c.rows, sizeof *count);
        for (int64_t i = 0; i < x.rows; i++) count[label[i]]++;
        int64_t *counts = read_dataset(file, "/counts", H5T_NATIVE_INT64, &rows, &one);
        if (rows != c.rows) die("another number of counts than centroids in", file);
        for (int64_t k = 0; k < c.rows; k++) wrong_counts += counts[k] != count[k];
        free(counts);
        free(count);
    } else if (exists(file, "/distances")) {
        float *distances = read_dataset(file, "/distances", H5T_NATIVE_FLOAT, &rows, &one);
        if (rows != x.rows) die("another number of distances than rows in", file);
        for (int64_t i = 0; i < x.rows; i++) {
            if (distances[i] == (float)own[i]) continue;
            if (wrong_distances++ < 5)
                printf("row %lld: distance %.9g, right is %.9g\n", (long long)i,
                       (double)distances[i], own[i]);
        }
        free(distances);
    }
    printf("%lld of %lld labels differ, %lld counts, %lld distances\n", (long long)wrong,
           (long long)x.rows, (long long)wrong_counts, (long long)wrong_distances);
    free(theirs);
    free(own);
    free(label);
    free(c.value);
    free(x.value);
    return wrong || wrong_counts || wrong_distances;
}

/* What a fit leaves behind, beside the centroids. */
typedef struct outcome {
    int64_t passes;
    int converged;
    int32_t *label;  /* [n] */
    double *own;     /* [n] */
    int64_t *moved;  /* [passes] */
    double *inertia; /* [passes] */
    double final;    /* inertia of the labels of the returned centroids */
} outcome;

/* Section 7: at most `iters` passes of assign, stop or update; then the labels of the returned centroids. */
static void iterate(const options *o, const matrix *x, const grid *g, matrix *c, outcome *out)
{
    int64_t n = x->rows;
    sums of = {allocate(c->rows * c->columns, sizeof *of.s), allocate(c->rows, sizeof *of.n)};
    int32_t *before = allocate(n, sizeof *before);
    for (int64_t i = 0; i < n; i++) before[i] = -1;
    while (out->passes < o->iters && !out->converged) {
        int64_t t = out->passes++;
        assign(x, c, out->label, out->own);
        for (int64_t i = 0; i < n; i++) out->moved[t] += out->label[i] != before[i];
        memcpy(before, out->label, (size_t)n * sizeof *before);
        accumulate(&of, g, x, out->label, c->rows);
        out->inertia[t] = inertia_of(g, out->own, n);
        int slow = t > 0 && o->tol > 0 &&
                   out->inertia[t - 1] - out->inertia[t] < o->tol * out->inertia[t - 1];
        out->converged = out->moved[t] == 0 || slow;
        if (out->converged) break;
        if (strcmp(o->empty, "relocate") == 0) relocate(&of, g, x, out->label, out->own, c->rows);
        move_centroids(c, &of, o->cosine);
    }
    if (!out->converged) assign(x, c, out->label, out->own);
    out->final = inertia_of(g, out->own, n);
    free(before);
    free(of.n);
    free(of.s);
}

static void write_outcome(const options *o, const matrix *x, const matrix *c, const outcome *out)
{
    int64_t *count = allocate(c->rows, sizeof *count);
    for (int64_t i = 0; i < x->rows; i++) count[out->label[i]]++;
    hid_t f = H5Fcreate(o->output, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    if (f < 0) die("cannot create", o->output);
    hid_t history = H5Gcreate2(f, "/history", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    write_dataset(f, "/centroids", H5T_NATIVE_FLOAT, 2, c->rows, c->columns, c->value);
    write_dataset(f, "/counts", H5T_NATIVE_INT64, 1, c->rows, 1, count);
    write_dataset(f, "/labels", H5T_NATIVE_INT32, 1, x->rows, 1, out->label);
    write_dataset(history, "moved", H5T_NATIVE_INT64, 1, out->passes, 1, out->moved);
    write_dataset(history, "inertia", H5T_NATIVE_DOUBLE, 1, out->passes, 1, out->inertia);
    write_attribute(f, "inertia", H5T_NATIVE_DOUBLE, &out->final);
    write_attribute(f, "iterations", H5T_NATIVE_INT64, &out->passes);
    write_attribute(f, "converged", H5T_NATIVE_INT, &out->converged);
    H5Gclose(history);
    H5Fclose(f);
    free(count);
}

static int fit(const options *o)
{
    matrix x = read_data(o), c = read_matrix(o->model, "/centroids");
    if (x.columns != c.columns || c.rows < o->k) die("the initial centroids do not fit", o->model);
    c.rows = o->k;
    for (int64_t k = 0; o->scale_init && k < c.rows; k++)
        normalise(c.value + k * c.columns, c.columns, "centroid", k);
    float *weight = NULL;
    if (o->weights) {
        char file[4096];
        snprintf(file, sizeof file, "%s", o->data);
        char *colon = strrchr(file, ':');
        if (colon) *colon = '\0';
        matrix w = read_matrix(file, o->weights);
        if (w.rows != x.rows) die("another number of weights than rows in", file);
        weight = w.value;
    }
    grid g = make_grid(&x, weight);
    outcome out = {0};
    out.label = allocate(x.rows, sizeof *out.label);
    out.own = allocate(x.rows, sizeof *out.own);
    out.moved = allocate(o->iters, sizeof *out.moved);
    out.inertia = allocate(o->iters, sizeof *out.inertia);
    iterate(o, &x, &g, &c, &out);
    write_outcome(o, &x, &c, &out);
    free(out.inertia);
    free(out.moved);
    free(out.own);
    free(out.label);
    free(g.last);
    free(weight);
    free(c.value);
    free(x.value);
    return 0;
}

int main(int argc, char **argv)
{
    options o = {.empty = "relocate"};
    int fitting = argc > 1 && strcmp(argv[1], "fit") == 0;
    if (argc < 3 || (!fitting && strcmp(argv[1], "labels") != 0))
        die("usage", "see the top of reference.c");
    o.data = argv[2];
    for (int a = 3; a < argc; a++) {
        const char *value = a + 1 < argc ? argv[a + 1] : "";
        if (strcmp(argv[a], "--cosine") == 0) {
            o.cosine = 1;
            continue;
        }
        if (strcmp(argv[a], "--scale-init") == 0) {
            o.scale_init = 1;
            continue;
        }
        if (!fitting && a == 3) {
            o.model = argv[a];
            continue;
        }
        if (strcmp(argv[a], "--labels") == 0)
            o.labels = value;
        else if (strcmp(argv[a], "--init") == 0)
            o.model = value;
        else if (strcmp(argv[a], "--weights") == 0)
            o.weights = value;
        else if (strcmp(argv[a], "--empty") == 0)
            o.empty = value;
        else if (strcmp(argv[a], "--output") == 0)
            o.output = value;
        else if (strcmp(argv[a], "-k") == 0)
            o.k = strtoll(value, NULL, 10);
        else if (strcmp(argv[a], "--iters") == 0)
            o.iters = strtoll(value, NULL, 10);
        else if (strcmp(argv[a], "--tol") == 0)
            o.tol = strtod(value, NULL);
        else
            die("unknown option", argv[a]);
        a++;
    }
    if (!o.model || (fitting && (!o.output || o.k < 1 || o.iters < 0)))
        die("missing option", argv[1]);
    return fitting ? fit(&o) : compare_labels(&o);
}
