/* See shared.h. */
#include "options/shared.h"

const lloyd_option_choice lloyd_init_choices[] = {{"random", NULL},
                                                  {"kmeans++", NULL},
                                                  {"kmeans-parallel", "kmeans||"},
                                                  {NULL, NULL}};

const lloyd_option_choice lloyd_empty_choices[] = {{"relocate", NULL},
                                                   {"keep", NULL},
                                                   {NULL, NULL}};

const lloyd_option_choice lloyd_backend_choices[] = {{"auto", NULL},
                                                     {"cuda", "gpu"},
                                                     {"cpu", NULL},
                                                     {NULL, NULL}};

const lloyd_option_choice lloyd_raw_choices[] = {{"float32", "float"}, {"float16", "half"},
                                                 {"bfloat16", "bf16"}, {"uint8", "u8"},
                                                 {"int8", "i8"},       {"float64", "double"},
                                                 {NULL, NULL}};

const char lloyd_raw_help[] =
    "The files have no header: elements of this type, little-endian, row by row, with as many columns "
    "as --dim says. float64 is rounded to float32.";

const char lloyd_dim_help[] = "With --raw: number of columns.";

const char lloyd_force_help[] =
    "Replace an existing file of the output's name even if lloyd has not written it. Without this "
    "option, lloyd refuses.";

const lloyd_option_choice lloyd_progress_choices[] = {{"auto", NULL},
                                                      {"bar", NULL},
                                                      {"plain", NULL},
                                                      {"none", NULL},
                                                      {NULL, NULL}};

const char lloyd_input_help[] =
    "File with the rows: HDF5 (a two-dimensional dataset), .npy, .fbin, .u8bin, .i8bin, .fvecs, "
    ".bvecs, or without a header (--raw). FILE may be a shell glob in quotes, and the option may be given several times: several "
    "files are one dataset, in the order given. DATASET, of HDF5 only, defaults to the only "
    "two-dimensional dataset of the file, else /train.";

const char lloyd_dataset_help[] =
    "The dataset of every input, each of which is FILE then: for names with a colon in them.";

const char lloyd_skip_help[] =
    "Leave out rows with NaN or infinity (with the cosine metric, rows of zeros too), and give them the "
    "label -1; the result is that of the other rows alone. The rows are read once more at the beginning. "
    "Without this option such a row is an error.";

const char lloyd_distances_help[] = "Write /distances too: squared, to the centroid of the label.";

const char lloyd_members_help[] =
    "Write /members and /offsets too: the numbers of the rows of each cluster, one cluster after the "
    "other, in a cluster the row nearest to its centroid first.";

const char lloyd_tool_progress_help[] =
    "Progress of rank 0, on standard error: auto is a line that is redrawn on a terminal, and plain lines "
    "elsewhere.";

const char lloyd_timeout_help[] =
    "How long a rank waits for another, in seconds, or as in 30s, 10m, 2h. After that the job ends "
    "and names the ranks that did not respond. The time must exceed the delay of the slowest rank in "
    "a pass.";
