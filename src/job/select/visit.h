/* The order in which the rows of a cluster are visited. */
#ifndef LLOYD_SELECT_VISIT_H
#define LLOYD_SELECT_VISIT_H

#include <stdint.h>

typedef enum lloyd_visit {
    LLOYD_VISIT_RANDOM,   /* by a keyed permutation */
    LLOYD_VISIT_NEAREST,  /* the nearest to the centroid first */
    LLOYD_VISIT_FARTHEST, /* the farthest first */
} lloyd_visit;

/* "random", "nearest" or "farthest". */
lloyd_visit lloyd_visit_named(const char *name);

/* The key of what is drawn of cluster `node` of a level, from 1 on; of level 0: which row of a near-duplicate cluster is
 * visited when (numerics, 11). */
uint64_t lloyd_visit_key(uint64_t seed, int64_t node, int level);

/* The place, among `size` members that are in order of distance, of number i < size of those visited. */
int64_t lloyd_visit_place(lloyd_visit visit, int64_t size, uint64_t key, int64_t i);

#endif
