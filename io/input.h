/* From what a person writes, FILE[:DATASET] with globs, to files and dataset names. */
#ifndef LLOYD_IO_INPUT_H
#define LLOYD_IO_INPUT_H

#include "base/status.h"
#include "base/types.h"

#include <stdint.h>

/* What is said of files that have no header, and so do not say it themselves: rows of `columns`
 * elements, one after the other. */
typedef struct lloyd_headerless {
    lloyd_type type;
    int wide;        /* 1: float64, and type is LLOYD_F32 */
    int64_t columns; /* 0: the files have headers */
} lloyd_headerless;

/* What is said of inputs beside their names. All zeros: nothing. */
typedef struct lloyd_input_form {
    const char
        *dataset; /* of all inputs, which are files only then; NULL: as each says; borrowed */
    lloyd_headerless headerless;
} lloyd_input_form;

/* *form, from --dataset NAME, --raw TYPE ("float32", "float64", ...) and --dim D; NULL, NULL and 0 where
 * they are not given. LLOYD_USAGE where they do not fit each other. */
lloyd_status lloyd_input_form_make(const char *dataset, const char *raw, int64_t dim,
                                   lloyd_input_form *form);

typedef struct lloyd_input {
    char *path;
    char *dataset; /* with a leading '/', or NULL: not named */
} lloyd_input;

typedef struct lloyd_input_list {
    lloyd_input *items;
    int count, capacity;
} lloyd_input_list;

/* Appends the files that `input` stands for. Where the form names a dataset, or the files have no
 * header, it names files only, and may have ':' in it. On failure the list keeps what it has. */
lloyd_status lloyd_input_expand(const char *input, const lloyd_input_form *form,
                                lloyd_input_list *list);

/* The same for a name that stands for files only, without datasets. */
lloyd_status lloyd_input_files(const char *input, lloyd_input_list *list);

void lloyd_input_free(lloyd_input_list *list);

#endif
