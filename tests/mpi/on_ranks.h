/* Tests of cmocka that run on several ranks at once.
 *
 * A check that fails on one rank ends the test there, while the other ranks wait for it in a collective.
 * cmocka prints what has failed after the test, so the rank ends all of them before its next test. */
#ifndef ON_RANKS_H
#define ON_RANKS_H

#include <mpi.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

typedef void (*ranks_test)(void **state);

static int ranks_test_failed; /* the last one that has run on this rank */

/* A test's setup, and the first thing in the teardown of the group. */
static inline int end_all_if_failed(void **unused)
{
    int several = 0; /* processes that could wait for this one */
    (void)unused;
    MPI_Initialized(&several);
    if (ranks_test_failed && several) {
        (void)fflush(NULL);
        MPI_Abort(MPI_COMM_WORLD, 1);
    }
    return 0;
}

static inline void run_on_ranks(void **state)
{
    void *none = NULL;
    ranks_test_failed = 1;
    (*(ranks_test *)*state)(&none);
    ranks_test_failed = 0;
}

/* A row of the table of a group's tests. */
/* clang-format off */
#define RANKS_TEST(test) {#test, run_on_ranks, end_all_if_failed, NULL, (ranks_test[]){test}}
/* clang-format on */

#endif
