/* The final assignment (src/algorithm/fit.c) is done, and not only asked for, when it is over: a clock that is
 * read then has seen it. The kernels here are as slow as a GPU that has a queue: they only enqueue,
 * and are done when they are waited for. */
#include "algorithm/fit.h"
#include "comm/self.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

enum { WORK_US = 50000 };

static int asked, done;
static lloyd_status outcome;

static lloyd_status begin(lloyd_kernels *kernels)
{
    (void)kernels;
    asked = 1;
    return LLOYD_OK;
}

static lloyd_status finish(lloyd_kernels *kernels)
{
    (void)kernels;
    if (asked) usleep(WORK_US);
    done = asked;
    return outcome == LLOYD_OK ? LLOYD_OK : lloyd_fail(outcome, "the GPU has failed");
}

static int open_problem(lloyd_problem *p, lloyd_kernels *kernels, lloyd_shard *shard)
{
    *kernels = (lloyd_kernels){.begin = begin, .finish = finish};
    *shard = (lloyd_shard){.chunks = 0};
    *p = (lloyd_problem){.shard = shard, .kernels = kernels};
    asked = done = 0;
    return lloyd_comm_self(&p->comm) == LLOYD_OK;
}

static void the_call_waits(void **state)
{
    lloyd_problem p;
    lloyd_kernels kernels;
    lloyd_shard shard;
    (void)state;
    outcome = LLOYD_OK;
    assert_true(open_problem(&p, &kernels, &shard));
    assert_int_equal(lloyd_assign(&p), LLOYD_OK);
    assert_true(done);
    p.comm->destroy(p.comm);
}

/* What went wrong after it was asked for. */
static void a_late_failure_is_reported(void **state)
{
    lloyd_problem p;
    lloyd_kernels kernels;
    lloyd_shard shard;
    (void)state;
    outcome = LLOYD_FAILED;
    assert_true(open_problem(&p, &kernels, &shard));
    assert_int_equal(lloyd_assign(&p), LLOYD_FAILED);
    assert_string_equal(lloyd_message(), "the GPU has failed");
    p.comm->destroy(p.comm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_call_waits),
                                       cmocka_unit_test(a_late_failure_is_reported)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
