/* See gaps.h. */
#include "io/gaps.h"

#include "base/memory.h"

lloyd_status lloyd_gaps_make(const int64_t *pairs, int64_t count, lloyd_gaps *gaps)
{
    *gaps = (lloyd_gaps){.count = count};
    LLOYD_TRY(lloyd_alloc(&gaps->items, count, sizeof *gaps->items, "the rows that are skipped"));
    for (int64_t i = 0; i < count; i++) {
        gaps->items[i] = (lloyd_gap){.first = pairs[2 * i],
                                     .count = pairs[2 * i + 1],
                                     .before = pairs[2 * i] - gaps->rows};
        gaps->rows += pairs[2 * i + 1];
    }
    return LLOYD_OK;
}

void lloyd_gaps_free(lloyd_gaps *gaps)
{
    lloyd_free(gaps->items);
    *gaps = (lloyd_gaps){0};
}

/* The number of gaps in front of a row that stays. */
static int64_t gaps_before(const lloyd_gaps *gaps, int64_t row)
{
    int64_t low = 0, high = gaps->count;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (gaps->items[middle].before <= row) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

int64_t lloyd_gaps_original(const lloyd_gaps *gaps, int64_t row)
{
    int64_t before = gaps_before(gaps, row);
    if (before == 0) return row;
    const lloyd_gap *last = &gaps->items[before - 1];
    return last->first + last->count + (row - last->before);
}

int64_t lloyd_gaps_run(const lloyd_gaps *gaps, int64_t row, int64_t count)
{
    int64_t next = gaps_before(gaps, row);
    if (next == gaps->count) return count;
    int64_t run = gaps->items[next].before - row;
    return run < count ? run : count;
}
