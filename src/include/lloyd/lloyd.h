/* lloyd: exact k-means over MPI ranks. The public C API; the command line is a thin layer over it.
 *
 * Functions that can fail return lloyd_status (status.h); lloyd_message() then holds one
 * sentence for a person. Those that take a communicator and options or a file are collective: all
 * ranks call them with the same options, all get the same status, and one of them has the message.
 * Ranks whose options differ (but for memory limits, chunk_rows, filter, prune, timeout and progress) get
 * LLOYD_USAGE, ranks that see different files LLOYD_BAD_INPUT.
 */
#ifndef LLOYD_H
#define LLOYD_H

#include "status.h"

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LLOYD_VERSION "0.2.0"

/* LLOYD_VERSION of the library, for programs that load it at run time. */
LLOYD_API const char *lloyd_version(void);

/* The ranks that work together. */
typedef struct lloyd_comm lloyd_comm;

/* A communicator of this process alone, or of all ranks of MPI_COMM_WORLD (which initialises MPI
 * where nobody has, and then finalises it in lloyd_comm_close(); a failure after that start is printed
 * on standard error, since MPI ends with it). One over the caller's own MPI communicator:
 * lloyd_mpi.h. */
LLOYD_API lloyd_status lloyd_comm_open_self(lloyd_comm **comm);
LLOYD_API lloyd_status lloyd_comm_open_world(lloyd_comm **comm);
LLOYD_API int lloyd_comm_rank(const lloyd_comm *comm);
LLOYD_API int lloyd_comm_size(const lloyd_comm *comm);
/* Ends all ranks at once; for a failure the other ranks cannot know of. */
LLOYD_API void lloyd_comm_abort(lloyd_comm *comm, lloyd_status status);
/* After a failure of MPI or NCCL itself, prints the message and ends all ranks. */
LLOYD_API void lloyd_comm_close(lloyd_comm *comm);

/* Asks the fit (or prediction, or split) that this process runs, or runs next, to end soon with
 * LLOYD_STOPPED, on all ranks; with a checkpoint it can be resumed. One that is writing its results
 * already finishes. `signal`: why, for the message; 0 withdraws the request. For signal handlers, which
 * the library leaves to the program (SIGXFSZ too: where it is ignored, a file that may not grow is an
 * error). */
LLOYD_API void lloyd_stop(int signal);

/* An iteration that is done. */
typedef struct lloyd_iteration_info {
    int64_t restart;   /* 0, 1, ... of n_init */
    int64_t iteration; /* 1, 2, ... of this restart */
    double inertia;    /* of the labels found in it */
    int64_t moved;     /* rows whose label changed, over all ranks */
    int64_t empty;     /* empty clusters */
    double seconds;
} lloyd_iteration_info;

/* Watches a fit: called on its rank after every iteration, by the thread that called lloyd_fit() or
 * lloyd_fit_rows(). `watcher` is that of the options. Not 0: the fit ends with this iteration as if
 * max_iters and n_init allowed no more, and gives all its results; one rank is enough. It may call
 * lloyd_stop(), but no other function of lloyd. */
typedef int (*lloyd_watch)(void *watcher, const lloyd_iteration_info *iteration);

/* The options of `lloyd fit`; lloyd_fit_defaults() fills in the defaults. Strings are borrowed. */
typedef struct lloyd_fit_options {
    const char *const *inputs; /* FILE[:DATASET], globs allowed; formats: docs/formats.md */
    int input_count;
    const char *dataset; /* of all inputs, which are FILE then; NULL: as they say */
    const char
        *raw;    /* "float32", ...: the inputs are arrays without a header; NULL: they have one */
    int64_t dim; /* columns of such inputs; else 0 */
    int skip_bad_rows; /* 1: rows with NaN or infinity (cosine: of zeros too) get the label -1 */
    const char *rows;  /* FILE[:DATASET] with the numbers of the rows to fit; NULL: all rows */
    int64_t sample;    /* > 0: so many rows, drawn at random, instead */
    int64_t sample_per_centroid; /* > 0: or so many times k */
    const char
        *label; /* with these: "all" rows of the inputs, or those of the "sample"; NULL: all */
    int64_t k;
    const char *output;  /* model file */
    const char *init;    /* "random", "kmeans++", "kmeans-parallel" or a model file */
    int64_t init_trials; /* rows that are tried for every initial centroid; 0: the usual number */
    int64_t
        init_sample; /* rows that "kmeans++" and "kmeans-parallel" look at; 0: the usual number */
    uint64_t seed;
    int64_t n_init;
    int64_t max_iters;
    double tol;
    double max_size; /* >= 1: no cluster gets more than that many times n / k rows; 0: no limit */
    const char *metric;  /* "l2" or "cosine" */
    const char *weights; /* dataset with one weight per row, or NULL */
    const char *empty;   /* "relocate" or "keep" */
    const char *backend; /* "auto", "cuda" or "cpu" */
    const char *filter; /* "auto", "int8" or "float16" (on CPUs: float32); the result is the same */
    const char *prune;  /* "auto", "on" or "off"; the result is the same */
    const char *comm;   /* "auto", "nccl" or "mpi" */
    int64_t chunk_rows; /* > 0: rows are streamed from the files in chunks of that many; 0: resident
                           where they fit */
    int64_t max_host_memory;   /* bytes that a rank may take on the host; 0: what there is */
    int64_t max_device_memory; /* the same, of its GPU */
    int no_labels;             /* 1: no /labels in the model */
    int distances;             /* 1: also /distances of the rows to their centroids, squared */
    int members; /* 1: also /members and /offsets: the rows of each cluster, nearest first */
    int force;   /* 1: `output` may replace a file that lloyd has not written */
    const char *checkpoint;       /* file, or NULL: none is written */
    const char *checkpoint_every; /* "5" (iterations), "90s", "10m" or "1h"; NULL: "10m" */
    int resume;                   /* 1: continues from the checkpoint if it exists */
    const char *log;              /* JSON lines, or NULL */
    const char *progress;         /* "auto", "bar", "plain" or "none" */
    int dry_run;                  /* 1: print the plan, read no data, write nothing */
    double timeout;               /* seconds that a rank waits for others before all end; 1800 */
    const char *command;          /* recorded in the model, or NULL */
    lloyd_watch watch;            /* of this rank, or NULL */
    void *watcher;
} lloyd_fit_options;

#define LLOYD_CURVE_POINTS 32
#define LLOYD_SIZE_BINS 8

/* What a fit has done. */
typedef struct lloyd_fit_result {
    int64_t n, d, k, iterations, empty_clusters;
    int64_t stored;  /* rows of the inputs: more than n where a subset was fitted */
    int64_t skipped; /* bad rows, which are not among the n */
    int64_t smallest, median, largest;  /* cluster sizes */
    int64_t size_bins[LLOYD_SIZE_BINS]; /* clusters of size < 1/8, < 1/4, < 1/2, < 1, < 2, < 4, < 8,
                                         * >= 8 times n/k; not the empty ones */
    double first_inertia, inertia, seconds;
    double iteration_seconds;         /* mean of the iterations that this call did */
    double curve[LLOYD_CURVE_POINTS]; /* inertia of curve_points iterations, evenly from the first
                                         to the last */
    int curve_points;
    int converged;
    int files;        /* input files; 0: rows in memory */
    const char *type; /* of the elements, "uint8"; a constant */
    int resumed;      /* 1: continued from a checkpoint; `seconds` are those of this call */
    int64_t resumed_iterations; /* of `iterations`, those done before this call */
    double resumed_seconds;     /* in these iterations */
    int64_t distinct_rows;      /* where the result shows that they are fewer than k; else 0 */
    /* with max_size; else 0 */
    int64_t largest_allowed; /* rows of a cluster */
    int64_t moved_rows;      /* that are not in the cluster of the nearest centroid */
    double inertia_before;   /* `inertia` with all rows in the clusters of the nearest centroids */
} lloyd_fit_result;

LLOYD_API void lloyd_fit_defaults(lloyd_fit_options *options);

/* Clusters the inputs and writes the model. `result` may be NULL. Method: Lloyd 1982 with the
 * assignment and update of "Flash-KMeans: Fast and Memory-Efficient Exact K-Means" (arXiv
 * 2603.09229) under the contract of docs/numerics.md. */
LLOYD_API lloyd_status lloyd_fit(lloyd_comm *comm, const lloyd_fit_options *options,
                                 lloyd_fit_result *result);

/* The rows of this rank, as the caller has them. They are not changed, and not copied but to memory
 * of lloyd's own on the GPU, except for float64, which needs half its memory again. */
typedef struct lloyd_local_rows {
    const void *data; /* [count x dim], one row after the other */
    int64_t count;    /* of this rank; 0 is allowed, on some ranks */
    int64_t dim;      /* columns, the same on all ranks */
    const char *type; /* of the elements, the same on all ranks: "float32", "float16", "bfloat16",
                             "uint8", "int8", or "float64", which is rounded to float32 */
    const float *weights; /* [count], on all ranks with rows or on none (NULL); in host memory */
    int on_gpu; /* 1: `data` is in memory of a GPU, and the work that fills it is done. Not float64;
                   the backend is "cuda" then */
} lloyd_local_rows;

/* What lloyd_fit_rows() gives, in memory of the caller. Every array may be NULL, on any rank. */
typedef struct lloyd_local_result {
    float *centroids; /* [k x dim], the same on all ranks */
    int64_t *counts;  /* [k] rows per cluster, of all ranks; the same on all */
    int32_t *labels;  /* [rows->count] of this rank's rows */
    /* [max_iters] each, of which the first result->iterations are set; the same on all ranks but for
     * the seconds */
    double *inertia; /* of the labels found in this iteration */
    int64_t *moved;  /* rows whose label changed */
    double *seconds;
    int on_gpu; /* 1: `centroids` and `labels` are in memory of a GPU; all else never is. The backend
                   is "cuda" then */
} lloyd_local_result;

/* As lloyd_fit(), over rows in memory: those of all ranks, in the order of the ranks, are one
 * dataset, and the results are bit-identical with those of lloyd_fit() over a file with these rows,
 * however they are spread.
 *
 * `first`: [k x dim] centroids to begin with, of rank 0 (ignored on others); NULL there: those that
 * options->init says. They are finite, and may lie in out->centroids, and options->n_init is 1
 * (LLOYD_USAGE: all runs would be the same). For "cosine" they are scaled to length 1, which may
 * change the last bit of those that have it.
 *
 * Of the options, those about files stay as lloyd_fit_defaults() sets them (else LLOYD_USAGE):
 * inputs, dataset, skip_bad_rows, output, weights, checkpoint, checkpoint_every, resume, dry_run,
 * no_labels, distances, members, force, chunk_rows.
 * With GPUs, the rows of a rank must fit the memory of its GPU. With max_size, labels are given in host
 * memory only (LLOYD_USAGE: in that of a GPU). `progress` is "auto" by default,
 * lines on standard error of rank 0; "none" is silent but for warnings. `out` and `result` may be
 * NULL. After a failure the arrays of `out` hold nothing of use. Collective. */
LLOYD_API lloyd_status lloyd_fit_rows(lloyd_comm *comm, const lloyd_fit_options *options,
                                      const lloyd_local_rows *rows, const float *first,
                                      const lloyd_local_result *out, lloyd_fit_result *result);

/* The options of `lloyd predict`. */
typedef struct lloyd_predict_options {
    const char *model;
    const char *const *inputs;
    int input_count;
    const char *dataset; /* as for fit */
    const char *raw;     /* as for fit */
    int64_t dim;         /* as for fit */
    int skip_bad_rows;   /* as for fit; their distance is NaN */
    const char *output;  /* labels file */
    int distances;       /* 1: also /distances, squared */
    int second;          /* 1: also /second: the second-nearest centroids, and their distances */
    int members;         /* as for fit */
    int force;           /* as for fit */
    const char *backend; /* as for fit */
    const char *filter;  /* as for fit */
    int64_t chunk_rows;
    double timeout;       /* as for fit */
    const char *progress; /* as for fit; of files only */
    int dry_run; /* 1: only prints the plan, on rank 0; no output is written, *result stays as it is */
} lloyd_predict_options;

LLOYD_API void lloyd_predict_defaults(lloyd_predict_options *options);

/* What a prediction has done. */
typedef struct lloyd_predict_result {
    int64_t n, d, k;
    int64_t skipped; /* bad rows, which are not among the n */
    double seconds;
    int files;
    const char *type; /* of the elements, "uint8"; a constant */
} lloyd_predict_result;

/* Labels the inputs with a model's centroids and writes them. `result` may be NULL. */
LLOYD_API lloyd_status lloyd_predict(lloyd_comm *comm, const lloyd_predict_options *options,
                                     lloyd_predict_result *result);

/* The centroids that rows in memory are compared with. */
typedef struct lloyd_local_model {
    const float *centroids; /* [k x dim], finite, in host memory, of rank 0 (ignored on others) */
    int64_t k;
    const char *metric; /* "l2" or "cosine", whose centroids have length 1 (those of a fit do) */
} lloyd_local_model;

/* What lloyd_predict_rows() gives, in memory of the caller. Every array may be NULL, on any rank; what
 * no array asks for is not computed. */
typedef struct lloyd_local_prediction {
    int32_t *labels;          /* [rows->count] of this rank's rows */
    double *distances;        /* [rows->count] squared, to the centroid of the label */
    double *all_distances;    /* [rows->count x k] squared, to every centroid */
    int32_t *second;          /* [rows->count] the second-nearest centroids; -1 where k is 1 */
    double *second_distances; /* [rows->count] squared, to these; NaN where k is 1 */
    int on_gpu; /* 1: `labels` is in memory of a GPU; all else never is. The backend is "cuda" then */
} lloyd_local_prediction;

/* As lloyd_predict(), over rows in memory: the labels are those of lloyd_predict() over a file with
 * these rows and a model with these centroids, and the distances are what it rounds to float32.
 *
 * Of the options, backend, filter, timeout and chunk_rows (rows that are labelled at a time; 0: as many as are
 * usual) are used; the others stay as lloyd_predict_defaults() sets them (else LLOYD_USAGE).
 * rows->weights is ignored. With GPUs, the rows of a rank must fit the memory of its GPU; all_distances is
 * computed by CPUs. `result` may be NULL. After a failure the arrays of `out` hold nothing of use. Collective. */
LLOYD_API lloyd_status lloyd_predict_rows(lloyd_comm *comm, const lloyd_predict_options *options,
                                          const lloyd_local_rows *rows,
                                          const lloyd_local_model *model,
                                          const lloyd_local_prediction *out,
                                          lloyd_predict_result *result);

/* The options of lloyd_read_rows(). */
typedef struct lloyd_read_options {
    const char *const *inputs; /* as for fit */
    int input_count;
    const char *dataset; /* as for fit */
    const char *raw;     /* as for fit */
    int64_t dim;         /* as for fit */
} lloyd_read_options;

/* Rows [first, first + count) of files, in the formats that a fit reads and as it sees them, as float32: out[count x dim], which may
 * be NULL where count is 0. `n` and `dim`, which may be NULL, get the rows and columns that there are. Not collective: each
 * rank may read what it wants. LLOYD_USAGE where there are no such rows. */
LLOYD_API lloyd_status lloyd_read_rows(const lloyd_read_options *options, int64_t first,
                                       int64_t count, float *out, int64_t *n, int64_t *dim);

/* Prints a dataset's, model's or checkpoint's shape, type, statistics or history to stdout (rank 0
 * only). */
LLOYD_API lloyd_status lloyd_info(lloyd_comm *comm, const char *file);

/* The options of `lloyd info`. */
typedef struct lloyd_info_options {
    const char *file;
    const char *dataset; /* the dataset of vectors to show; NULL: whatever the file is */
    const char *raw;     /* as for fit */
    int64_t dim;         /* as for fit */
} lloyd_info_options;

/* The same with options. */
LLOYD_API lloyd_status lloyd_info_file(lloyd_comm *comm, const lloyd_info_options *options);

/* The options of `lloyd report`. */
typedef struct lloyd_report_options {
    const char *model;
    const char *log;    /* the fit's log; NULL: the one the model names, if it is there and fits */
    const char *output; /* the HTML file */
    int force;          /* as for fit */
} lloyd_report_options;

/* Writes a page about a model: how it converged, how large its clusters are, where the time went,
 * how it was made. Rank 0 reads and writes; counts and history are read, centroids and labels are
 * not. LLOYD_BAD_INPUT if the file is no model, or `log` is not the log of its fit; LLOYD_USAGE
 * where the output would replace one of the two. */
LLOYD_API lloyd_status lloyd_report(lloyd_comm *comm, const lloyd_report_options *options);

/* The options of `lloyd synth`: a Gaussian mixture, the same bytes for any number of ranks. */
typedef struct lloyd_synth_options {
    int64_t rows, dim, clusters;
    const char *type; /* "float32", "float16", "bfloat16", "uint8" or "int8" */
    uint64_t seed;
    const char *output;
    int force; /* as for fit */
} lloyd_synth_options;

LLOYD_API lloyd_status lloyd_synth(lloyd_comm *comm, const lloyd_synth_options *options);

/* The options of `lloyd wrap`. */
typedef struct lloyd_wrap_options {
    const char *const *inputs; /* .fbin, .u8bin, .i8bin or .npy files, globs allowed */
    int input_count;
    const char *raw; /* as for fit */
    int64_t dim;     /* as for fit */
    const char *output;
    int force; /* as for fit */
} lloyd_wrap_options;

/* Makes an HDF5 file whose dataset /train points into raw files, without a copy: their rows, one file after
 * the other. All have the same number of columns and the same type. */
LLOYD_API lloyd_status lloyd_wrap(lloyd_comm *comm, const lloyd_wrap_options *options);

/* The options of `lloyd export`. */
typedef struct lloyd_export_options {
    const char *model;  /* a model, or labels of lloyd_predict() */
    const char *to;     /* the folder to make */
    const char *format; /* "npy", "fvecs" or "csv" */
    int force; /* 1: `to` may replace a folder that lloyd has not written, if its files have the same names */
} lloyd_export_options;

/* Writes the arrays of a model, or of labels, as plain files into a new folder: docs/formats.md has
 * their names. The folder is there when it is complete. LLOYD_BAD_INPUT if the file is neither. */
LLOYD_API lloyd_status lloyd_export(lloyd_comm *comm, const lloyd_export_options *options);

/* The options of `lloyd select`. */
typedef struct lloyd_select_options {
    const char *const
        *clusters; /* files with /members, of a fit or lloyd_predict(); after the first, fits of the
                                    centroids of the one before */
    int cluster_count;
    const char *const *inputs; /* the rows, where near_duplicates is given; else NULL */
    int input_count;
    const char *dataset; /* as for fit */
    const char *raw;     /* as for fit */
    int64_t dim;         /* as for fit */
    double
        near_duplicates; /* > 0: rows whose cosine similarity to another one is above this are left out; < 1 */
    const char *keep;         /* of them: "farthest", "nearest" or "random" stays */
    const char *compare_with; /* earlier rows: "kept", only those that stay, or "all" */
    int64_t nearest;          /* > 0: so many rows of each cluster, the nearest to its centroid */
    int64_t farthest;         /* > 0: or the farthest */
    int64_t sample;           /* > 0: or so many rows in all */
    const char *order;        /* of these, which of a cluster: "random", "nearest" or "farthest" */
    uint64_t seed;
    const char *output; /* ROWS.npy, FILE.h5 or FILE.h5:/DATASET */
    int force;          /* as for fit */
    int64_t
        max_host_memory; /* bytes that a rank may take for near-duplicates; 0: a fourth of what there is */
    const char *progress; /* as for fit */
    double timeout;       /* as for fit */
} lloyd_select_options;

/* What a selection has done. */
typedef struct lloyd_select_result {
    int64_t rows;      /* of the dataset */
    int64_t clusters;  /* of the first file */
    int64_t members;   /* rows in them */
    int64_t available; /* less near-duplicates, where these are left out */
    int64_t selected;  /* rows that were written */
    int64_t touched;   /* clusters that they are from */
} lloyd_select_result;

LLOYD_API void lloyd_select_defaults(lloyd_select_options *options);

/* Chooses rows of clustered data and writes their numbers, in increasing order. What is chosen depends on the files and
 * the options alone. All ranks look for near-duplicates, rank 0 does all else. `result` may be NULL. */
LLOYD_API lloyd_status lloyd_select(lloyd_comm *comm, const lloyd_select_options *options,
                                    lloyd_select_result *result);

/* The options of `lloyd split`. Fields without a comment are as in lloyd_fit_options. */
typedef struct lloyd_split_options {
    const char *model; /* whose clusters are split */
    const char *const *inputs;
    int input_count;
    const char *dataset;
    const char *raw;
    int64_t dim;
    const char *labels; /* of lloyd_predict(), the clusters of the rows; NULL: those in the model */
    int64_t k;          /* > 0: sub-clusters of each cluster */
    int64_t total;      /* > 0: or of all, in proportion to their rows */
    const char *output;
    const char *init; /* "random", "kmeans++" or "kmeans-parallel" */
    uint64_t seed;    /* that of the fit of cluster c is seed + c */
    int64_t n_init;
    int64_t max_iters;
    double tol;
    const char *weights;
    const char *empty;
    int skip_bad_rows;
    const char *backend;
    int64_t max_host_memory;
    int distances;
    int members;
    int force;
    const char *checkpoint;       /* file, or NULL: none is written */
    const char *checkpoint_every; /* "5" (clusters), "90s", "10m" or "1h"; NULL: "10m" */
    int resume;                   /* 1: continues from the checkpoint if it exists */
    const char *progress;
    double timeout;
    int dry_run;
    const char *command;
} lloyd_split_options;

/* What a split has done. */
typedef struct lloyd_split_result {
    int64_t n, d;
    int64_t clusters;        /* of the model that is split */
    int64_t k;               /* sub-clusters */
    int64_t empty;           /* of these */
    int64_t converged;       /* clusters whose fit has */
    int64_t most_iterations; /* of a fit */
    int64_t skipped;         /* bad rows, which are not among the n */
    int64_t rounds;          /* passes over the rows */
    int64_t resumed;         /* clusters that the checkpoint had */
    double
        parent_inertia; /* as the model that is split says; 0: it does not, or not of these rows */
    double inertia, seconds;
    int files;
    const char *type; /* of the elements, "uint8"; a constant */
} lloyd_split_result;

LLOYD_API void lloyd_split_defaults(lloyd_split_options *options);

/* Clusters each cluster of a model on its own, and writes the model of all sub-clusters. The rows of cluster c are clustered as
 * lloyd_fit() does it over a file with these rows, in their order, with the seed options->seed + c, bit for bit. `result` may
 * be NULL. Collective. */
LLOYD_API lloyd_status lloyd_split(lloyd_comm *comm, const lloyd_split_options *options,
                                   lloyd_split_result *result);

#ifdef __cplusplus
}
#endif
#endif
