/* What rows of table.c and tools.c have in common. Private to src/options. */
#ifndef LLOYD_OPTION_SHARED_H
#define LLOYD_OPTION_SHARED_H

#include "options/option.h"

/* Of --init, --empty and --backend; of --raw, the types of files without a header; of --progress. */
extern const lloyd_option_choice lloyd_init_choices[], lloyd_empty_choices[],
    lloyd_backend_choices[], lloyd_raw_choices[], lloyd_progress_choices[];

/* The help of options that several commands have. */
extern const char lloyd_input_help[], lloyd_dataset_help[], lloyd_raw_help[], lloyd_dim_help[],
    lloyd_force_help[], lloyd_skip_help[], lloyd_distances_help[], lloyd_members_help[],
    lloyd_timeout_help[], lloyd_tool_progress_help[];

#endif
