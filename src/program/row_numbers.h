/* What `lloyd info` prints of a file with the numbers of some rows. */
#ifndef LLOYD_ROW_NUMBERS_H
#define LLOYD_ROW_NUMBERS_H

#include "base/status.h"

/* Of FILE[:DATASET], as lloyd_numbers_open() takes it. One pass in bounded memory. */
lloyd_status lloyd_row_numbers_info(const char *input);

#endif
