/* See option.h, which says how to add an option. */
#include "options/table.h"

#include "kernels/kernels.h"
#include "lloyd/lloyd.h"
#include "options/shared.h"
#include "options/split.h"
#include "options/tools.h"

/* ---- Values ---------------------------------------------------------------------------- */

static const lloyd_option_choice metric_choices[] = {{"l2", "euclidean"},
                                                     {"cosine", "angular"},
                                                     {NULL, NULL}};
static const lloyd_option_choice label_choices[] = {{"all", NULL},
                                                    {"sample", "rows"},
                                                    {NULL, NULL}};
static const lloyd_option_choice comm_choices[] = {{"auto", NULL},
                                                   {"nccl", NULL},
                                                   {"mpi", NULL},
                                                   {NULL, NULL}};
static const lloyd_option_choice filter_choices[] = {{"auto", NULL},
                                                     {"int8", "i8"},
                                                     {"float16", "float32"},
                                                     {NULL, NULL}};
static const lloyd_option_choice prune_choices[] = {{"auto", NULL},
                                                    {"on", "yes"},
                                                    {"off", "no"},
                                                    {NULL, NULL}};

/* ---- Help that several options share --------------------------------------------------- */

static const char rows_help[] =
    "Fit only the rows whose numbers, from 0, are in this file: a one-dimensional .npy array or HDF5 "
    "dataset of whole numbers, each once, in any order.";

static const char max_size_help[] =
    "At the end, move rows until no cluster has more than F times the mean size (F * N / K, rounded up), F "
    "being 1 or more: a cluster that is too large keeps the rows nearest to its centroid, and each of "
    "the others goes to the nearest cluster with room. The centroids do not change. Rows count, not weights. "
    "With --sample or --rows it needs --label sample.";

static const char filter_help[] =
    "For tests and studies: the filter that finds the labels, on 8-bit integers or on float16 (on CPUs "
    "float32), instead of the one that costs less. The result is the same. Where there is no 8-bit "
    "filter for the processor, the columns or K, the other one is used; the log says which.";

static const char trials_help[] =
    "How many rows k-means++ tries for each centroid, of which it keeps the best (2 + ln K by "
    "default), or how many candidates k-means|| tries when it chooses among them (32).";

static const char sample_help[] =
    "k-means++ and k-means|| look at R rows, drawn at random, instead of all. By default R is 64 times K, "
    "but at least 262,144; where there are no more than four times as many rows, or these have "
    "weights, they look at all.";

/* ---- lloyd fit ------------------------------------------------------------------------- */

/* In the order of the help text, and of the lists in models and checkpoints. */
#define AT(field) offsetof(lloyd_fit_options, field)
static const lloyd_option fit_options[] = {
    {.name = "--input",
     .argument = "FILE[:DATASET]",
     .kind = LLOYD_OPTION_INPUT,
     .role = LLOYD_OPTION_OWN,
     .required = 1,
     .of_files = 1,
     .offset = AT(inputs),
     .help = lloyd_input_help},
    {.name = "--dataset",
     .argument = "NAME",
     .kind = LLOYD_OPTION_TEXT,
     .role = LLOYD_OPTION_OWN,
     .of_files = 1,
     .offset = AT(dataset),
     .help = lloyd_dataset_help},
    {.name = "--raw",
     .kind = LLOYD_OPTION_CHOICE,
     .role = LLOYD_OPTION_OWN,
     .of_files = 1,
     .offset = AT(raw),
     .choices = lloyd_raw_choices,
     .help = lloyd_raw_help},
    {.name = "--dim",
     .argument = "D",
     .kind = LLOYD_OPTION_WHOLE,
     .role = LLOYD_OPTION_OWN,
     .of_files = 1,
     .offset = AT(dim),
     .least = 1,
     .most = INT64_MAX,
     .help = lloyd_dim_help},
    {.name = "--rows",
     .argument = "FILE[:DATASET]",
     .kind = LLOYD_OPTION_TEXT,
     .role = LLOYD_OPTION_ALIKE, /* known by the data that it selects */
     .of_files = 1,
     .offset = AT(rows),
     .help = rows_help},
    {.name = "--sample",
     .argument = "R",
     .kind = LLOYD_OPTION_WHOLE,
     .role = LLOYD_OPTION_DECIDES,
     .of_files = 1,
     .offset = AT(sample),
     .least = 1,
     .most = INT64_MAX,
     .help =
         "Fit R rows only, drawn at random: which they are depends on --seed and the number of rows."},
    {.name = "--sample-per-centroid",
     .argument = "R",
     .kind = LLOYD_OPTION_WHOLE,
     .role = LLOYD_OPTION_DECIDES,
     .of_files = 1,
     .offset = AT(sample_per_centroid),
     .least = 1,
     .most = INT64_MAX,
     .help = "As --sample with R times K rows; 256 is the usual number."},
    {.name = "--label",
     .kind = LLOYD_OPTION_CHOICE,
     .role = LLOYD_OPTION_ALIKE,
     .of_files = 1,
     .offset = AT(label),
     .choices = label_choices,
     .help =
         "With --rows, --sample or --sample-per-centroid: /labels are those of all rows (unless "
         "the option says otherwise), found in one more pass, or of the rows of the sample, whose "
         "numbers are in /rows."},
    {.name = "-k",
     .argument = "K",
     .kind = LLOYD_OPTION_WHOLE,
     .role = LLOYD_OPTION_DECIDES,
     .required = 1,
     .offset = AT(k),
     .least = 1,
     .most = INT32_MAX, /* labels are stored as int32 */
     .help = "Number of clusters, at most the number of rows."},
    {.name = "--output",
     .letter = "-o",
     .argument = "MODEL.h5",
     .kind = LLOYD_OPTION_TEXT,
     .role = LLOYD_OPTION_ALIKE,
     .required = 1,
     .of_files = 1,
     .offset = AT(output),
     .help = "The model: centroids, counts, labels and history. Written under another name and "
             "renamed when complete."},
    {.name = "--init",
     .argument = "MODEL.h5",
     .kind = LLOYD_OPTION_INIT,
     .role = LLOYD_OPTION_DECIDES,
     .offset = AT(init),
     .standard = "kmeans-parallel",
     .choices = lloyd_init_choices,
     .help = "The initial centroids: distinct rows at random, k-means++, k-means||, or those of a "
             "model."},
    {.name = "--init-trials",
     .argument = "T",
     .kind = LLOYD_OPTION_WHOLE,
     .role = LLOYD_OPTION_DECIDES,
     .offset = AT(init_trials),
     .least = 1,
     .most = LLOYD_MOST_TRIALS,
     .help = trials_help},
    {.name = "--init-sample",
     .argument = "R",
     .kind = LLOYD_OPTION_WHOLE,
     .role = LLOYD_OPTION_DECIDES,
     .offset = AT(init_sample),
     .least = 1,
     .most = INT64_MAX,
     .help = sample_help},
    {.name = "--seed",
     .argument = "S",
     .kind = LLOYD_OPTION_SEED,
     .role = LLOYD_OPTION_DECIDES,
     .offset = AT(seed),
     .standard = "0",
     .help = "Seed of everything random, a whole number of 64 bits."},
    {.name = "--n-init",
     .argument = "R",
     .kind = LLOYD_OPTION_WHOLE,
     .role = LLOYD_OPTION_DECIDES,
     .offset = AT(n_init),
     .standard = "1",
     .least = 1,
     .most = INT64_MAX,
     .help = "Run R times with different seeds and keep the run of lowest inertia; not with --init "
             "MODEL.h5, whose runs would all be the same."},
    {.name = "--max-iters",
     .argument = "T",
     .kind = LLOYD_OPTION_WHOLE,
     .role = LLOYD_OPTION_ALIKE, /* a resumed fit may have a higher one */
     .offset = AT(max_iters),
     .standard = "25",
     .least = 0,
     .most = INT64_MAX,
     .help = "Stop after T updates of the centroids; 0 seeds and assigns only."},
    {.name = "--tol",
     .argument = "X",
     .kind = LLOYD_OPTION_REAL,
     .role = LLOYD_OPTION_DECIDES,
     .offset = AT(tol),
     .standard = "0",
     .help = "Stop when the relative decrease of the inertia falls below X; 0: only when no label "
             "changes."},
    {.name = "--max-size",
     .argument = "F",
     .kind = LLOYD_OPTION_FACTOR,
     .role = LLOYD_OPTION_DECIDES,
     .offset = AT(max_size),
     .help = max_size_help},
    {.name = "--metric",
     .kind = LLOYD_OPTION_CHOICE,
     .role = LLOYD_OPTION_DECIDES,
     .offset = AT(metric),
     .standard = "l2",
     .choices = metric_choices,
     .help = "Squared Euclidean distance, or rows scaled to length 1 on reading."},
    {.name = "--weights",
     .argument = "DATASET",
     .kind = LLOYD_OPTION_TEXT,
     .role = LLOYD_OPTION_DECIDES,
     .of_files = 1,
     .offset = AT(weights),
     .help =
         "A one-dimensional dataset in every input file, which must be HDF5, with the weight of each row."},
    {.name = "--empty",
     .kind = LLOYD_OPTION_CHOICE,
     .role = LLOYD_OPTION_DECIDES,
     .offset = AT(empty),
     .standard = "relocate",
     .choices = lloyd_empty_choices,
     .help = "An empty cluster takes the row farthest from its centroid, or keeps its centroid."},
    {.name = "--skip-bad-rows",
     .kind = LLOYD_OPTION_FLAG,
     .role = LLOYD_OPTION_DECIDES,
     .of_files = 1,
     .offset = AT(skip_bad_rows),
     .help = lloyd_skip_help},
    {.name = "--backend",
     .kind = LLOYD_OPTION_CHOICE,
     .role = LLOYD_OPTION_ALIKE,
     .offset = AT(backend),
     .standard = "auto",
     .choices = lloyd_backend_choices,
     .help = "What computes: GPUs, one per rank, or CPUs, with the same results. auto is cuda "
             "where lloyd was built with it and the ranks see GPUs."},
    {.name = "--comm",
     .kind = LLOYD_OPTION_CHOICE,
     .role = LLOYD_OPTION_ALIKE,
     .offset = AT(comm),
     .standard = "auto",
     .choices = comm_choices,
     .help = "What carries the sums between the GPUs of several ranks; auto is nccl where lloyd "
             "was built with it. Sums of CPUs always use MPI."},
    {.name = "--filter",
     .kind = LLOYD_OPTION_CHOICE,
     .role = LLOYD_OPTION_OWN,
     .unrecorded = 1,
     .offset = AT(filter),
     .standard = "auto",
     .choices = filter_choices,
     .help = filter_help},
    {.name = "--prune",
     .kind = LLOYD_OPTION_CHOICE,
     .role = LLOYD_OPTION_OWN,
     .unrecorded = 1,
     .offset = AT(prune),
     .standard = "auto",
     .choices = prune_choices,
     .help =
         "For tests and studies: whether iterations skip comparisons of rows with centroids that cannot "
         "change a label, where that costs less (auto), from the second iteration on, or never. The "
         "result is the same. It takes memory for bounds of distances; where there is none for them, "
         "nothing is skipped; --dry-run says how much, and the log how many comparisons were made."},
    {.name = "--chunk-rows",
     .argument = "R",
     .kind = LLOYD_OPTION_WHOLE,
     .role = LLOYD_OPTION_OWN,
     .of_files = 1,
     .offset = AT(chunk_rows),
     .least = 1,
     .most = INT64_MAX,
     .help = "Read the rows from the files in chunks of R in every iteration, instead of keeping "
             "them in memory where they fit. The result is the same."},
    {.name = "--max-host-memory",
     .argument = "BYTES",
     .kind = LLOYD_OPTION_BYTES,
     .role = LLOYD_OPTION_OWN,
     .offset = AT(max_host_memory),
     .least = 1,
     .most = INT64_MAX,
     .help = "Memory that each rank may use on the host, such as 64G; the rows that do not fit "
             "are read again in every iteration. Default: what the machine and the cgroup leave. "
             "K, M, G, T (or KiB, ...) are powers of 1024; KB, MB, GB, TB of 1000."},
    {.name = "--max-device-memory",
     .argument = "BYTES",
     .kind = LLOYD_OPTION_BYTES,
     .role = LLOYD_OPTION_OWN,
     .offset = AT(max_device_memory),
     .least = 1,
     .most = INT64_MAX,
     .help = "Memory that each rank may use on its GPU; the rows that do not fit stay in host "
             "memory and are copied in every iteration. Default: what is free."},
    {.name = "--no-labels",
     .kind = LLOYD_OPTION_FLAG,
     .role = LLOYD_OPTION_ALIKE,
     .of_files = 1,
     .offset = AT(no_labels),
     .help = "No /labels in the model."},
    {.name = "--distances",
     .kind = LLOYD_OPTION_FLAG,
     .role = LLOYD_OPTION_ALIKE,
     .of_files = 1,
     .offset = AT(distances),
     .help = lloyd_distances_help},
    {.name = "--members",
     .kind = LLOYD_OPTION_FLAG,
     .role = LLOYD_OPTION_ALIKE,
     .of_files = 1,
     .offset = AT(members),
     .help = lloyd_members_help},
    {.name = "--force",
     .kind = LLOYD_OPTION_FLAG,
     .role = LLOYD_OPTION_OWN,
     .of_files = 1,
     .offset = AT(force),
     .help = lloyd_force_help},
    {.name = "--checkpoint",
     .argument = "FILE",
     .kind = LLOYD_OPTION_TEXT,
     .role = LLOYD_OPTION_ALIKE,
     .of_files = 1,
     .offset = AT(checkpoint),
     .help =
         "Save in FILE what --resume needs: now and then, at the end, and when SIGTERM, SIGINT, "
         "SIGHUP, SIGUSR1, SIGUSR2 or SIGXCPU stops the fit (exit status 75). Without --resume, "
         "an older checkpoint is replaced."},
    {.name = "--checkpoint-every",
     .argument = "T",
     .kind = LLOYD_OPTION_TEXT,
     .role = LLOYD_OPTION_ALIKE,
     .of_files = 1,
     .offset = AT(checkpoint_every),
     .help = "Write the checkpoint every T iterations (5) or after a time (90s, 10m, 1h); 10m by "
             "default."},
    {.name = "--resume",
     .kind = LLOYD_OPTION_FLAG,
     .role = LLOYD_OPTION_ALIKE,
     .of_files = 1,
     .offset = AT(resume),
     .help = "Resume from the checkpoint if it exists, with the result of a fit that was never "
             "interrupted."},
    {.name = "--log",
     .argument = "FILE.jsonl",
     .kind = LLOYD_OPTION_TEXT,
     .role = LLOYD_OPTION_ALIKE,
     .offset = AT(log),
     .help = "Write one line of JSON per event (docs/log.md)."},
    {.name = "--progress",
     .kind = LLOYD_OPTION_CHOICE,
     .role = LLOYD_OPTION_OWN,
     .unrecorded = 1,
     .offset = AT(progress),
     .standard = "auto",
     .choices = lloyd_progress_choices,
     .help = "On standard error: a bar, a line per iteration, or nothing (then no summary either); "
             "auto is a bar on a terminal, lines elsewhere."},
    {.name = "--timeout",
     .argument = "TIME",
     .kind = LLOYD_OPTION_PERIOD,
     .role = LLOYD_OPTION_OWN,
     .unrecorded = 1,
     .offset = AT(timeout),
     .standard = "30m", /* LLOYD_TIMEOUT */
     .help = lloyd_timeout_help},
    {.name = "--dry-run",
     .kind = LLOYD_OPTION_FLAG,
     .role = LLOYD_OPTION_ALIKE,
     .of_files = 1,
     .unrecorded = 1,
     .offset = AT(dry_run),
     .help = "Print the plan (rows per rank, memory, work, an estimate of the time); read no rows, "
             "write nothing."},
    {.name = NULL}};
#undef AT

/* ---- lloyd predict --------------------------------------------------------------------- */

#define AT(field) offsetof(lloyd_predict_options, field)
static const lloyd_option predict_options[] =
    {{.name = "--model",
      .argument = "MODEL.h5",
      .kind = LLOYD_OPTION_TEXT,
      .role = LLOYD_OPTION_OWN, /* compared with what is in it, when it is open */
      .required = 1,
      .of_files = 1,
      .offset = AT(model),
      .help = "A model of lloyd fit, or any HDF5 file with a dataset /centroids."},
     {.name = "--input",
      .argument = "FILE[:DATASET]",
      .kind = LLOYD_OPTION_INPUT,
      .role = LLOYD_OPTION_OWN,
      .required = 1,
      .of_files = 1,
      .offset = AT(inputs),
      .help = lloyd_input_help},
     {.name = "--dataset",
      .argument = "NAME",
      .kind = LLOYD_OPTION_TEXT,
      .role = LLOYD_OPTION_OWN,
      .of_files = 1,
      .offset = AT(dataset),
      .help = lloyd_dataset_help},
     {.name = "--raw",
      .kind = LLOYD_OPTION_CHOICE,
      .role = LLOYD_OPTION_OWN,
      .of_files = 1,
      .offset = AT(raw),
      .choices = lloyd_raw_choices,
      .help = lloyd_raw_help},
     {.name = "--dim",
      .argument = "D",
      .kind = LLOYD_OPTION_WHOLE,
      .role = LLOYD_OPTION_OWN,
      .of_files = 1,
      .offset = AT(dim),
      .least = 1,
      .most = INT64_MAX,
      .help = lloyd_dim_help},
     {.name = "--output",
      .letter = "-o",
      .argument = "LABELS.h5",
      .kind = LLOYD_OPTION_TEXT,
      .required = 1,
      .of_files = 1,
      .offset = AT(output),
      .help = "The labels, one per row."},
     {.name = "--distances",
      .kind = LLOYD_OPTION_FLAG,
      .of_files = 1,
      .offset = AT(distances),
      .help = lloyd_distances_help},
     {.name = "--second",
      .kind = LLOYD_OPTION_FLAG,
      .of_files = 1,
      .offset = AT(second),
      .help = "Write /second/labels and /second/distances too: the second-nearest centroid of each "
              "row. Takes two to three times as long as the labels alone."},
     {.name = "--members",
      .kind = LLOYD_OPTION_FLAG,
      .of_files = 1,
      .offset = AT(members),
      .help = lloyd_members_help},
     {.name = "--force",
      .kind = LLOYD_OPTION_FLAG,
      .role = LLOYD_OPTION_OWN,
      .of_files = 1,
      .offset = AT(force),
      .help = lloyd_force_help},
     {.name = "--skip-bad-rows",
      .kind = LLOYD_OPTION_FLAG,
      .of_files = 1,
      .offset = AT(skip_bad_rows),
      .help = lloyd_skip_help},
     {.name = "--backend",
      .kind = LLOYD_OPTION_CHOICE,
      .offset = AT(backend),
      .standard = "auto",
      .choices = lloyd_backend_choices,
      .help = "As for fit."},
     {.name = "--filter",
      .kind = LLOYD_OPTION_CHOICE,
      .role = LLOYD_OPTION_OWN,
      .offset = AT(filter),
      .standard = "auto",
      .choices = filter_choices,
      .help = "As for fit."},
     {.name = "--progress",
      .kind = LLOYD_OPTION_CHOICE,
      .role = LLOYD_OPTION_OWN,
      .unrecorded = 1,
      .offset = AT(progress),
      .standard = "auto",
      .choices = lloyd_progress_choices,
      .help = lloyd_tool_progress_help},
     {.name = "--timeout",
      .argument = "TIME",
      .kind = LLOYD_OPTION_PERIOD,
      .role = LLOYD_OPTION_OWN,
      .offset = AT(timeout),
      .standard = "30m",
      .help = lloyd_timeout_help},
     {.name = "--dry-run",
      .kind = LLOYD_OPTION_FLAG,
      .role = LLOYD_OPTION_ALIKE,
      .of_files = 1,
      .unrecorded = 1,
      .offset = AT(dry_run),
      .help = "Print the plan (rows, chunks, memory, size of the output); read and write no rows."},
     {.name = NULL}};
#undef AT

/* ---- The commands ---------------------------------------------------------------------- */

const lloyd_command lloyd_commands[LLOYD_COMMANDS] = {
    [LLOYD_COMMAND_FIT] =
        {.name = "fit",
         .brief = "cluster the rows of files and write a model",
         .help =
             "Clusters the rows of files (HDF5, .npy and others) into K clusters with exact k-means and "
             "writes a model. The result depends on the data, the options and the seed, and on "
             "nothing else: not on the number of ranks or threads.",
         .example = "mpirun -n 4 lloyd fit --input 'part-*.h5' -k 1024 --output model.h5",
         .options = fit_options},
    [LLOYD_COMMAND_PREDICT] =
        {.name = "predict",
         .brief = "label rows with the centroids of a model",
         .help = "Labels rows with the nearest centroid of a model.",
         .example = "mpirun -n 4 lloyd predict --model model.h5 --input new.h5 --output labels.h5",
         .options = predict_options},
    [LLOYD_COMMAND_INFO] =
        {.name = "info",
         .brief = "show what a dataset, a model or a checkpoint holds",
         .help = "Shows a dataset's shape, type and statistics, a model's options, sizes and "
                 "history, or how far a checkpoint is.",
         .example = "lloyd info model.h5",
         .positional = "FILE",
         .options = lloyd_tool_info},
    [LLOYD_COMMAND_REPORT] =
        {.name = "report",
         .brief = "write a page about a model: plots and tables in one HTML file",
         .help = "Writes one HTML file that needs no network and no other file: how the fit "
                 "converged, how large the clusters are, where the time went, and how the model "
                 "was made.",
         .example = "lloyd report model.h5 -o report.html",
         .positional = "MODEL.h5",
         .options = lloyd_tool_report},
    [LLOYD_COMMAND_EXPORT] =
        {.name = "export",
         .brief = "write the arrays of a model as .npy, .fvecs or .csv files",
         .help =
             "Writes the arrays of a model, or of the labels of predict, as plain files into a new "
             "folder: centroids, labels, counts, history and what else there is.",
         .example = "lloyd export model.h5 --to model --format npy",
         .positional = "MODEL.h5",
         .options = lloyd_tool_export},
    [LLOYD_COMMAND_SELECT] =
        {.name = "select",
         .brief = "choose rows of clustered data: a balanced sample, or no near-duplicates",
         .help =
             "Chooses rows of clusters that fit or predict have written with --members, and writes "
             "their numbers for fit --rows and other programs: some of each cluster, a sample spread "
             "evenly over clusters, all but near-duplicates, or some of what these leave. For --sample "
             "there may be several files, each after the first a fit of the centroids of the one before, or the "
             "model that this one splits.",
         .example = "lloyd select clusters.h5 --sample 100000 --output rows.npy",
         .positional = "CLUSTERS.h5",
         .several = 1,
         .options = lloyd_tool_select},
    [LLOYD_COMMAND_SPLIT] =
        {.name = "split",
         .brief = "cluster each cluster of a model on its own",
         .help =
             "Splits each cluster of a model into sub-clusters: the rows of each are clustered on their own, "
             "all in one run, and the sub-clusters of all make one model, with the cluster that each is from. The "
             "result depends on the data, the options and the seed, and on nothing else.",
         .example =
             "mpirun -n 4 lloyd split --model model.h5 --input 'part-*.h5' -k 100 --output fine.h5",
         .options = lloyd_tool_split},
    [LLOYD_COMMAND_WRAP] =
        {.name = "wrap",
         .brief = "make an HDF5 file that points into raw files",
         .help =
             "Makes an HDF5 file whose dataset /train points into RAW, a .fbin, .u8bin, .i8bin "
             "or .npy file, or into several in the order given. RAW may be a shell glob in quotes. "
             "Nothing is copied: the files must stay where they are.",
         .example = "lloyd wrap part-0.u8bin part-1.u8bin --output base.h5",
         .positional = "RAW",
         .several = 1,
         .options = lloyd_tool_wrap},
    [LLOYD_COMMAND_SYNTH] =
        {.name = "synth",
         .brief = "write a synthetic dataset, a mixture of Gaussians",
         .help = "Writes a reproducible mixture of Gaussians: the same bytes for any number of "
                 "ranks.",
         .example = "mpirun -n 4 lloyd synth --rows 1000000 --dim 96 --clusters 100 --output x.h5",
         .options = lloyd_tool_synth}};
