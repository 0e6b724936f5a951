/* The arithmetic of pruning (docs/numerics.md, section 2.8), for host and device: which comparisons are left out rests on it, and
 * tests/unit/kernels/test_prune_bound.c tries to break it.
 *
 * Centroids are in groups, and each row has a bound of 16 bits for each group. A bound b of row x and group g claims
 *
 *     per_unit |x - c[k]| >= b - drift[g]    for each centroid k of g but the row's label
 *
 * where drift[g] grows with every movement of the centroids of g, so that bounds need not be rewritten. 0 claims nothing. per_unit
 * is how many units of bounds a distance of 1 has: any positive number is right, but the same for a bound's life.
 */
#ifndef LLOYD_KERNELS_PRUNE_BOUND_H
#define LLOYD_KERNELS_PRUNE_BOUND_H

#include "kernels/numerics.h"

enum {
    PRUNE_MOST = 65535, /* the greatest bound, and one that no group passes as `reach` or `drift` */
    PRUNE_DISTANCE =
        4096, /* units that the distance of a typical row to its centroid should have */
    PRUNE_MOST_DRIFT = 32768, /* from here on bounds have little room: lloyd_group_rebase() */
    PRUNE_MOST_COLUMNS = 1 << 26
};

/* Pays for all roundings of a few operations in double, and for those of dist() up to PRUNE_MOST_COLUMNS. */
#define PRUNE_SLACK 0x1p-28

/* The drift of a group after its centroids have moved; `square`: the greatest dist() of a new centroid of the group and its old
 * one. At least drift + per_unit |c - c_old|; drift itself where none has moved. */
LLOYD_HD double lloyd_group_drift(double drift, double square, double per_unit)
{
    if (square == 0) return drift;
    return (drift + per_unit * sqrt(square) * (1 + PRUNE_SLACK)) * (1 + 0x1p-40);
}

/* The least distance r with r^2 / 2 + spread r >= half, rounded down: a lower bound of the distance to a centroid from its score (half =
 * Z - s less what rounds them, rounded down; spread = F, rounded up). */
LLOYD_HD float lloyd_group_least(float half, float spread)
{
    const float square = spread * spread + 2 * half;
    if (!(half > 0) || !(square > 0x1p-100F && square < INFINITY)) return 0;
    const float least = sqrtf(square) * (1 - 0x1p-20F) - spread * (1 + 0x1p-20F);
    return least > 0 ? least : 0;
}

/* A bound, where all these centroids are at a distance of `least` or more: at most least per_unit + drift. `least` may also be the
 * root of the dist() of the nearest one. */
LLOYD_HD uint16_t lloyd_group_bound(double least, double per_unit, double drift)
{
    const double room = (least > 0 ? least : 0) * per_unit * (1 - PRUNE_SLACK);
    const double bound = (drift + room) * (1 - 0x1p-40);
    return (uint16_t)(int32_t)(bound < (double)PRUNE_MOST ? bound : (double)PRUNE_MOST);
}

/* A first bound of a row, from its distance to its own centroid and from that centroid's to the others: `apart` is at most per_unit |c[label] -
 * c[k]| for each k of the group but the label, `reach` at least per_unit |x - c[label]|. At most what is left of it by the triangle
 * inequality, plus the drift. */
LLOYD_HD uint16_t lloyd_group_begun(uint16_t apart, uint16_t reach, double drift)
{
    if (apart <= reach) return 0;
    const double bound = (double)(apart - reach) + floor(drift);
    return (uint16_t)(int32_t)(bound < (double)PRUNE_MOST ? bound : (double)PRUNE_MOST);
}

/* What a bound must be above for all of its centroids to have a greater dist() than one at this distance (the root of its dist(), or
 * any upper bound of its distance). */
LLOYD_HD float lloyd_group_reach(double distance, double per_unit)
{
    return lloyd_bound_up(distance * per_unit * (1 + PRUNE_SLACK));
}

/* The reach of a row that is not measured again grows by as much as its centroid moves: far + path, rounded up, where `path` is how far
 * that centroid has come, grown as a drift, and far = reach - path as it was measured. */
LLOYD_HD float lloyd_group_far(float reach, double path)
{
    return lloyd_bound_up((double)reach - path + ((double)reach + path) * 0x1p-50);
}

LLOYD_HD float lloyd_group_reach_of_far(float far, double path)
{
    return lloyd_bound_up((double)far + path);
}

/* 1: a centroid of the group may be the label. `drift_up`: lloyd_bound_up(drift). The bound is an integer, and rounding the sum of the
 * others to nearest takes no sum across an integer. */
LLOYD_HD int lloyd_group_fails(uint16_t bound, float reach, float drift_up)
{
    return !((float)bound > reach + drift_up);
}

/* A reach or drift in whole units, rounded up, for comparisons in 16 bits: the group fails unless bound > sum, where the sum of the two
 * stops at PRUNE_MOST. */
LLOYD_HD uint16_t lloyd_group_whole(float units)
{
    return units < (float)PRUNE_MOST ? (uint16_t)ceilf(units) : (uint16_t)PRUNE_MOST;
}

/* What the bounds of a group become when its drift is made smaller: bound - shift, or 0. *shift is at most PRUNE_MOST. Returns the new
 * drift, below 1. */
LLOYD_HD double lloyd_group_rebase(double drift, uint16_t *shift)
{
    const int all = !(drift < (double)PRUNE_MOST);
    const double whole = all ? (double)PRUNE_MOST : floor(drift);
    *shift = (uint16_t)whole;
    return all ? 0 : drift - whole;
}

LLOYD_HD uint16_t lloyd_group_shifted(uint16_t bound, uint16_t shift)
{
    return bound > shift ? (uint16_t)(bound - shift) : 0;
}

#endif
