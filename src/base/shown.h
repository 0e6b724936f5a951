/* How far a command is that is no fit, while it runs: on standard error of rank 0. */
#ifndef LLOYD_BASE_SHOWN_H
#define LLOYD_BASE_SHOWN_H

typedef struct lloyd_shown {
    int mode;           /* 0: nothing; 1: lines, some seconds apart; 2: one line that is redrawn */
    double began, last; /* lloyd_seconds() */
    const char *what;   /* is done, "near-duplicates"; borrowed */
    double total;       /* of it, in whatever unit */
    int open;           /* 1: a line has no end yet */
} lloyd_shown;

/* mode: "auto" (bar on a terminal, plain elsewhere), "bar", "plain" or "none". */
void lloyd_shown_begin(lloyd_shown *shown, const char *mode, const char *what, double total);

/* So much of the total is done; found: what came of it so far, "12 rows left out". */
void lloyd_shown_at(lloyd_shown *shown, double done, const char *found);

void lloyd_shown_end(lloyd_shown *shown);

#endif
