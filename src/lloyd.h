/* lloyd: exact k-means over MPI ranks. The public C API; the command line is a thin layer over it.
 *
 * Every function returns lloyd_status (base/status.h); lloyd_message() then holds one sentence for
 * a person. With several ranks all functions are collective: all ranks call them with the same
 * options, all get the same status, and one of them has the message.
 */
#ifndef LLOYD_H
#define LLOYD_H

#include "base/status.h"

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LLOYD_VERSION "0.1.0"

/* The ranks that work together. */
typedef struct lloyd_comm lloyd_comm;

/* A communicator of this process alone, or of all ranks of MPI_COMM_WORLD (which initialises MPI
 * where nobody has, and then finalises it in lloyd_comm_close()). */
LLOYD_API lloyd_status lloyd_comm_open_self(lloyd_comm **comm);
LLOYD_API lloyd_status lloyd_comm_open_world(lloyd_comm **comm);
LLOYD_API int lloyd_comm_rank(const lloyd_comm *comm);
LLOYD_API int lloyd_comm_size(const lloyd_comm *comm);
/* Ends all ranks at once; for a failure the other ranks cannot know of. */
LLOYD_API void lloyd_comm_abort(lloyd_comm *comm, lloyd_status status);
LLOYD_API void lloyd_comm_close(lloyd_comm *comm);

/* The options of `lloyd fit`; lloyd_fit_defaults() fills in the defaults. Strings are borrowed. */
typedef struct lloyd_fit_options {
    const char *const *inputs; /* FILE[:DATASET], globs allowed */
    int input_count;
    int64_t k;
    const char *output; /* model file */
    const char *init;   /* "random", "kmeans++", "kmeans-parallel" or a model file */
    uint64_t seed;
    int64_t n_init;
    int64_t max_iters;
    double tol;
    const char *metric;  /* "l2" or "cosine" */
    const char *weights; /* dataset with one weight per row, or NULL */
    const char *empty;   /* "relocate" or "keep" */
    const char *backend; /* "auto", "cuda" or "cpu" */
    const char *comm;    /* "auto", "nccl" or "mpi" */
    int64_t chunk_rows; /* > 0: rows are streamed from the files in chunks of that many; 0: resident
                           where they fit */
    int no_labels;      /* 1: no /labels in the model */
    const char *log;    /* JSON lines, or NULL */
    const char *progress; /* "auto", "bar", "plain" or "none" */
    int dry_run;          /* 1: print the plan, read no data, write nothing */
    const char *command;  /* recorded in the model, or NULL */
} lloyd_fit_options;

#define LLOYD_CURVE_POINTS 32
#define LLOYD_SIZE_BINS 8

/* What a fit has done. */
typedef struct lloyd_fit_result {
    int64_t n, d, k, iterations, empty_clusters;
    int64_t smallest, median, largest;  /* cluster sizes */
    int64_t size_bins[LLOYD_SIZE_BINS]; /* clusters of size < 1/8, < 1/4, < 1/2, < 1, < 2, < 4, < 8,
                                         * >= 8 times n/k; not the empty ones */
    double first_inertia, inertia, seconds;
    double iteration_seconds;         /* mean */
    double curve[LLOYD_CURVE_POINTS]; /* inertia of curve_points iterations, evenly from the first
                                         to the last */
    int curve_points;
    int converged;
    int files;        /* input files */
    const char *type; /* of the elements, "uint8"; a constant */
} lloyd_fit_result;

LLOYD_API void lloyd_fit_defaults(lloyd_fit_options *options);

/* Clusters the inputs and writes the model. `result` may be NULL. Method: Lloyd 1982 with the
 * assignment and update of "Flash-KMeans: Fast and Memory-Efficient Exact K-Means" (arXiv
 * 2603.09229) under the contract of docs/numerics.md. */
LLOYD_API lloyd_status lloyd_fit(lloyd_comm *comm, const lloyd_fit_options *options,
                                 lloyd_fit_result *result);

/* The options of `lloyd predict`. */
typedef struct lloyd_predict_options {
    const char *model;
    const char *const *inputs;
    int input_count;
    const char *output;  /* labels file */
    int distances;       /* 1: also /distances, squared */
    const char *backend; /* as for fit */
    int64_t chunk_rows;
} lloyd_predict_options;

LLOYD_API void lloyd_predict_defaults(lloyd_predict_options *options);

/* Labels the inputs with a model's centroids and writes them. */
LLOYD_API lloyd_status lloyd_predict(lloyd_comm *comm, const lloyd_predict_options *options);

/* Prints a dataset's or a model's shape, type, statistics or history to stdout (rank 0 only). */
LLOYD_API lloyd_status lloyd_info(lloyd_comm *comm, const char *file);

/* The options of `lloyd synth`: a Gaussian mixture, the same bytes for any number of ranks. */
typedef struct lloyd_synth_options {
    int64_t rows, dim, clusters;
    const char *type; /* "float32", "float16", "bfloat16", "uint8" or "int8" */
    uint64_t seed;
    const char *output;
} lloyd_synth_options;

LLOYD_API lloyd_status lloyd_synth(lloyd_comm *comm, const lloyd_synth_options *options);

/* Makes an HDF5 file whose dataset /train points into a .fbin, .u8bin, .i8bin or .npy file, without
 * a copy. */
LLOYD_API lloyd_status lloyd_wrap_file(lloyd_comm *comm, const char *raw, const char *output);

#ifdef __cplusplus
}
#endif
#endif
