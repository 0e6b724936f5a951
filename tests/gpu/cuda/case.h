/* The case that runs: its name, its result, and what the program was asked for. */
#ifndef CASE_H
#define CASE_H

#include "problem.h"

#include <time.h>

enum { TYPES = LLOYD_I8 + 1, TALLIES = 40 };

typedef struct test_options {
    int small, verbose, one_process, threads, only;
    const char *override; /* names of lloyd_cuda_override(), "": none */
    int64_t random;
    uint64_t seed;
    double budget; /* the most N*K*D of a case */
} test_options;

extern test_options options;

/* What outlives a child. */
typedef struct progress_of_all {
    int next; /* the number of the next case */
    int from; /* cases before this one were run by a child that has ended */
    int cases, bad_cases;
    int here;     /* bad cases of this cmocka test */
    time_t began; /* of the case that runs, 0: none does */
    char name[256];
    struct {
        char what[48];
        int count[TYPES];
    } tally[TALLIES]; /* how often something differed */
} progress_of_all;

extern progress_of_all *progress;

double seconds(void);

/* 0: this case is not for this process. Numbers its words by the case, so that any case can be
 * repeated alone. */
int begin_case(const test_case *c, const char *what);

/* `start`: seconds() when it began. */
void end_case(const problem *p, double start);

/* Fails the cmocka test if one of its cases was bad. */
void finish_list(void);

#endif
