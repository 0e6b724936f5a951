/* See shown.h. */
#include "base/shown.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { NOTHING, LINES, BAR };

static const double BETWEEN_LINES = 10, BETWEEN_BARS = 0.5; /* seconds */

void lloyd_shown_begin(lloyd_shown *shown, const char *mode, const char *what, double total)
{
    const double now = lloyd_seconds();
    *shown = (lloyd_shown){.began = now, .last = now, .what = what, .total = total};
    if (strcmp(mode, "auto") == 0)
        shown->mode = isatty(STDERR_FILENO) ? BAR : LINES;
    else
        shown->mode = strcmp(mode, "bar") == 0 ? BAR : strcmp(mode, "plain") == 0 ? LINES : NOTHING;
}

void lloyd_shown_at(lloyd_shown *shown, double done, const char *found)
{
    const double now = lloyd_seconds(), taken = now - shown->began;
    char left[32];
    if (shown->mode == NOTHING || done <= 0 ||
        now - shown->last < (shown->mode == BAR ? BETWEEN_BARS : BETWEEN_LINES))
        return;
    shown->last = now;
    fprintf(stderr, "%s%s: %3.0f %%, %s, ETA %s%s", shown->mode == BAR ? "\r" : "", shown->what,
            100 * done / shown->total, found,
            lloyd_text_seconds(taken * (shown->total - done) / done, left, sizeof left),
            shown->mode == BAR ? "  " : "\n");
    fflush(stderr);
    shown->open = shown->mode == BAR;
    (void)lloyd_log_open(shown->open);
}

void lloyd_shown_end(lloyd_shown *shown)
{
    if (lloyd_log_open(0)) fputc('\n', stderr);
    shown->open = 0;
}
