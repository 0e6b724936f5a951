/* What the iterations consist of, on one rank. */
#ifndef LLOYD_PARTS_H
#define LLOYD_PARTS_H

typedef enum lloyd_part {
    LLOYD_PART_ROWS,   /* waiting for rows that do not stay where they are used */
    LLOYD_PART_ASSIGN, /* the filter and its certificate */
    LLOYD_PART_VERIFY, /* rows without a certificate */
    LLOYD_PART_UPDATE, /* sums of clusters, inertia, new centroids */
    LLOYD_PART_IDLE,   /* waiting for slower ranks */
    LLOYD_PART_SUM,    /* the all-reduce */
    LLOYD_PARTS,
    LLOYD_PART_NONE = LLOYD_PARTS /* what is none of these */
} lloyd_part;

#define LLOYD_PART_NAMES                                                                           \
    {                                                                                              \
        "rows", "assign", "verify", "update", "idle", "sum"                                        \
    }

#endif
