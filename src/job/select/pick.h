/* Rows of the dataset by their numbers, in any order, as float32. */
#ifndef LLOYD_SELECT_PICK_H
#define LLOYD_SELECT_PICK_H

#include "base/status.h"
#include "io/rows.h"

#include <stdint.h>

typedef struct lloyd_pick lloyd_pick;

/* For up to `most` rows at a time. `rows` is borrowed, with no row left out. */
lloyd_status lloyd_pick_open(lloyd_rows *rows, int64_t most, int threads, lloyd_pick **pick);
void lloyd_pick_close(lloyd_pick *pick); /* NULL is allowed */

/* Bytes of it for each row, and beside that. */
int64_t lloyd_pick_bytes_per_row(void);
int64_t lloyd_pick_bytes(const lloyd_rows *rows);

/* out[i * dim ..] = row numbers[i], i < count. The rows are read in the order of the dataset. */
lloyd_status lloyd_pick_read(lloyd_pick *pick, const int64_t *numbers, int64_t count, float *out);

#endif
