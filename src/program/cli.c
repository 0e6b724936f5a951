/* The command line, driven by one table of options per command.
 *
 * An option's value is stored through its offset in lloyd_cli: the parser, the help text and the suggestions
 * follow from its row here. What else an option of fit needs: its field in lloyd.h, its default in api.c, and
 * in job/options.c its check and a row that says whether it decides the result. tests/e2e/test_options.py
 * compares that list, README, manual page and completion with the help text.
 */
#include "program/cli.h"

#include "kernels/kernels.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* ---- The tables ------------------------------------------------------------------------ */

typedef enum kind {
    FLAG,   /* no value; int */
    TEXT,   /* any non-empty text; const char * */
    INPUT,  /* as TEXT, may be repeated; lloyd_cli.inputs */
    CHOICE, /* one of `choices`; const char * */
    INIT,   /* one of `choices` or a file; const char * */
    WHOLE,  /* a whole number from `least` to `most`; int64_t */
    BYTES,  /* the same, with a suffix such as G, GB or GiB */
    SEED,   /* any unsigned 64-bit number; uint64_t */
    REAL,   /* a finite number >= 0; double */
    PERIOD  /* a number > 0 of seconds, or with s, m, h; double, in seconds */
} kind;

/* One value of a CHOICE. Somebody who writes `alias` is told the name. */
typedef struct choice {
    const char *name, *alias;
} choice;

typedef struct option {
    const char *name;
    const char *letter;   /* another name, "-o", or NULL */
    const char *argument; /* what the help calls the value; NULL where the choices say it */
    const char *help;
    kind kind;
    int required;
    size_t offset;
    const choice *choices; /* ended by a name of NULL */
    int64_t least, most;
} option;

typedef struct command {
    const char *name, *brief, *help, *example;
    const char *positional; /* the one argument without an option, or NULL */
    lloyd_cli_command id;
    const option *options; /* ended by a name of NULL */
} command;

#define AT(member) offsetof(lloyd_cli, member)

static const choice init_choices[] = {{"random", NULL},
                                      {"kmeans++", NULL},
                                      {"kmeans-parallel", "kmeans||"},
                                      {NULL, NULL}};
static const choice metric_choices[] = {{"l2", "euclidean"}, {"cosine", "angular"}, {NULL, NULL}};
static const choice empty_choices[] = {{"relocate", NULL}, {"keep", NULL}, {NULL, NULL}};
static const choice backend_choices[] = {{"auto", NULL},
                                         {"cuda", "gpu"},
                                         {"cpu", NULL},
                                         {NULL, NULL}};
static const choice comm_choices[] = {{"auto", NULL}, {"nccl", NULL}, {"mpi", NULL}, {NULL, NULL}};
static const choice progress_choices[] = {{"auto", NULL},
                                          {"bar", NULL},
                                          {"plain", NULL},
                                          {"none", NULL},
                                          {NULL, NULL}};
static const choice type_choices[] = {{"float32", "float"}, {"float16", "half"},
                                      {"bfloat16", "bf16"}, {"uint8", "u8"},
                                      {"int8", "i8"},       {NULL, NULL}};

static const char input_help[] =
    "File with the rows: HDF5 (a two-dimensional dataset), .npy, .fbin, .u8bin, .i8bin, .fvecs or "
    ".bvecs. FILE may be a shell glob in quotes, and the option may be given several times: several "
    "files are one dataset, in the order given. DATASET, of HDF5 only, defaults to the only "
    "two-dimensional dataset of the file, else /train.";

static const char dataset_help[] =
    "The dataset of every input, each of which is FILE then: for names with a colon in them.";

static const char skip_help[] =
    "Leave out rows with NaN or infinity (with the cosine metric, rows of zeros too), and give them the "
    "label -1; the result is that of the other rows alone. The rows are read once more at the beginning. "
    "Without it such a row is an error.";

static const char timeout_help[] =
    "How long a rank waits for another, in seconds, or as in 30s, 10m, 2h. A job that hangs ends "
    "then, and says which ranks are missing. It must exceed the time by which the slowest rank is "
    "behind in a pass.";

static const char force_help[] =
    "Replace the file that is there under the output's name even if lloyd has not written it. Without, "
    "that is refused.";

static const char trials_help[] =
    "How many rows k-means++ tries for each centroid, of which the best is taken (2 + ln K by "
    "default), or how many candidates k-means|| tries when it chooses among them (32).";

static const char sample_help[] =
    "k-means++ and k-means|| look at R rows, drawn at random, and not at all of them. By default "
    "they look at 64 K rows, but at 262,144 at least, and at all if these are no four times as "
    "many or have weights.";

static const option fit_options[] = {
    {.name = "--input",
     .argument = "FILE[:DATASET]",
     .kind = INPUT,
     .required = 1,
     .help = input_help},
    {.name = "--dataset",
     .argument = "NAME",
     .kind = TEXT,
     .offset = AT(fit.dataset),
     .help = dataset_help},
    {.name = "-k",
     .argument = "K",
     .kind = WHOLE,
     .required = 1,
     .offset = AT(fit.k),
     .least = 1,
     .most = INT32_MAX, /* labels are stored as int32 */
     .help = "Number of clusters, at most the number of rows."},
    {.name = "--output",
     .letter = "-o",
     .argument = "MODEL.h5",
     .kind = TEXT,
     .required = 1,
     .offset = AT(fit.output),
     .help = "The model: centroids, counts, labels and history. Written under another name and "
             "renamed when complete."},
    {.name = "--init",
     .argument = "MODEL.h5",
     .kind = INIT,
     .offset = AT(fit.init),
     .choices = init_choices,
     .help = "The first centroids: distinct rows at random, k-means++, k-means||, or those of a "
             "model."},
    {.name = "--init-trials",
     .argument = "T",
     .kind = WHOLE,
     .offset = AT(fit.init_trials),
     .least = 1,
     .most = LLOYD_MOST_TRIALS,
     .help = trials_help},
    {.name = "--init-sample",
     .argument = "R",
     .kind = WHOLE,
     .offset = AT(fit.init_sample),
     .least = 1,
     .most = INT64_MAX,
     .help = sample_help},
    {.name = "--seed",
     .argument = "S",
     .kind = SEED,
     .offset = AT(fit.seed),
     .help = "Seed of everything random, a whole number of 64 bits."},
    {.name = "--n-init",
     .argument = "R",
     .kind = WHOLE,
     .offset = AT(fit.n_init),
     .least = 1,
     .most = INT64_MAX,
     .help = "Run R times with different seeds and keep the run of lowest inertia; not with --init "
             "MODEL.h5, whose runs would all be the same."},
    {.name = "--max-iters",
     .argument = "T",
     .kind = WHOLE,
     .offset = AT(fit.max_iters),
     .least = 0,
     .most = INT64_MAX,
     .help = "Stop after T updates of the centroids; 0 seeds and assigns only."},
    {.name = "--tol",
     .argument = "X",
     .kind = REAL,
     .offset = AT(fit.tol),
     .help = "Stop when the relative decrease of the inertia falls below X; 0: only when no label "
             "changes."},
    {.name = "--metric",
     .kind = CHOICE,
     .offset = AT(fit.metric),
     .choices = metric_choices,
     .help = "Squared Euclidean distance, or rows scaled to length 1 on reading."},
    {.name = "--weights",
     .argument = "DATASET",
     .kind = TEXT,
     .offset = AT(fit.weights),
     .help =
         "A one-dimensional dataset in every input file, which must be HDF5, with the weight of each row."},
    {.name = "--skip-bad-rows", .kind = FLAG, .offset = AT(fit.skip_bad_rows), .help = skip_help},
    {.name = "--empty",
     .kind = CHOICE,
     .offset = AT(fit.empty),
     .choices = empty_choices,
     .help = "An empty cluster takes the row farthest from its centroid, or keeps its centroid."},
    {.name = "--backend",
     .kind = CHOICE,
     .offset = AT(fit.backend),
     .choices = backend_choices,
     .help = "What computes: GPUs, one per rank, or CPUs, with the same results. auto is cuda "
             "where lloyd was built with it and the ranks see GPUs."},
    {.name = "--comm",
     .kind = CHOICE,
     .offset = AT(fit.comm),
     .choices = comm_choices,
     .help = "What carries the sums between the GPUs of several ranks; auto is nccl where lloyd "
             "was built with it. Sums of CPUs go by MPI."},
    {.name = "--chunk-rows",
     .argument = "R",
     .kind = WHOLE,
     .offset = AT(fit.chunk_rows),
     .least = 1,
     .most = INT64_MAX,
     .help = "Read the rows from the files in chunks of R in every iteration, instead of keeping "
             "them in memory where they fit. The result is the same."},
    {.name = "--max-host-memory",
     .argument = "BYTES",
     .kind = BYTES,
     .offset = AT(fit.max_host_memory),
     .least = 1,
     .most = INT64_MAX,
     .help = "Memory that each rank may take on the host, such as 64G; the rows that do not fit "
             "are read again in every iteration. Default: what the machine and the cgroup leave. "
             "K, M, G, T (or KiB, ...) are powers of 1024; KB, MB, GB, TB of 1000."},
    {.name = "--max-device-memory",
     .argument = "BYTES",
     .kind = BYTES,
     .offset = AT(fit.max_device_memory),
     .least = 1,
     .most = INT64_MAX,
     .help = "Memory that each rank may take of its GPU; the rows that do not fit stay in host "
             "memory and are copied in every iteration. Default: what is free."},
    {.name = "--no-labels",
     .kind = FLAG,
     .offset = AT(fit.no_labels),
     .help = "No /labels in the model."},
    {.name = "--force", .kind = FLAG, .offset = AT(fit.force), .help = force_help},
    {.name = "--checkpoint",
     .argument = "FILE",
     .kind = TEXT,
     .offset = AT(fit.checkpoint),
     .help =
         "Keep in FILE what --resume needs: now and then, at the end, and when SIGTERM, SIGINT, "
         "SIGHUP, SIGUSR1, SIGUSR2 or SIGXCPU stops the fit (exit status 75). Without --resume, "
         "an older checkpoint is replaced."},
    {.name = "--checkpoint-every",
     .argument = "T",
     .kind = TEXT,
     .offset = AT(fit.checkpoint_every),
     .help = "Write the checkpoint every T iterations (5) or after a time (90s, 10m, 1h); 10m by "
             "default."},
    {.name = "--resume",
     .kind = FLAG,
     .offset = AT(fit.resume),
     .help = "Go on from the checkpoint if it is there, with the result of a fit that was never "
             "stopped."},
    {.name = "--log",
     .argument = "FILE.jsonl",
     .kind = TEXT,
     .offset = AT(fit.log),
     .help = "Write one line of JSON per event (docs/log.md)."},
    {.name = "--progress",
     .kind = CHOICE,
     .offset = AT(fit.progress),
     .choices = progress_choices,
     .help = "On standard error: a bar, a line per iteration, or nothing (then no summary either); "
             "auto is a bar on a terminal, lines elsewhere."},
    {.name = "--timeout",
     .argument = "TIME",
     .kind = PERIOD,
     .offset = AT(fit.timeout),
     .help = timeout_help},
    {.name = "--dry-run",
     .kind = FLAG,
     .offset = AT(fit.dry_run),
     .help = "Print the plan (rows per rank, memory, work, an estimate of the time); read no rows, "
             "write nothing."},
    {.name = NULL}};

static const option predict_options[] =
    {{.name = "--model",
      .argument = "MODEL.h5",
      .kind = TEXT,
      .required = 1,
      .offset = AT(predict.model),
      .help = "A model of lloyd fit, or any HDF5 file with a dataset /centroids."},
     {.name = "--input",
      .argument = "FILE[:DATASET]",
      .kind = INPUT,
      .required = 1,
      .help = input_help},
     {.name = "--dataset",
      .argument = "NAME",
      .kind = TEXT,
      .offset = AT(predict.dataset),
      .help = dataset_help},
     {.name = "--output",
      .letter = "-o",
      .argument = "LABELS.h5",
      .kind = TEXT,
      .required = 1,
      .offset = AT(predict.output),
      .help = "The labels, one per row."},
     {.name = "--distances",
      .kind = FLAG,
      .offset = AT(predict.distances),
      .help = "Write /distances too: squared, to the centroid of the label."},
     {.name = "--force", .kind = FLAG, .offset = AT(predict.force), .help = force_help},
     {.name = "--skip-bad-rows",
      .kind = FLAG,
      .offset = AT(predict.skip_bad_rows),
      .help = skip_help},
     {.name = "--backend",
      .kind = CHOICE,
      .offset = AT(predict.backend),
      .choices = backend_choices,
      .help = "As for fit."},
     {.name = "--timeout",
      .argument = "TIME",
      .kind = PERIOD,
      .offset = AT(predict.timeout),
      .help = timeout_help},
     {.name = NULL}};

static const option info_options[] = {
    {.name = "--dataset",
     .argument = "NAME",
     .kind = TEXT,
     .offset = AT(dataset),
     .help =
         "The dataset of FILE to show, for names with a colon in them; else FILE:DATASET will do."},
    {.name = NULL}};

static const option report_options[] =
    {{.name = "--output",
      .letter = "-o",
      .argument = "REPORT.html",
      .kind = TEXT,
      .required = 1,
      .offset = AT(report.output),
      .help = "The page. Written under another name and renamed when complete."},
     {.name = "--log",
      .argument = "FILE.jsonl",
      .kind = TEXT,
      .offset = AT(report.log),
      .help = "The log of the fit, for the time of each phase and the share of verified rows. "
              "Default: the log that the model names, if it is still there."},
     {.name = "--force", .kind = FLAG, .offset = AT(report.force), .help = force_help},
     {.name = NULL}};

static const option wrap_options[] =
    {{.name = "--output",
      .letter = "-o",
      .argument = "X.h5",
      .kind = TEXT,
      .required = 1,
      .offset = AT(output),
      .help = "The HDF5 file; its dataset /train is the raw file's rows."},
     {.name = "--force", .kind = FLAG, .offset = AT(force), .help = force_help},
     {.name = NULL}};

static const option synth_options[] =
    {{.name = "--rows",
      .argument = "N",
      .kind = WHOLE,
      .required = 1,
      .offset = AT(synth.rows),
      .least = 1,
      .most = INT64_MAX,
      .help = "Number of rows."},
     {.name = "--dim",
      .argument = "D",
      .kind = WHOLE,
      .required = 1,
      .offset = AT(synth.dim),
      .least = 1,
      .most = INT64_MAX,
      .help = "Number of columns."},
     {.name = "--clusters",
      .argument = "C",
      .kind = WHOLE,
      .required = 1,
      .offset = AT(synth.clusters),
      .least = 1,
      .most = INT64_MAX,
      .help = "Number of Gaussians in the mixture."},
     {.name = "--type",
      .kind = CHOICE,
      .offset = AT(synth.type),
      .choices = type_choices,
      .help = "How the elements are stored."},
     {.name = "--seed",
      .argument = "S",
      .kind = SEED,
      .offset = AT(synth.seed),
      .help = "Seed, a whole number of 64 bits."},
     {.name = "--output",
      .letter = "-o",
      .argument = "X.h5",
      .kind = TEXT,
      .required = 1,
      .offset = AT(synth.output),
      .help = "The HDF5 file; the rows are its dataset /train."},
     {.name = "--force", .kind = FLAG, .offset = AT(synth.force), .help = force_help},
     {.name = NULL}};

static const command commands[] = {
    {.name = "fit",
     .id = LLOYD_CLI_FIT,
     .brief = "cluster the rows of files and write a model",
     .help =
         "Clusters the rows of files (HDF5, .npy and others) into K clusters with exact k-means and "
         "writes a model. The result depends on the data, the options and the seed, and on nothing else: not on the "
         "number of ranks or threads.",
     .example = "mpirun -n 4 lloyd fit --input 'part-*.h5' -k 1024 --output model.h5",
     .options = fit_options},
    {.name = "predict",
     .id = LLOYD_CLI_PREDICT,
     .brief = "label rows with the centroids of a model",
     .help = "Labels rows with the nearest centroid of a model.",
     .example = "mpirun -n 4 lloyd predict --model model.h5 --input new.h5 --output labels.h5",
     .options = predict_options},
    {.name = "info",
     .id = LLOYD_CLI_INFO,
     .brief = "show what a dataset, a model or a checkpoint holds",
     .help =
         "Shows a dataset's shape, type and statistics, a model's options, sizes and history, or "
         "how far a checkpoint is.",
     .example = "lloyd info model.h5",
     .positional = "FILE",
     .options = info_options},
    {.name = "report",
     .id = LLOYD_CLI_REPORT,
     .brief = "write a page about a model: plots and tables in one HTML file",
     .help = "Writes one HTML file that needs no network and no other file: how the fit converged, "
             "how large the clusters are, where the time went, and how the model was made.",
     .example = "lloyd report model.h5 -o report.html",
     .positional = "MODEL.h5",
     .options = report_options},
    {.name = "wrap",
     .id = LLOYD_CLI_WRAP,
     .brief = "make an HDF5 file that points into raw files",
     .help = "Makes an HDF5 file whose dataset /train points into RAW, a .fbin, .u8bin, .i8bin or "
             ".npy file, or a pattern in quotes for several, which become one dataset. Nothing is "
             "copied: RAW must stay where it is. lloyd itself reads such files as they are.",
     .example = "lloyd wrap base.u8bin --output base.h5",
     .positional = "RAW",
     .options = wrap_options},
    {.name = "synth",
     .id = LLOYD_CLI_SYNTH,
     .brief = "write a synthetic dataset, a mixture of Gaussians",
     .help = "Writes a reproducible mixture of Gaussians: the same bytes for any number of ranks.",
     .example = "mpirun -n 4 lloyd synth --rows 1000000 --dim 96 --clusters 100 --output x.h5",
     .options = synth_options}};

enum { COMMANDS = sizeof commands / sizeof *commands, WORDS_MAX = 64 };

static const command *find_command(lloyd_cli_command id)
{
    for (int i = 0; i < COMMANDS; i++)
        if (commands[i].id == id) return &commands[i];
    return NULL;
}

const char *lloyd_cli_option(lloyd_cli_command id, int index)
{
    const command *found = find_command(id);
    if (found == NULL || index < 0) return NULL;
    for (const option *o = found->options; o->name != NULL; o++)
        if (index-- == 0) return o->name;
    return NULL;
}

static void set_defaults(lloyd_cli *cli)
{
    *cli = (lloyd_cli){.command = LLOYD_CLI_HELP, .topic = LLOYD_CLI_HELP};
    lloyd_fit_defaults(&cli->fit);
    lloyd_predict_defaults(&cli->predict);
    cli->synth.type = type_choices[0].name;
}

/* ---- Typing errors --------------------------------------------------------------------- */

enum { WORD_MAX = 48 }; /* longer words are nobody's typing error of ours */

static int least_of(int a, int b)
{
    return a < b ? a : b;
}

/* Insertions, deletions, changes and swaps of neighbours that lead from a to b, no letter
 * touched twice (Damerau 1964; the "optimal string alignment" form). */
static int distance(const char *a, const char *b)
{
    size_t rows = strlen(a), columns = strlen(b);
    if (rows > WORD_MAX || columns > WORD_MAX) return WORD_MAX;
    int d[WORD_MAX + 1][WORD_MAX + 1];
    for (size_t i = 0; i <= rows; i++) d[i][0] = (int)i;
    for (size_t j = 0; j <= columns; j++) d[0][j] = (int)j;
    for (size_t i = 1; i <= rows; i++) {
        for (size_t j = 1; j <= columns; j++) {
            int here = tolower((unsigned char)a[i - 1]), there = tolower((unsigned char)b[j - 1]);
            int best = least_of(d[i - 1][j], d[i][j - 1]) + 1;
            best = least_of(best, d[i - 1][j - 1] + (here != there));
            if (i > 1 && j > 1 && here == tolower((unsigned char)b[j - 2]) &&
                there == tolower((unsigned char)a[i - 2]))
                best = least_of(best, d[i - 2][j - 2] + 1);
            d[i][j] = best;
        }
    }
    return d[rows][columns];
}

/* Whether `word` is the beginning of `whole`, with at least two letters after any dashes. */
static int begins(const char *word, const char *whole)
{
    size_t length = strlen(word);
    return length >= strspn(word, "-") + 2 && strncmp(word, whole, length) == 0;
}

const char *lloyd_cli_suggest(const char *word, const char *const *candidates, int count)
{
    const char *nearest = NULL;
    int least = WORD_MAX;
    for (int i = 0; i < count; i++) {
        size_t longer = strlen(word) > strlen(candidates[i]) ? strlen(word) : strlen(candidates[i]);
        int steps = distance(word, candidates[i]);
        if (steps > (int)(longer / 3) && !begins(word, candidates[i])) continue;
        if (steps < least) {
            least = steps;
            nearest = candidates[i];
        }
    }
    return nearest;
}

static const char *suggest_choice(const char *word, const choice *choices)
{
    const char *words[WORDS_MAX];
    int count = 0;
    for (const choice *c = choices; c->name != NULL && count < WORDS_MAX; c++) {
        if (c->alias != NULL && distance(word, c->alias) == 0) return c->name;
        words[count++] = c->name;
    }
    return lloyd_cli_suggest(word, words, count);
}

/* ---- Values ---------------------------------------------------------------------------- */

/* "l2|cosine" into text. */
static const char *list_choices(const choice *choices, const char *separator, char *text,
                                size_t bytes)
{
    size_t used = 0;
    text[0] = '\0';
    for (const choice *c = choices; c->name != NULL && used < bytes; c++)
        used += (size_t)snprintf(text + used, bytes - used, "%s%s", c == choices ? "" : separator,
                                 c->name);
    return text;
}

typedef enum number { NUMBER_OK, NUMBER_NONE, NUMBER_RANGE } number;

/* Decimal digits, and a '-' which makes it out of range unless zero follows. Nothing else: no
 * blanks, '+', hex, exponents or suffixes, so that no two people read a script differently. */
static number read_whole(const char *text, uint64_t *value)
{
    int negative = *text == '-';
    const char *digits = text + negative;
    if (*digits == '\0' || digits[strspn(digits, "0123456789")] != '\0') return NUMBER_NONE;
    *value = 0;
    for (; *digits != '\0'; digits++) {
        uint64_t digit = (uint64_t)(*digits - '0');
        if (*value > (UINT64_MAX - digit) / 10) return NUMBER_RANGE;
        *value = *value * 10 + digit;
    }
    return negative && *value != 0 ? NUMBER_RANGE : NUMBER_OK;
}

static lloyd_status set_whole(const option *o, const char *text, void *to)
{
    uint64_t least = o->kind == SEED ? 0 : (uint64_t)o->least;
    uint64_t most = o->kind == SEED ? UINT64_MAX : (uint64_t)o->most;
    uint64_t value = 0;
    number read = read_whole(text, &value);
    if (read == NUMBER_OK && (value < least || value > most)) read = NUMBER_RANGE;
    if (read != NUMBER_OK)
        return lloyd_fail(LLOYD_USAGE,
                          "option %s: '%s' is %s; give a whole number from %llu to %llu", o->name,
                          text, read == NUMBER_NONE ? "not a whole number" : "out of range",
                          (unsigned long long)least, (unsigned long long)most);
    if (o->kind == SEED)
        *(uint64_t *)to = value;
    else
        *(int64_t *)to = (int64_t)value;
    return LLOYD_OK;
}

/* What a suffix multiplies with, as GNU tools read it: G and GiB 1024^3, GB 1000^3; 0: it is none. */
static uint64_t suffix_factor(const char *suffix)
{
    static const char letters[] = "KMGT";
    if (*suffix == '\0') return 1;
    const char *letter = strchr(letters, toupper((unsigned char)*suffix));
    if (letter == NULL) return 0;
    int thousands = strcmp(suffix + 1, "B") == 0;
    if (!thousands && suffix[1] != '\0' && strcmp(suffix + 1, "iB") != 0) return 0;
    uint64_t factor = 1;
    for (const char *l = letters; l <= letter; l++) factor *= thousands ? 1000 : 1024;
    return factor;
}

static lloyd_status set_bytes(const option *o, const char *text, int64_t *to)
{
    char digits[32];
    size_t length = strspn(text, "0123456789");
    snprintf(digits, sizeof digits, "%.*s", length < sizeof digits ? (int)length : 0, text);
    uint64_t value = 0, factor = suffix_factor(text + length);
    if (factor == 0 || read_whole(digits, &value) != NUMBER_OK || value == 0 ||
        value > (uint64_t)o->most / factor)
        return lloyd_fail(
            LLOYD_USAGE,
            "option %s: '%s' is no amount of memory; give a whole number of bytes, or "
            "one with a suffix: 64G or 64GiB (2^30 each), 64GB (10^9 each)",
            o->name, text);
    *to = (int64_t)(value * factor);
    return LLOYD_OK;
}

static lloyd_status set_real(const option *o, const char *text, double *to)
{
    char *end = NULL;
    int plain = *text != '\0' &&
                text[strspn(text, "0123456789.eE+-")] == '\0'; /* no blanks, inf, nan or hex */
    double value = plain ? strtod(text, &end) : 0;
    int read = plain && *end == '\0';
    if (!read || !isfinite(value) || value < 0)
        return lloyd_fail(LLOYD_USAGE, "option %s: '%s' is %s; give a finite number, 0 or greater",
                          o->name, text, read ? "out of range" : "not a number");
    *to = value;
    return LLOYD_OK;
}

static lloyd_status set_period(const option *o, const char *text, double *to)
{
    size_t digits = strspn(text, "0123456789.");
    const char *unit = text + digits;
    char *end = NULL;
    double value = digits > 0 ? strtod(text, &end) : 0;
    int read = digits > 0 && end == unit && (*unit == '\0' || (strchr("smh", *unit) && !unit[1]));
    value *= *unit == 'h' ? 3600 : *unit == 'm' ? 60 : 1;
    if (!read || !isfinite(value) || value <= 0)
        return lloyd_fail(LLOYD_USAGE,
                          "option %s: '%s' is no time; give seconds, or a number with s, m or h, "
                          "such as 10m",
                          o->name, text);
    *to = value;
    return LLOYD_OK;
}

static lloyd_status set_choice(const option *o, const char *text, const char **to)
{
    for (const choice *c = o->choices; c->name != NULL; c++) {
        if (strcmp(text, c->name) == 0) {
            *to = c->name;
            return LLOYD_OK;
        }
    }
    const char *nearest = suggest_choice(text, o->choices);
    /* A file stays as it is: whether it exists and is a model is found out by opening it. */
    if (o->kind == INIT && (nearest == NULL || strpbrk(text, "./") != NULL)) {
        *to = text;
        return LLOYD_OK;
    }
    char list[160];
    list_choices(o->choices, ", ", list, sizeof list);
    return lloyd_fail(LLOYD_USAGE, "option %s: '%s' is none of %s%s%s%s%s%s", o->name, text, list,
                      o->kind == INIT ? " or a model file such as " : "",
                      o->kind == INIT ? o->argument : "", nearest ? "; did you mean " : "",
                      nearest ? nearest : "", nearest ? "?" : "");
}

static lloyd_status set_value(const option *o, const char *text, lloyd_cli *cli)
{
    void *to = (char *)cli + o->offset;
    switch (o->kind) {
    case FLAG: *(int *)to = 1; return LLOYD_OK;
    case INPUT: cli->inputs[cli->input_count++] = text; return LLOYD_OK;
    case TEXT: *(const char **)to = text; return LLOYD_OK;
    case CHOICE:
    case INIT: return set_choice(o, text, to);
    case WHOLE:
    case SEED: return set_whole(o, text, to);
    case BYTES: return set_bytes(o, text, to);
    case REAL: return set_real(o, text, to);
    case PERIOD: return set_period(o, text, to);
    }
    return LLOYD_OK;
}

/* ---- Parsing --------------------------------------------------------------------------- */

/* How a command line is read: what comes next, and which options were given. */
typedef struct reader {
    int argc, next;
    char *const *argv;
    const command *command;
    uint64_t given; /* bit i: options[i] */
    lloyd_cli *cli;
} reader;

static int is_help(const char *arg)
{
    return strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0;
}

/* Finds the option of "--seed", "--seed=7", "-k" or "-k8". Writes the name as it was given, without
 * the value, into `name`, and where the value begins into *value (NULL: not in this argument). */
static const option *match_option(const reader *r, const char *arg, char *name, size_t bytes,
                                  const char **value)
{
    size_t length = arg[1] == '-' ? strcspn(arg, "=") : strlen(arg);
    *value = arg[length] == '=' ? arg + length + 1 : NULL;
    snprintf(name, bytes, "%.*s", length < bytes ? (int)length : (int)bytes - 1, arg);
    for (const option *o = r->command->options; o->name != NULL; o++) {
        int is_letter = o->name[1] != '-';
        const char *letter = is_letter ? o->name : o->letter;
        if (letter != NULL && strncmp(arg, letter, 2) == 0) {
            if (arg[2] != '\0') *value = arg + 2;
            return o;
        }
        if (!is_letter && strlen(o->name) == length && strncmp(arg, o->name, length) == 0) return o;
    }
    return NULL;
}

static lloyd_status unknown_option(const command *c, const char *name)
{
    const char *words[WORDS_MAX];
    int count = 0;
    for (const option *o = c->options; o->name != NULL && count < WORDS_MAX - 1; o++)
        words[count++] = o->name;
    words[count++] = "--help";
    const char *nearest = lloyd_cli_suggest(name, words, count);
    if (nearest != NULL)
        return lloyd_fail(LLOYD_USAGE, "lloyd %s has no option %s; did you mean %s?", c->name, name,
                          nearest);
    return lloyd_fail(LLOYD_USAGE, "lloyd %s has no option %s; lloyd %s --help lists its options",
                      c->name, name, c->name);
}

static lloyd_status read_option(reader *r)
{
    char name[64];
    const char *value;
    const char *arg = r->argv[r->next++];
    const option *o = match_option(r, arg, name, sizeof name, &value);
    if (o == NULL) return unknown_option(r->command, name);

    uint64_t bit = (uint64_t)1 << (o - r->command->options);
    if (o->kind != INPUT && (r->given & bit) != 0)
        return lloyd_fail(LLOYD_USAGE, "option %s is given twice; give it once", o->name);
    r->given |= bit;

    if (o->kind == FLAG) {
        if (value != NULL)
            return lloyd_fail(LLOYD_USAGE,
                              "option %s takes no value, but '%s' is given; leave it away", o->name,
                              value);
        return set_value(o, NULL, r->cli);
    }
    if (value == NULL) {
        if (r->next == r->argc)
            return lloyd_fail(LLOYD_USAGE, "option %s needs a value at the end of the command line",
                              o->name);
        value = r->argv[r->next++];
        /* "--output -k 8" has forgotten a value, "--tol -1" has given a wrong one. */
        if (value[0] == '-' && (value[1] == '-' || isalpha((unsigned char)value[1])))
            return lloyd_fail(LLOYD_USAGE, "option %s needs a value before %s%s%s%s", o->name,
                              value, o->name[1] == '-' ? " (if that is the value, write " : "",
                              o->name[1] == '-' ? o->name : "", o->name[1] == '-' ? "=VALUE)" : "");
    }
    if (*value == '\0')
        return lloyd_fail(LLOYD_USAGE, "option %s needs a value, but the one given is empty",
                          o->name);
    return set_value(o, value, r->cli);
}

static lloyd_status read_positional(reader *r, const char *arg)
{
    const command *c = r->command;
    if (c->positional == NULL && r->given == 0)
        return lloyd_fail(
            LLOYD_USAGE,
            "lloyd %s takes options only, so '%s' is out of place; lloyd %s --help lists them",
            c->name, arg, c->name);
    if (c->positional == NULL)
        return lloyd_fail(LLOYD_USAGE,
                          "lloyd %s takes options only, so '%s' is out of place (each file has its "
                          "own --input; a "
                          "glob goes in quotes)",
                          c->name, arg);
    if (*arg == '\0')
        return lloyd_fail(LLOYD_USAGE, "lloyd %s needs a %s, but the one given is empty", c->name,
                          c->positional);
    if (r->cli->file != NULL)
        return lloyd_fail(LLOYD_USAGE, "lloyd %s takes one %s, so '%s' after '%s' is out of place",
                          c->name, c->positional, arg, r->cli->file);
    r->cli->file = arg;
    return LLOYD_OK;
}

/* Names everything that is missing, not only the first. */
static lloyd_status check_required(const reader *r)
{
    const command *c = r->command;
    char missing[256] = "";
    size_t used = 0;
    if (c->positional != NULL && r->cli->file == NULL)
        used += (size_t)snprintf(missing, sizeof missing, "%s", c->positional);
    for (const option *o = c->options; o->name != NULL && used < sizeof missing; o++)
        if (o->required && (r->given >> (o - c->options) & 1) == 0)
            used += (size_t)snprintf(missing + used, sizeof missing - used, "%s%s %s",
                                     used > 0 ? ", " : "", o->name, o->argument);
    if (used == 0) return LLOYD_OK;
    return lloyd_fail(LLOYD_USAGE, "lloyd %s needs %s; lloyd %s --help says more", c->name, missing,
                      c->name);
}

static lloyd_status read_command(reader *r)
{
    for (int i = r->next; i < r->argc && strcmp(r->argv[i], "--") != 0; i++) {
        if (is_help(r->argv[i])) {
            r->cli->command = LLOYD_CLI_HELP;
            r->cli->topic = r->command->id;
            return LLOYD_OK;
        }
    }
    int options_end = 0;
    while (r->next < r->argc) {
        const char *arg = r->argv[r->next];
        if (!options_end && strcmp(arg, "--") == 0) {
            options_end = 1;
            r->next++;
        } else if (!options_end && arg[0] == '-' && arg[1] != '\0') {
            LLOYD_TRY(read_option(r));
        } else {
            r->next++;
            LLOYD_TRY(read_positional(r, arg));
        }
    }
    LLOYD_TRY(check_required(r));
    const lloyd_fit_options *fit = &r->cli->fit;
    if (r->command->id == LLOYD_CLI_FIT && fit->log != NULL && strcmp(fit->log, fit->output) == 0)
        return lloyd_fail(LLOYD_USAGE,
                          "--log and --output are both %s; give each a file of its own", fit->log);
    return LLOYD_OK;
}

static lloyd_status unknown_command(const char *word)
{
    static const char *const more[] = {"help", "--help", "--version"};
    const char *words[COMMANDS + 3];
    int count = 0;
    for (int i = 0; i < COMMANDS; i++) words[count++] = commands[i].name;
    for (int i = 0; i < 3; i++) words[count++] = more[i];
    const char *nearest = lloyd_cli_suggest(word, words, count);
    const char *what = word[0] == '-' ? "option before the command" : "command";
    if (nearest != NULL)
        return lloyd_fail(LLOYD_USAGE, "there is no %s %s; did you mean %s?", what, word, nearest);
    return lloyd_fail(LLOYD_USAGE, "there is no %s '%s'; lloyd --help lists the commands", what,
                      word);
}

static const command *command_named(const char *word)
{
    for (int i = 0; i < COMMANDS; i++)
        if (strcmp(word, commands[i].name) == 0) return &commands[i];
    return NULL;
}

/* `lloyd`, `lloyd help [COMMAND]`, `lloyd --help [COMMAND]`, `lloyd --version`, `lloyd COMMAND ...`. */
static lloyd_status read_line(reader *r)
{
    if (r->argc < 2)
        return lloyd_fail(LLOYD_USAGE, "no command is given; lloyd --help lists the commands");
    const char *word = r->argv[1];
    r->next = 2;
    r->command = command_named(word);
    if (r->command != NULL) {
        r->cli->command = r->command->id;
        return read_command(r);
    }
    int takes = 0; /* arguments after the word */
    if (strcmp(word, "--version") == 0) {
        r->cli->command = LLOYD_CLI_VERSION;
    } else if (strcmp(word, "help") == 0 || is_help(word)) {
        takes = 1;
        if (r->argc > 2 && !is_help(r->argv[2])) {
            const command *topic = command_named(r->argv[2]);
            if (topic == NULL) return unknown_command(r->argv[2]);
            r->cli->topic = topic->id;
        }
    } else {
        return unknown_command(word);
    }
    if (r->argc > 2 + takes)
        return lloyd_fail(LLOYD_USAGE, "'%s' after lloyd %s is out of place", r->argv[2 + takes],
                          word);
    return LLOYD_OK;
}

lloyd_status lloyd_cli_parse(int argc, char *const argv[], lloyd_cli *cli)
{
    set_defaults(cli);
    cli->program = argc > 0 ? argv[0] : "lloyd";
    cli->inputs = calloc((size_t)argc + 1, sizeof *cli->inputs);
    if (cli->inputs == NULL) return lloyd_fail(LLOYD_FAILED, "no memory for the command line");

    reader r = {.argc = argc, .argv = argv, .cli = cli};
    lloyd_status status = read_line(&r);
    if (status == LLOYD_OK) status = lloyd_cli_join(argc, argv, &cli->line);
    if (status != LLOYD_OK) {
        lloyd_cli_free(cli);
        return status;
    }
    cli->fit.inputs = cli->predict.inputs = cli->inputs;
    cli->fit.input_count = cli->predict.input_count = cli->input_count;
    cli->fit.command = cli->line;
    cli->report.model = cli->file;
    return LLOYD_OK;
}

void lloyd_cli_free(lloyd_cli *cli)
{
    free(cli->line);
    free(cli->inputs);
    *cli = (lloyd_cli){.command = LLOYD_CLI_HELP};
}

/* ---- Quoting --------------------------------------------------------------------------- */

/* Appends the argument to `to`, which has room: 4 bytes for each of its bytes, and 3. Returns
 * where it ends. */
static char *quote(char *to, const char *arg)
{
    static const char safe[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-";
    if (*arg != '\0' && arg[strspn(arg, safe)] == '\0') return stpcpy(to, arg);
    *to++ = '\'';
    for (; *arg != '\0'; arg++) {
        if (*arg == '\'')
            to = stpcpy(to, "'\\''"); /* end the quotes, a quoted quote, begin again */
        else
            *to++ = *arg;
    }
    *to++ = '\'';
    *to = '\0';
    return to;
}

lloyd_status lloyd_cli_quote(const char *arg, char **quoted)
{
    *quoted = malloc(4 * strlen(arg) + 3);
    if (*quoted == NULL) return lloyd_fail(LLOYD_FAILED, "no memory to quote an argument");
    quote(*quoted, arg);
    return LLOYD_OK;
}

lloyd_status lloyd_cli_join(int argc, char *const argv[], char **line)
{
    size_t bytes = 1;
    for (int i = 0; i < argc; i++) bytes += 4 * strlen(argv[i]) + 3;
    *line = malloc(bytes);
    if (*line == NULL) return lloyd_fail(LLOYD_FAILED, "no memory for the command line");
    char *to = *line;
    *to = '\0';
    for (int i = 0; i < argc; i++) {
        if (i > 0) *to++ = ' ';
        to = quote(to, argv[i]);
    }
    return LLOYD_OK;
}

/* ---- Help ------------------------------------------------------------------------------ */

enum { HELP_WIDTH = 80 };

/* The text in lines of at most HELP_WIDTH columns, each after `indent` blanks. A tab is a blank at
 * which no line ends. */
static void print_wrapped(FILE *out, int indent, const char *text)
{
    int column = 0;
    while (*text != '\0') {
        int length = (int)strcspn(text, " ");
        if (column > 0 && column + 1 + length > HELP_WIDTH) {
            fputc('\n', out);
            column = 0;
        }
        column += column == 0 ? fprintf(out, "%*s", indent, "") : fprintf(out, " ");
        for (int i = 0; i < length; i++) fputc(text[i] == '\t' ? ' ' : text[i], out);
        column += length;
        text += length + (text[length] == ' ');
    }
    fputc('\n', out);
}

/* "--metric l2|cosine" into text. */
static const char *signature(const option *o, char *text, size_t bytes)
{
    char list[160] = "";
    if (o->choices != NULL) list_choices(o->choices, "|", list, sizeof list);
    snprintf(text, bytes, "%s%s%s%s%s", o->name, o->kind == FLAG ? "" : " ", list,
             o->choices != NULL && o->argument != NULL ? "|" : "",
             o->argument != NULL ? o->argument : "");
    return text;
}

/* " Default:\t25." into text; empty where an option has no default, which is where the default is
 * not a value one could give. */
static const char *default_value(const option *o, const lloyd_cli *defaults, char *text,
                                 size_t bytes)
{
    const void *at = (const char *)defaults + o->offset;
    text[0] = '\0';
    if (o->required) return text;
    if (o->kind == CHOICE || o->kind == INIT)
        snprintf(text, bytes, " Default:\t%s.", *(const char *const *)at);
    if (o->kind == WHOLE && *(const int64_t *)at >= o->least)
        snprintf(text, bytes, " Default:\t%lld.", (long long)*(const int64_t *)at);
    if (o->kind == SEED)
        snprintf(text, bytes, " Default:\t%llu.", (unsigned long long)*(const uint64_t *)at);
    if (o->kind == REAL) snprintf(text, bytes, " Default:\t%g.", *(const double *)at);
    if (o->kind == PERIOD) snprintf(text, bytes, " Default:\t%gm.", *(const double *)at / 60);
    return text;
}

static void help_command(FILE *out, const command *c)
{
    char text[256], value[64], paragraph[1024];
    lloyd_cli defaults;
    set_defaults(&defaults);
    fprintf(out, "Usage: lloyd %s", c->name);
    if (c->positional != NULL) fprintf(out, " %s", c->positional);
    int optional = 0;
    for (const option *o = c->options; o->name != NULL; o++) {
        if (o->required)
            fprintf(out, " %s", signature(o, text, sizeof text));
        else
            optional = 1;
    }
    fprintf(out, "%s\n\n", optional ? " [OPTION ...]" : "");
    print_wrapped(out, 0, c->help);
    if (c->options->name != NULL) fprintf(out, "\nOptions:\n");
    for (const option *o = c->options; o->name != NULL; o++) {
        fprintf(out, "  %s%s%s\n", o->letter != NULL ? o->letter : "",
                o->letter != NULL ? ", " : "", signature(o, text, sizeof text));
        snprintf(paragraph, sizeof paragraph, "%s%s", o->help,
                 default_value(o, &defaults, value, sizeof value));
        print_wrapped(out, 6, paragraph);
    }
    fprintf(out, "\nExample:\n  %s\n", c->example);
}

void lloyd_cli_help(FILE *out, lloyd_cli_command topic)
{
    const command *c = find_command(topic);
    if (c != NULL) {
        help_command(out, c);
        return;
    }
    fprintf(out,
            "lloyd " LLOYD_VERSION ": exact k-means for vectors that do not fit one machine\n\n"
            "Usage: lloyd COMMAND [OPTION ...]\n\nCommands:\n");
    for (int i = 0; i < COMMANDS; i++)
        fprintf(out, "  %-9s%s\n", commands[i].name, commands[i].brief);
    fprintf(out, "  %-9s%s\n", "help", "show this, or the options of a command: lloyd help fit");
    fprintf(out, "\nOptions:\n  --help     show this; before or after a command, its options\n"
                 "  --version  show the version\n\nFirst steps:\n"
                 "  lloyd synth --rows 100000 --dim 64 --clusters 50 --output x.h5\n"
                 "  mpirun -n 2 lloyd fit --input x.h5 -k 50 --output model.h5\n"
                 "  lloyd info model.h5\n\n"
                 "Exit status: 0 done, 1 failed while running, 2 wrong usage, 3 bad input,\n"
                 "75 stopped by a signal (with --checkpoint, --resume goes on).\n");
}
