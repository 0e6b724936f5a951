/* What a reader of a model should look at before using it: what went wrong, or may have. */
#ifndef LLOYD_WARNINGS_H
#define LLOYD_WARNINGS_H

#include "io/writers/model.h"

enum {
    LLOYD_WARNINGS = 4, /* at most, of one model */
    LLOYD_WARNING_BYTES = 320
};

/* One sentence each: what, how much, what to do. */
typedef struct lloyd_warnings {
    int count;
    char text[LLOYD_WARNINGS][LLOYD_WARNING_BYTES];
} lloyd_warnings;

/* The fit ended before it converged; there are empty clusters, perhaps since there are fewer distinct rows;
 * clusters of one row; one with more than a tenth of all rows, where there are 100 or more clusters. What the model
 * does not say is not warned of. */
void lloyd_warnings_find(const lloyd_model *model, lloyd_warnings *warnings);

#endif
