/* See kept.h. */
#include "io/kept.h"

int64_t lloyd_kept_run(const int64_t *numbers, int64_t count)
{
    int64_t run = 1;
    while (run < count && numbers[run] == numbers[0] + run) run++;
    return run < count ? run : count;
}

int64_t lloyd_kept_span(const int64_t *numbers, int64_t count, int64_t gap, int64_t most)
{
    int64_t span = 1;
    while (span < count && numbers[span] - numbers[span - 1] - 1 <= gap &&
           numbers[span] - numbers[0] < most)
        span++;
    return span;
}
