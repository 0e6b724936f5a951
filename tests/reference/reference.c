/* The reference: the numerical contract (docs/numerics.md) by brute force, written from that page alone.
 *
 * It shares no line with the library, and does everything the slow and obvious way: every distance in double precision,
 * every row against every centroid, all data in memory, one process. Whatever it computes, `lloyd` must equal to the bit.
 * The one exception is the inertia, whose order of summation the contract leaves open: it is computed here in extended
 * precision from the same exact integers, and compared with a tolerance by whoever reads both.
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

__extension__ typedef __int128 wide;

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

/* ---- section 3: fixed point ----------------------------------------------------------------------------------- */

typedef struct grid {
    int b;
    float *shift;  /* [d] s[j] */
    int *exponent; /* [d] e[j] */
    int weight_exponent;
    const float *weight; /* [n], NULL: every row counts 1 */
} grid;

/* The smallest integer e with |value| < 2^e; 0 for 0. */
static int exponent_of(double value)
{
    int e = 0;
    if (value != 0) frexp(value, &e); /* value = m * 2^e with 1/2 <= |m| < 1 */
    return e;
}

static grid make_grid(const matrix *x, const float *weight)
{
    int64_t n = x->rows, d = x->columns;
    grid g = {0, allocate(d, sizeof(float)), allocate(d, sizeof(int)), 0, weight};
    int log2n = 0; /* ceil(log2 n) */
    while (((int64_t)1 << log2n) < n) log2n++;
    g.b = 62 - log2n < 30 ? 62 - log2n : 30;
    for (int64_t j = 0; j < d; j++) {
        float low = x->value[j], high = x->value[j];
        for (int64_t i = 1; i < n; i++) {
            float v = x->value[i * d + j];
            if (v < low) low = v;
            if (v > high) high = v;
        }
        g.shift[j] = low / 2 + high / 2;
        double largest =
            0; /* over all rows; the page takes it from min and max, which is the same */
        for (int64_t i = 0; i < n; i++) {
            float y = x->value[i * d + j] - g.shift[j];
            double v = fabs(weight ? (double)weight[i] * (double)y : (double)y);
            if (v > largest) largest = v;
        }
        g.exponent[j] = exponent_of(largest);
    }
    float heaviest = 0;
    for (int64_t i = 0; weight && i < n; i++)
        heaviest = weight[i] > heaviest ? weight[i] : heaviest;
    g.weight_exponent = exponent_of((double)heaviest);
    return g;
}

/* q[i][j] */
static int64_t fixed(const grid *g, const matrix *x, int64_t i, int64_t j)
{
    float y = x->value[i * x->columns + j] - g->shift[j];
    double v = g->weight ? (double)g->weight[i] * (double)y : (double)y;
    return llrint(ldexp(v, g->b - g->exponent[j])); /* ties to even, the default rounding mode */
}

/* What row i adds to n[k]. */
static int64_t fixed_weight(const grid *g, int64_t i)
{
    return g->weight ? llrint(ldexp((double)g->weight[i], g->b - g->weight_exponent)) : 1;
}

/* ---- sections 3, 4 and 9: update -------------------------------------------------------------------------------- */

typedef struct sums {
    int64_t *s; /* [k*d] */
    int64_t *n; /* [k], in fixed point where there are weights */
} sums;

/* Adds `sign` times row i to cluster k. */
static void add_row(sums *to, const grid *g, const matrix *x, int64_t i, int64_t k, int sign)
{
    for (int64_t j = 0; j < x->columns; j++) to->s[k * x->columns + j] += sign * fixed(g, x, i, j);
    to->n[k] += sign * fixed_weight(g, i);
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
    for (int64_t c = 0; c < k; c++) empty[c] = of->n[c] == 0;
    for (int64_t c = 0; c < k; c++) {
        if (!empty[c]) continue;
        int64_t farthest = -1;
        for (int64_t i = 0; i < x->rows; i++) {
            if (taken[i] || fixed_weight(g, i) == 0) continue;
            if (farthest < 0 || own[i] > own[farthest]) farthest = i;
        }
        if (farthest < 0) break;
        taken[farthest] = 1;
        add_row(of, g, x, farthest, label[farthest], -1);
        for (int64_t j = 0; j < x->columns; j++) of->s[c * x->columns + j] = 0;
        add_row(of, g, x, farthest, c, 1);
    }
    free(taken);
    free(empty);
}

/* Section 4; an empty cluster keeps its centroid. */
static void move_centroids(matrix *c, const sums *of, const grid *g, int cosine)
{
    int64_t d = c->columns;
    for (int64_t k = 0; k < c->rows; k++) {
        if (of->n[k] == 0) continue;
        for (int64_t j = 0; j < d; j++) {
            int scale = (g->exponent[j] - g->b) - (g->weight ? g->weight_exponent - g->b : 0);
            double mean = (double)of->s[k * d + j] / (double)of->n[k];
            c->value[k * d + j] = (float)(ldexp(mean, scale) + (double)g->shift[j]);
        }
        if (cosine) normalise(c->value + k * d, d, "centroid", k);
    }
}

/* ---- section 5: inertia --------------------------------------------------------------------------------------- */

/* Without weights from the integers, as the page says, but in extended precision. With weights the page does not say what
 * Q is, so it is the weighted sum of distances itself. *scale = the sum of the squares of all rows and their centroids, both
 * from the middle of the columns: rounding errors are relative to that. */
static long double inertia_of(const matrix *x, const matrix *c, const sums *of, const grid *g,
                              const int32_t *label, const double *own, long double *scale)
{
    int64_t d = x->columns;
    long double total = 0;
    *scale = 0;
    if (g->weight) {
        for (int64_t i = 0; i < x->rows; i++) {
            long double w = (long double)g->weight[i];
            const float *row = x->value + i * d, *centroid = c->value + label[i] * d;
            total += w * (long double)own[i];
            *scale += w * (long double)(dist(row, g->shift, d) + dist(centroid, g->shift, d));
        }
        return total;
    }
    for (int64_t j = 0; j < d; j++) {
        wide squares = 0;
        for (int64_t i = 0; i < x->rows; i++) {
            int64_t q = fixed(g, x, i, j);
            squares += (wide)(q * q);
        }
        total += ldexpl((long double)squares, 2 * (g->exponent[j] - g->b));
    }
    *scale = total;
    for (int64_t k = 0; k < c->rows; k++) {
        for (int64_t j = 0; j < d; j++) {
            long double offset = (long double)((double)c->value[k * d + j] - (double)g->shift[j]);
            long double sum = ldexpl((long double)of->s[k * d + j], g->exponent[j] - g->b);
            total += offset * (offset * (long double)of->n[k] - 2 * sum);
            *scale += offset * offset * (long double)of->n[k];
        }
    }
    return total;
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
    double *scale;   /* [passes] */
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
        long double scale;
        out->inertia[t] = (double)inertia_of(x, c, &of, g, out->label, out->own, &scale);
        out->scale[t] = (double)scale;
        int slow = t > 0 && o->tol > 0 &&
                   out->inertia[t - 1] - out->inertia[t] < o->tol * out->inertia[t - 1];
        out->converged = out->moved[t] == 0 || slow;
        if (out->converged) break;
        if (strcmp(o->empty, "relocate") == 0) relocate(&of, g, x, out->label, out->own, c->rows);
        move_centroids(c, &of, g, o->cosine);
    }
    if (!out->converged) assign(x, c, out->label, out->own);
    free(before);
    free(of.n);
    free(of.s);
}

static void write_outcome(const options *o, const matrix *x, const matrix *c, const float *weight,
                          const outcome *out)
{
    int64_t *count = allocate(c->rows, sizeof *count);
    long double total = 0;
    for (int64_t i = 0; i < x->rows; i++) {
        count[out->label[i]]++;
        total += (weight ? (long double)weight[i] : 1.0L) * (long double)out->own[i];
    }
    double inertia = (double)total;
    hid_t f = H5Fcreate(o->output, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    if (f < 0) die("cannot create", o->output);
    hid_t history = H5Gcreate2(f, "/history", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    write_dataset(f, "/centroids", H5T_NATIVE_FLOAT, 2, c->rows, c->columns, c->value);
    write_dataset(f, "/counts", H5T_NATIVE_INT64, 1, c->rows, 1, count);
    write_dataset(f, "/labels", H5T_NATIVE_INT32, 1, x->rows, 1, out->label);
    write_dataset(history, "moved", H5T_NATIVE_INT64, 1, out->passes, 1, out->moved);
    write_dataset(history, "inertia", H5T_NATIVE_DOUBLE, 1, out->passes, 1, out->inertia);
    write_dataset(history, "scale", H5T_NATIVE_DOUBLE, 1, out->passes, 1, out->scale);
    write_attribute(f, "inertia", H5T_NATIVE_DOUBLE, &inertia);
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
    out.scale = allocate(o->iters, sizeof *out.scale);
    iterate(o, &x, &g, &c, &out);
    write_outcome(o, &x, &c, weight, &out);
    free(out.scale);
    free(out.inertia);
    free(out.moved);
    free(out.own);
    free(out.label);
    free(g.exponent);
    free(g.shift);
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
