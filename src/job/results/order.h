/* The order of the members of all clusters: by cluster, in a cluster by distance, and of equal distances by
 * row. No two rows are equal in it. */
#ifndef LLOYD_ORDER_H
#define LLOYD_ORDER_H

#include <stdint.h>
#include <string.h>

typedef struct lloyd_member {
    double distance; /* dist() to the centroid: finite, not negative */
    int64_t row;
} lloyd_member;

/* A member and its cluster, as it crosses ranks. */
typedef struct lloyd_placed {
    lloyd_member member;
    int64_t cluster;
} lloyd_placed;

/* Whether a comes before b, of one cluster. */
static inline int lloyd_member_before(const lloyd_member *a, const lloyd_member *b)
{
    return a->distance != b->distance ? a->distance < b->distance : a->row < b->row;
}

static inline int lloyd_placed_before(const lloyd_placed *a, const lloyd_placed *b)
{
    return a->cluster != b->cluster ? a->cluster < b->cluster
                                    : lloyd_member_before(&a->member, &b->member);
}

/* The order within a cluster as that of whole numbers: the bits of the distance, then the row. */
static inline unsigned __int128 lloyd_member_number(const lloyd_member *member)
{
    uint64_t bits;
    memcpy(&bits, &member->distance, sizeof bits);
    return (unsigned __int128)bits << 64 | (uint64_t)member->row;
}

/* Sorts the members of a cluster in place. */
void lloyd_members_sort(lloyd_member *members, int64_t count);

#endif
