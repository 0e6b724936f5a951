/* A list of whole numbers in a file: of rows, most of all. .npy, or a dataset of HDF5. */
#ifndef LLOYD_IO_NUMBERS_H
#define LLOYD_IO_NUMBERS_H

#include "base/status.h"

#include <stdint.h>

typedef struct lloyd_numbers lloyd_numbers;

/* Opens FILE or FILE:DATASET: a one-dimensional .npy array of whole numbers, or such a dataset of an HDF5
 * file; without DATASET that is /rows, else the only one-dimensional one. LLOYD_BAD_INPUT with what to
 * do. Close with lloyd_numbers_close(). */
lloyd_status lloyd_numbers_open(const char *input, lloyd_numbers **numbers);
void lloyd_numbers_close(lloyd_numbers *numbers); /* NULL is allowed */

int64_t lloyd_numbers_count(const lloyd_numbers *numbers);
const char *lloyd_numbers_path(const lloyd_numbers *numbers); /* of the file */

/* out[0 .. count) = numbers [first, first + count). Those above 2^63 - 1 become that. */
lloyd_status lloyd_numbers_read(const lloyd_numbers *numbers, int64_t first, int64_t count,
                                int64_t *out);

#endif
