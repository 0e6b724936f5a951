/* Where the time of the iterations goes, on one rank. */
#ifndef LLOYD_PARTS_H
#define LLOYD_PARTS_H

#include "base/clock.h"

typedef enum lloyd_part {
    LLOYD_PART_ROWS,   /* waiting for rows that do not stay where they are used */
    LLOYD_PART_ASSIGN, /* the filter and its certificate */
    LLOYD_PART_VERIFY, /* rows without a certificate */
    LLOYD_PART_UPDATE, /* sums of clusters, inertia, new centroids */
    LLOYD_PART_IDLE,   /* waiting for slower ranks */
    LLOYD_PART_SUM,    /* the all-reduce */
    LLOYD_PARTS
} lloyd_part;

#define LLOYD_PART_NAMES                                                                           \
    {                                                                                              \
        "rows", "assign", "verify", "update", "idle", "sum"                                        \
    }

typedef struct lloyd_parts {
    double seconds[LLOYD_PARTS];
    double since; /* lloyd_seconds() up to which all is accounted for */
} lloyd_parts;

/* What was not accounted for until now belongs to no part. */
static inline void lloyd_parts_begin(lloyd_parts *parts)
{
    parts->since = lloyd_seconds();
}

/* The time since the last call belongs to `part`. */
static inline void lloyd_parts_end(lloyd_parts *parts, lloyd_part part)
{
    double now = lloyd_seconds();
    parts->seconds[part] += now - parts->since;
    parts->since = now;
}

#endif
