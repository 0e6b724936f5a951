/* The reference: the numerical contract (docs/numerics.md) by brute force, written from that page alone.
 *
 * It shares no line with the library, and does everything the slow and obvious way: every distance in double precision,
 * every row against every centroid, every sum an exact one of 1,280 bits, all data in memory, one process. Whatever it
 * computes, `lloyd` must equal bit for bit. The one exception is the history of the inertia, of which the contract says only
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
#include "assign.h"
#include "files.h"
#include "update.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* What a fit leaves behind, besides the centroids. */
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
