/* See history.h. */
#include "algorithm/history.h"

#include "base/memory.h"

#include <string.h>

/* *array (8-byte elements) moves to a place with room for `capacity`. */
static lloyd_status grow(void *array, int64_t count, int64_t capacity)
{
    void *old, *new_place;
    memcpy(&old, array, sizeof old);
    LLOYD_TRY(lloyd_alloc(&new_place, capacity, 8, "the history of the iterations"));
    if (count > 0) memcpy(new_place, old, (size_t)count * 8);
    lloyd_free(old);
    memcpy(array, &new_place, sizeof new_place);
    return LLOYD_OK;
}

lloyd_status lloyd_history_add(lloyd_history *h, const lloyd_iteration *i)
{
    if (h->iterations == h->capacity) {
        int64_t capacity = h->capacity > 0 ? 2 * h->capacity : 32;
        LLOYD_TRY(grow(&h->inertia, h->iterations, capacity));
        LLOYD_TRY(grow(&h->seconds, h->iterations, capacity));
        LLOYD_TRY(grow(&h->moved, h->iterations, capacity));
        h->capacity = capacity;
    }
    h->inertia[h->iterations] = i->inertia;
    h->seconds[h->iterations] = i->seconds;
    h->moved[h->iterations] = i->moved;
    h->iterations++;
    return LLOYD_OK;
}

lloyd_status lloyd_history_extend(lloyd_history *h, const lloyd_history *longer)
{
    while (h->iterations < longer->iterations) {
        int64_t t = h->iterations;
        const lloyd_iteration i = {.inertia = longer->inertia[t],
                                   .seconds = longer->seconds[t],
                                   .moved = longer->moved[t]};
        LLOYD_TRY(lloyd_history_add(h, &i));
    }
    return LLOYD_OK;
}

void lloyd_history_free(lloyd_history *h)
{
    lloyd_free(h->inertia);
    lloyd_free(h->seconds);
    lloyd_free(h->moved);
    *h = (lloyd_history){0};
}
