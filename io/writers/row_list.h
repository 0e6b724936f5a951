/* A file with the numbers of some rows, in increasing order: .npy, or a dataset of an HDF5 file. */
#ifndef LLOYD_IO_ROW_LIST_H
#define LLOYD_IO_ROW_LIST_H

#include "base/status.h"
#include "io/writers/output.h"

#include <stdint.h>

/* Where it goes. */
typedef struct lloyd_row_list {
    char *file;
    char *dataset; /* of HDF5, with a leading '/'; NULL: a .npy file */
} lloyd_row_list;

/* From ROWS.npy, or FILE.h5[:DATASET], where DATASET is /rows if it is not named. LLOYD_USAGE where the name
 * is neither. Free it also after a failure. */
lloyd_status lloyd_row_list_name(const char *output, lloyd_row_list *list);
void lloyd_row_list_free(lloyd_row_list *list);

/* What an HDF5 file says of itself. */
typedef struct lloyd_row_list_about {
    const char *version, *method;
    const char *const *inputs;
    int input_count;
} lloyd_row_list_about;

/* Writes the partial file of `output`, opened for list->file, and commits it: as int64 the `count` numbers whose bits
 * are set, number i being bit i mod 64 of marks[i / 64]. Removes the partial file after a failure. */
lloyd_status lloyd_row_list_write(const lloyd_output *output, const lloyd_row_list *list,
                                  const lloyd_row_list_about *about, const uint64_t *marks,
                                  int64_t count);

#endif
