/* The collectives of comm.h over real ranks, and the same calls on a communicator of one. */
#include "comm/mpi.h"
#include "comm/self.h"

#include "on_ranks.h"

#include <math.h>
#include <string.h>

static lloyd_comm *comm;

static void test_place(void **unused)
{
    (void)unused;
    assert_in_range(comm->rank, 0, comm->size - 1);
    assert_int_equal(comm->local_size, comm->size); /* one node */
    assert_int_equal(comm->local_rank, comm->rank);
}

/* Values beyond 2^53: a sum that went through doubles would lose them. */
static void test_sum(void **unused)
{
    (void)unused;
    enum { COUNT = 1000 };
    int64_t values[COUNT];
    for (int i = 0; i < COUNT; i++) values[i] = ((int64_t)1 << 58) + comm->rank * 1000 + i;
    assert_int_equal(lloyd_comm_sum_host(comm, values, COUNT), LLOYD_OK);
    for (int i = 0; i < COUNT; i++) {
        int64_t ranks = comm->size;
        int64_t expected = ranks * (((int64_t)1 << 58) + i) + 1000 * ranks * (ranks - 1) / 2;
        assert_true(values[i] == expected);
    }
    assert_int_equal(lloyd_comm_sum_host(comm, values, 0), LLOYD_OK);
}

static void test_max(void **unused)
{
    (void)unused;
    double values[3] = {comm->rank, -comm->rank, -INFINITY};
    if (comm->rank == comm->size - 1) values[2] = 7;
    assert_int_equal(comm->max(comm, values, 3), LLOYD_OK);
    assert_true(values[0] == comm->size - 1);
    assert_true(values[1] == 0);
    assert_true(values[2] == 7);
}

static void test_broadcast(void **unused)
{
    (void)unused;
    for (int root = 0; root < comm->size; root++) {
        char text[32] = "nothing";
        if (comm->rank == root) memcpy(text, "from the root", 14);
        assert_int_equal(comm->broadcast(comm, text, sizeof text, root), LLOYD_OK);
        assert_string_equal(text, "from the root");
    }
}

static void test_scan(void **unused)
{
    (void)unused;
    int64_t value = ((int64_t)1 << 40) + comm->rank;
    int64_t rank = comm->rank, expected = rank * ((int64_t)1 << 40) + rank * (rank - 1) / 2;
    assert_int_equal(comm->exclusive_scan(comm, &value), LLOYD_OK);
    assert_true(value == expected);
}

/* Rank r has r + q + 1 records for rank q, and says in each from whom and to whom it is, and which. */
static void test_exchange(void **unused)
{
    (void)unused;
    enum { RANKS = 8, ROOM = 2 * RANKS };
    typedef struct record {
        int64_t from, to, number;
    } record;
    static record send[RANKS * ROOM], receive[RANKS * ROOM];
    int64_t counts[RANKS];
    assert_in_range(comm->size, 1, RANKS);
    for (int empty = 0; empty < 2; empty++) { /* the second time, rank 0 has none for anybody */
        for (int to = 0; to < comm->size; to++) {
            counts[to] = empty && comm->rank == 0 ? 0 : comm->rank + to + 1;
            for (int i = 0; i < counts[to]; i++)
                send[to * ROOM + i] = (record){comm->rank, to, ((int64_t)1 << 50) + i};
        }
        assert_int_equal(comm->exchange(comm, send, receive, ROOM, sizeof *send, counts), LLOYD_OK);
        for (int from = 0; from < comm->size; from++) {
            assert_int_equal(counts[from], empty && from == 0 ? 0 : from + comm->rank + 1);
            for (int i = 0; i < counts[from]; i++) {
                const record *got = &receive[from * ROOM + i];
                assert_int_equal(got->from, from);
                assert_int_equal(got->to, comm->rank);
                assert_true(got->number == ((int64_t)1 << 50) + i);
            }
        }
    }
}

/* For every pair of failing ranks: all get the lower one's status, and only that one keeps a
 * message. */
static void test_agree(void **unused)
{
    (void)unused;
    assert_int_equal(comm->agree(comm, LLOYD_OK), LLOYD_OK);
    for (int low = 0; low < comm->size; low++) {
        for (int high = low; high < comm->size; high++) {
            lloyd_status mine = LLOYD_OK;
            if (comm->rank == high) mine = lloyd_fail(LLOYD_FAILED, "the higher one");
            if (comm->rank == low) mine = lloyd_fail(LLOYD_BAD_INPUT, "the lower one");
            assert_int_equal(comm->agree(comm, mine), LLOYD_BAD_INPUT);
            assert_string_equal(lloyd_message(), comm->rank == low ? "the lower one" : "");
        }
    }
    assert_int_equal(comm->barrier(comm), LLOYD_OK);
}

static int use_self(void **unused)
{
    (void)unused;
    return lloyd_comm_self(&comm);
}

static int use_world(void **unused)
{
    (void)unused;
    return lloyd_comm_world(&comm);
}

static int leave(void **unused)
{
    (void)unused;
    (void)end_all_if_failed(NULL);
    comm->destroy(comm);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RANKS_TEST(test_place),     RANKS_TEST(test_sum),  RANKS_TEST(test_max),
        RANKS_TEST(test_broadcast), RANKS_TEST(test_scan), RANKS_TEST(test_exchange),
        RANKS_TEST(test_agree),
    };
    int failed = cmocka_run_group_tests_name("self", tests, use_self, leave);
    return failed + cmocka_run_group_tests_name("world", tests, use_world, leave);
}
