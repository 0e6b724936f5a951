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
