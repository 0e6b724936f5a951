/* See shown.h. */
#include "job/select/shown.h"

#include "base/clock.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { NOTHING, LINES, BAR };

static const double BETWEEN_LINES = 10, BETWEEN_BARS = 0.5; /* seconds */

void lloyd_shown_begin(lloyd_shown *shown, const char *mode, double total)
{
    const double now = lloyd_seconds();
    *shown = (lloyd_shown){.began = now, .last = now, .total = total};
    if (strcmp(mode, "auto") == 0)
        shown->mode = isatty(STDERR_FILENO) ? BAR : LINES;
    else
        shown->mode = strcmp(mode, "bar") == 0 ? BAR : strcmp(mode, "plain") == 0 ? LINES : NOTHING;
}

void lloyd_shown_at(lloyd_shown *shown, double done, int64_t dropped)
{
    const double now = lloyd_seconds(), taken = now - shown->began;
    char left_out[32], left[32];
    if (shown->mode == NOTHING || done <= 0 ||
        now - shown->last < (shown->mode == BAR ? BETWEEN_BARS : BETWEEN_LINES))
        return;
    shown->last = now;
    fprintf(stderr, "%snear-duplicates: %3.0f %%, %s rows left out, ETA %s%s",
            shown->mode == BAR ? "\r" : "", 100 * done / shown->total,
            lloyd_text_count(dropped, left_out, sizeof left_out),
            lloyd_text_seconds(taken * (shown->total - done) / done, left, sizeof left),
            shown->mode == BAR ? "  " : "\n");
    fflush(stderr);
    shown->open = shown->mode == BAR;
}

void lloyd_shown_end(lloyd_shown *shown)
{
    if (shown->open) fputc('\n', stderr);
    shown->open = 0;
}
