/* What a search for near-duplicates shows while it runs, on standard error of rank 0. */
#ifndef LLOYD_SELECT_SHOWN_H
#define LLOYD_SELECT_SHOWN_H

#include <stdint.h>

typedef struct lloyd_shown {
    int mode;           /* 0: nothing; 1: lines, some seconds apart; 2: one line that is redrawn */
    double began, last; /* lloyd_seconds() */
    double total;       /* what there is to do, in whatever unit */
    int open;           /* 1: a line has no end yet */
} lloyd_shown;

/* mode: "auto" (bar on a terminal, plain elsewhere), "bar", "plain" or "none". */
void lloyd_shown_begin(lloyd_shown *shown, const char *mode, double total);

/* So much of the total is done, and so many rows are left out so far. */
void lloyd_shown_at(lloyd_shown *shown, double done, int64_t dropped);

void lloyd_shown_end(lloyd_shown *shown);

#endif
