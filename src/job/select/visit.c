/* See visit.h. */
#include "job/select/visit.h"

#include "algorithm/permutation.h"
#include "base/philox.h"

#include <string.h>

lloyd_visit lloyd_visit_named(const char *name)
{
    if (strcmp(name, "nearest") == 0) return LLOYD_VISIT_NEAREST;
    return strcmp(name, "farthest") == 0 ? LLOYD_VISIT_FARTHEST : LLOYD_VISIT_RANDOM;
}

uint64_t lloyd_visit_key(uint64_t seed, int64_t node, int level)
{
    return lloyd_philox64(seed, LLOYD_DRAW_SELECT, (uint64_t)node, (uint32_t)level);
}

int64_t lloyd_visit_place(lloyd_visit visit, int64_t size, uint64_t key, int64_t i)
{
    switch (visit) {
    case LLOYD_VISIT_NEAREST: return i;
    case LLOYD_VISIT_FARTHEST: return size - 1 - i;
    case LLOYD_VISIT_RANDOM: break;
    }
    return lloyd_permuted(size, key, i);
}
