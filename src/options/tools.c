/* The options of the commands around fit and predict: rows of the table in table.c. */
#include "options/tools.h"

#include "lloyd/lloyd.h"
#include "options/shared.h"

static const lloyd_option_choice type_choices[] = {{"float32", "float"}, {"float16", "half"},
                                                   {"bfloat16", "bf16"}, {"uint8", "u8"},
                                                   {"int8", "i8"},       {NULL, NULL}};

static const lloyd_option_choice format_choices[] = {{"npy", "numpy"},
                                                     {"fvecs", NULL},
                                                     {"csv", "text"},
                                                     {NULL, NULL}};

static const lloyd_option_choice keep_choices[] = {{"farthest", "hard"},
                                                   {"nearest", "easy"},
                                                   {"random", NULL},
                                                   {NULL, NULL}};

static const lloyd_option_choice compare_with_choices[] = {{"kept", NULL},
                                                           {"all", "any"},
                                                           {NULL, NULL}};

static const lloyd_option_choice order_choices[] = {{"random", NULL},
                                                    {"nearest", "closest"},
                                                    {"farthest", NULL},
                                                    {NULL, NULL}};

const lloyd_option lloyd_tool_info[] = {
    {.name = "--dataset",
     .argument = "NAME",
     .kind = LLOYD_OPTION_TEXT,
     .offset = offsetof(lloyd_info_options, dataset),
     .help =
         "The dataset of FILE to show, for names with a colon in them; else FILE:DATASET will do."},
    {.name = "--raw",
     .kind = LLOYD_OPTION_CHOICE,
     .offset = offsetof(lloyd_info_options, raw),
     .choices = lloyd_raw_choices,
     .help = lloyd_raw_help},
    {.name = "--dim",
     .argument = "D",
     .kind = LLOYD_OPTION_WHOLE,
     .offset = offsetof(lloyd_info_options, dim),
     .least = 1,
     .most = INT64_MAX,
     .help = lloyd_dim_help},
    {.name = NULL}};

#define AT(field) offsetof(lloyd_report_options, field)
const lloyd_option lloyd_tool_report[] = {
    {.name = "--output",
     .letter = "-o",
     .argument = "REPORT.html",
     .kind = LLOYD_OPTION_TEXT,
     .required = 1,
     .offset = AT(output),
     .help = "The page. Written under another name and renamed when complete."},
    {.name = "--log",
     .argument = "FILE.jsonl",
     .kind = LLOYD_OPTION_TEXT,
     .offset = AT(log),
     .help =
         "The log of the fit, for the time of each phase and the share of labels that were decided "
         "in double precision. Default: the log that the model names, if it still exists."},
    {.name = "--force",
     .kind = LLOYD_OPTION_FLAG,
     .role = LLOYD_OPTION_OWN,
     .offset = AT(force),
     .help = lloyd_force_help},
    {.name = NULL}};
#undef AT

#define AT(field) offsetof(lloyd_export_options, field)
const lloyd_option lloyd_tool_export[] =
    {{.name = "--to",
      .argument = "FOLDER",
      .kind = LLOYD_OPTION_TEXT,
      .required = 1,
      .offset = AT(to),
      .help = "The folder to make. It is written under another name and renamed when complete, and "
              "replaces an older export of this name, but no folder with other files."},
     {.name = "--format",
      .kind = LLOYD_OPTION_CHOICE,
      .offset = AT(format),
      .standard = "npy",
      .choices = format_choices,
      .help =
          "Of the files: NumPy's; fvecs, for the centroids, and npy for all else; or numbers as "
          "text, a row in a line."},
     {.name = "--force",
      .kind = LLOYD_OPTION_FLAG,
      .role = LLOYD_OPTION_OWN,
      .offset = AT(force),
      .help = "Replace an existing folder with files of these names even if lloyd has not written "
              "it. Without this option, lloyd refuses."},
     {.name = NULL}};
#undef AT

#define AT(field) offsetof(lloyd_select_options, field)
const lloyd_option lloyd_tool_select[] = {
    {.name = "--sample",
     .argument = "N",
     .kind = LLOYD_OPTION_WHOLE,
     .offset = AT(sample),
     .least = 1,
     .most = INT64_MAX,
     .help =
         "Select N rows in all, from every cluster as many as from every other one: only of a "
         "cluster that has fewer, all. With several files, the clusters of the last one share N, "
         "the clusters in each of them share what it gets, and so on."},
    {.name = "--order",
     .kind = LLOYD_OPTION_CHOICE,
     .offset = AT(order),
     .standard = "random",
     .choices = order_choices,
     .help = "Of --sample: which rows of a cluster are taken; with nearest or farthest, those "
             "that are so to its centroid."},
    {.name = "--nearest",
     .argument = "R",
     .kind = LLOYD_OPTION_WHOLE,
     .offset = AT(nearest),
     .least = 1,
     .most = INT64_MAX,
     .help =
         "Select the R rows of every cluster that are nearest to its centroid; all of a cluster "
         "that has no more."},
    {.name = "--farthest",
     .argument = "R",
     .kind = LLOYD_OPTION_WHOLE,
     .offset = AT(farthest),
     .least = 1,
     .most = INT64_MAX,
     .help = "Select the R rows of every cluster that are farthest from its centroid."},
    {.name = "--near-duplicates",
     .argument = "T",
     .kind = LLOYD_OPTION_SHARE,
     .offset = AT(near_duplicates),
     .help =
         "Leave out rows whose cosine similarity to a row of their cluster that stays is above T, such "
         "as 0.95, before anything else is selected; needs --input. The time grows with the sum of the "
         "squares of the cluster sizes; all ranks take part."},
    {.name = "--keep",
     .kind = LLOYD_OPTION_CHOICE,
     .offset = AT(keep),
     .standard = "farthest",
     .choices = keep_choices,
     .help =
         "Of --near-duplicates: which of them stays, that farthest from the centroid, that nearest "
         "to it, or any. More exactly, in which order the rows of a cluster are looked at."},
    {.name = "--compare-with",
     .kind = LLOYD_OPTION_CHOICE,
     .offset = AT(compare_with),
     .standard = "kept",
     .choices = compare_with_choices,
     .help =
         "Of --near-duplicates: which earlier rows of its cluster a row is compared with: only those that "
         "are kept, or all, also those that are left out, as SemDeDup and NeMo Curator do. With all, more "
         "rows are left out, some of them similar to none that is kept."},
    {.name = "--seed",
     .argument = "S",
     .kind = LLOYD_OPTION_SEED,
     .offset = AT(seed),
     .standard = "0",
     .help = "Seed of everything random, a whole number of 64 bits."},
    {.name = "--input",
     .argument = "FILE[:DATASET]",
     .kind = LLOYD_OPTION_INPUT,
     .role = LLOYD_OPTION_OWN,
     .offset = AT(inputs),
     .help = lloyd_input_help},
    {.name = "--dataset",
     .argument = "NAME",
     .kind = LLOYD_OPTION_TEXT,
     .role = LLOYD_OPTION_OWN,
     .offset = AT(dataset),
     .help = lloyd_dataset_help},
    {.name = "--raw",
     .kind = LLOYD_OPTION_CHOICE,
     .role = LLOYD_OPTION_OWN,
     .offset = AT(raw),
     .choices = lloyd_raw_choices,
     .help = lloyd_raw_help},
    {.name = "--dim",
     .argument = "D",
     .kind = LLOYD_OPTION_WHOLE,
     .role = LLOYD_OPTION_OWN,
     .offset = AT(dim),
     .least = 1,
     .most = INT64_MAX,
     .help = lloyd_dim_help},
    {.name = "--output",
     .letter = "-o",
     .argument = "ROWS.npy|FILE.h5[:DATASET]",
     .kind = LLOYD_OPTION_TEXT,
     .required = 1,
     .offset = AT(output),
     .help =
         "The row numbers, int64, in increasing order: a NumPy file, or the only dataset of an HDF5 "
         "file, /rows if it is not named."},
    {.name = "--force",
     .kind = LLOYD_OPTION_FLAG,
     .role = LLOYD_OPTION_OWN,
     .offset = AT(force),
     .help = lloyd_force_help},
    {.name = "--max-host-memory",
     .argument = "BYTES",
     .kind = LLOYD_OPTION_BYTES,
     .role = LLOYD_OPTION_OWN,
     .offset = AT(max_host_memory),
     .least = 1,
     .most = INT64_MAX,
     .help =
         "Memory that each rank may use for near-duplicates; by default a fourth of its share of "
         "what is available. More reads the rows in fewer and longer pieces. The result is the same."},
    {.name = "--progress",
     .kind = LLOYD_OPTION_CHOICE,
     .role = LLOYD_OPTION_OWN,
     .offset = AT(progress),
     .standard = "auto",
     .choices = lloyd_progress_choices,
     .help =
         "How the search for near-duplicates shows what is done: auto is a line that is redrawn on a "
         "terminal, and plain lines elsewhere."},
    {.name = "--timeout",
     .argument = "TIME",
     .kind = LLOYD_OPTION_PERIOD,
     .role = LLOYD_OPTION_OWN,
     .offset = AT(timeout),
     .standard = "30m",
     .help = "As for fit."},
    {.name = NULL}};
#undef AT

const lloyd_option lloyd_tool_wrap[] =
    {{.name = "--raw",
      .kind = LLOYD_OPTION_CHOICE,
      .offset = offsetof(lloyd_wrap_options, raw),
      .choices = lloyd_raw_choices,
      .help = lloyd_raw_help},
     {.name = "--dim",
      .argument = "D",
      .kind = LLOYD_OPTION_WHOLE,
      .offset = offsetof(lloyd_wrap_options, dim),
      .least = 1,
      .most = INT64_MAX,
      .help = lloyd_dim_help},
     {.name = "--output",
      .letter = "-o",
      .argument = "X.h5",
      .kind = LLOYD_OPTION_TEXT,
      .required = 1,
      .offset = offsetof(lloyd_wrap_options, output),
      .help = "The HDF5 file; its dataset /train is the rows of the raw files."},
     {.name = "--force",
      .kind = LLOYD_OPTION_FLAG,
      .role = LLOYD_OPTION_OWN,
      .offset = offsetof(lloyd_wrap_options, force),
      .help = lloyd_force_help},
     {.name = NULL}};

#define AT(field) offsetof(lloyd_synth_options, field)
const lloyd_option lloyd_tool_synth[] = {{.name = "--rows",
                                          .argument = "N",
                                          .kind = LLOYD_OPTION_WHOLE,
                                          .required = 1,
                                          .offset = AT(rows),
                                          .least = 1,
                                          .most = INT64_MAX,
                                          .help = "Number of rows."},
                                         {.name = "--dim",
                                          .argument = "D",
                                          .kind = LLOYD_OPTION_WHOLE,
                                          .required = 1,
                                          .offset = AT(dim),
                                          .least = 1,
                                          .most = INT64_MAX,
                                          .help = "Number of columns."},
                                         {.name = "--clusters",
                                          .argument = "C",
                                          .kind = LLOYD_OPTION_WHOLE,
                                          .required = 1,
                                          .offset = AT(clusters),
                                          .least = 1,
                                          .most = INT64_MAX,
                                          .help = "Number of Gaussians in the mixture."},
                                         {.name = "--type",
                                          .kind = LLOYD_OPTION_CHOICE,
                                          .offset = AT(type),
                                          .standard = "float32",
                                          .choices = type_choices,
                                          .help = "How the elements are stored."},
                                         {.name = "--seed",
                                          .argument = "S",
                                          .kind = LLOYD_OPTION_SEED,
                                          .offset = AT(seed),
                                          .standard = "0",
                                          .help = "Seed, a whole number of 64 bits."},
                                         {.name = "--output",
                                          .letter = "-o",
                                          .argument = "X.h5",
                                          .kind = LLOYD_OPTION_TEXT,
                                          .required = 1,
                                          .offset = AT(output),
                                          .help =
                                              "The HDF5 file; the rows are its dataset /train."},
                                         {.name = "--force",
                                          .kind = LLOYD_OPTION_FLAG,
                                          .role = LLOYD_OPTION_OWN,
                                          .offset = AT(force),
                                          .help = lloyd_force_help},
                                         {.name = NULL}};
#undef AT
