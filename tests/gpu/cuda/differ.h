/* Whether both kernels gave the same, and what is printed where they did not. Every function counts a
 * difference in p->differences. */
#ifndef DIFFER_H
#define DIFFER_H

#include "problem.h"

enum { LOST = 99 }; /* exit status of a child that cannot go on */

/* Begins the message about `what` of the case that runs, and counts it. */
void describe(const problem *p, const char *what);

/* 1 if `what` of one side has not returned LLOYD_OK. Ends the process where the device is lost. */
int failed(problem *p, int side, lloyd_status status, const char *what);

/* Calls a function of kernels.h on one side; returns 0 from the calling function if it fails. */
#define TRY(p, side, what, call)                                                                   \
    do {                                                                                           \
        if (failed((p), (side), (call), (what))) return 0;                                         \
    } while (0)

typedef enum number_kind { I32, I64, F32, F64 } number_kind;

/* 1 if `count` numbers of both sides have the same bits. An array of `width` > 1 columns is
 * described by row and column. *first = the first that differs. */
int same_to(problem *p, const char *what, number_kind kind, const void *cpu, const void *cuda,
            int64_t count, int64_t width, int64_t *first);

/* As same_to(), where nobody asks for the first that differs. */
int same(problem *p, const char *what, number_kind kind, const void *cpu, const void *cuda,
         int64_t count, int64_t width);
int same_count(problem *p, const char *what, const int64_t values[SIDES]);

#endif
