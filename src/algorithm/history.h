/* What the iterations of a fit have found. */
#ifndef LLOYD_HISTORY_H
#define LLOYD_HISTORY_H

#include "algorithm/observer.h"
#include "base/status.h"

#include <stdint.h>

/* Arrays of `iterations` entries, which grow. Starts as zeros; free with lloyd_history_free(). */
struct lloyd_history {
    int64_t iterations, capacity;
    int64_t resumed; /* the first so many are from a checkpoint */
    int converged;
    double *inertia, *seconds;
    int64_t *moved;
};

lloyd_status lloyd_history_add(lloyd_history *history, const lloyd_iteration *i);
/* Adds what `longer`, of the same iterations, has more. */
lloyd_status lloyd_history_extend(lloyd_history *history, const lloyd_history *longer);
void lloyd_history_free(lloyd_history *history);

#endif
