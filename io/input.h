/* From what a person writes, FILE[:DATASET] with globs, to files and dataset names. */
#ifndef LLOYD_IO_INPUT_H
#define LLOYD_IO_INPUT_H

#include "base/status.h"

typedef struct lloyd_input {
    char *path;
    char *dataset; /* with a leading '/', or NULL: not named */
} lloyd_input;

typedef struct lloyd_input_list {
    lloyd_input *items;
    int count, capacity;
} lloyd_input_list;

/* Appends the files that `input` stands for. With `dataset` (else NULL) it names files only, of
 * which this is the dataset, and may have ':' in it. On failure the list keeps what it has. */
lloyd_status lloyd_input_expand(const char *input, const char *dataset, lloyd_input_list *list);

/* The same for a name that stands for files only, without datasets. */
lloyd_status lloyd_input_files(const char *input, lloyd_input_list *list);

void lloyd_input_free(lloyd_input_list *list);

#endif
