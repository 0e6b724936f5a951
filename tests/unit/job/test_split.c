/* How many sub-clusters each cluster is split into, by the definition (section 12 of the contract), and who splits which. */
#include "base/memory.h"
#include "base/philox.h"
#include "job/split/deal.h"
#include "job/split/shares.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { MOST = 40 };

static uint64_t drawn;

static int64_t below(int64_t limit)
{
    return (int64_t)(lloyd_philox64(7, 0, drawn++, 0) % (uint64_t)limit);
}

static int64_t draw_sizes(int64_t *rows, int64_t k, int64_t most)
{
    int64_t all = 0;
    for (int64_t c = 0; c < k; c++) {
        rows[c] = below(4) == 0 ? 0 : below(most);
        all += rows[c];
    }
    return all;
}

static void define(const int64_t *rows, int64_t k, int64_t total, int64_t *parts)
{
    int64_t given = 0;
    for (int64_t c = 0; c < k; c++) given += parts[c] = rows[c] > 0;
    for (; given < total; given++) {
        int64_t best = -1;
        for (int64_t c = 0; c < k; c++) {
            if (rows[c] == 0) continue;
            if (best < 0 || rows[c] * parts[best] > rows[best] * parts[c]) best = c;
        }
        parts[best]++;
    }
}

static void test_total(void **unused)
{
    (void)unused;
    for (int round = 0; round < 3000; round++) {
        int64_t rows[MOST] = {0}, parts[MOST] = {0}, first[MOST + 1] = {0}, k = 1 + below(MOST),
                filled = 0;
        int64_t all = draw_sizes(rows, k, round % 2 ? 4 : 60); /* small sizes: ties */
        for (int64_t c = 0; c < k; c++) filled += rows[c] > 0;
        int64_t total = round % 3 == 0   ? all
                        : round % 3 == 1 ? filled
                                         : filled + below(all - filled + 1);
        if (total == 0) continue;
        define(rows, k, total, parts);
        assert_int_equal(lloyd_split_shares(rows, k, 0, total, first), LLOYD_OK);
        assert_int_equal(first[0], 0);
        assert_int_equal(first[k], total);
        for (int64_t c = 0; c < k; c++) {
            assert_int_equal(first[c + 1] - first[c], parts[c]);
            assert_true(parts[c] <= rows[c]);
        }
        assert_int_equal(lloyd_split_shares(rows, k, 0, all + 1, first), LLOYD_USAGE);
        if (filled > 1)
            assert_int_equal(lloyd_split_shares(rows, k, 0, filled - 1, first), LLOYD_USAGE);
    }
}

/* Sizes whose products do not fit into 64 bits. */
static void test_large(void **unused)
{
    (void)unused;
    const int64_t rows[3] = {((int64_t)1 << 62) - 1, (int64_t)1 << 61, 1};
    int64_t first[4];
    assert_int_equal(lloyd_split_shares(rows, 3, 0, 1000001, first), LLOYD_OK);
    assert_int_equal(first[3], 1000001);
    assert_int_equal(first[1], 666666);
    assert_int_equal(first[3] - first[2], 1);
    assert_int_equal(lloyd_split_shares(rows, 3, (int64_t)1 << 30, 0, first), LLOYD_USAGE);
    assert_int_equal(lloyd_split_shares(rows, 3, 5, 0, first), LLOYD_OK);
    assert_int_equal(first[3], 11);
}

/* Whether each cluster, the one with the most work first, has got the turn that had the least so far. */
static int is_fair(const int64_t *rows, const int64_t *first, int64_t k, int64_t turns,
                   int64_t room, const int64_t *turn)
{
    int64_t done[MOST] = {0}, there[MOST * MOST] = {0};
    double work[MOST * MOST] = {0};
    for (int64_t i = 0; i < k; i++) {
        int64_t next = 0, least = 0;
        double most = -1;
        for (int64_t c = 0; c < k; c++) {
            double of = (double)rows[c] * (double)(first[c + 1] - first[c] + 16);
            if (!done[c] && of > most) most = of, next = c;
        }
        for (int64_t t = 1; t < turns; t++)
            if (work[t] < work[least]) least = t;
        if (there[least] + rows[next] > room) {
            least = 0;
            for (int64_t t = 1; t < turns; t++)
                if (there[t] < there[least]) least = t;
        }
        if (turn[next] != least) return 0;
        there[least] += rows[next];
        work[least] += most;
        done[next] = 1;
    }
    return 1;
}

/* Each cluster has one turn; no rank has more rows in a round than there is room for; the work is spread. */
static void test_deal(void **unused)
{
    (void)unused;
    for (int round = 0; round < 1000; round++) {
        int64_t rows[MOST] = {0}, first[MOST + 1] = {0}, there[MOST * MOST] = {0},
                k = 1 + below(MOST);
        int64_t all = draw_sizes(rows, k, 1000), largest = 1;
        int ranks = 1 + (int)below(5);
        for (int64_t c = 0; c < k; c++) largest = rows[c] > largest ? rows[c] : largest;
        int64_t room = largest + below(round % 2 ? 5000 : 10);
        lloyd_deal deal;
        assert_int_equal(lloyd_split_shares(rows, k, 10, 0, first), LLOYD_OK);
        assert_int_equal(lloyd_split_deal(rows, first, NULL, k, ranks, room, &deal), LLOYD_OK);
        assert_true(deal.rounds >= 1 && deal.rounds <= k + all / room);
        for (int64_t c = 0; c < k; c++) {
            assert_true(deal.turn[c] >= 0 && deal.turn[c] < deal.rounds * ranks);
            there[deal.turn[c]] += rows[c];
        }
        int64_t most = 0;
        for (int64_t t = 0; t < deal.rounds * ranks; t++) most = there[t] > most ? there[t] : most;
        assert_int_equal(most, deal.most);
        assert_true(most <= room);
        assert_true(is_fair(rows, first, k, deal.rounds * ranks, room, deal.turn));
        if (all <= room) assert_int_equal(deal.rounds, 1);
        lloyd_free(deal.turn);
    }
}

/* Clusters that are only assigned once more are little work: two ranks get as many of the others. */
static void test_deal_done(void **unused)
{
    (void)unused;
    int64_t rows[MOST], first[MOST + 1] = {0}, open[2] = {0, 0};
    unsigned char done[MOST];
    lloyd_deal deal;
    for (int64_t c = 0; c < MOST; c++) {
        rows[c] = 1000 + MOST - c / 2; /* by size alone, one rank gets all that are open */
        first[c + 1] = first[c] + 10;
        done[c] = c % 2 == 0;
    }
    assert_int_equal(lloyd_split_deal(rows, first, done, MOST, 2, 1000000, &deal), LLOYD_OK);
    for (int64_t c = 0; c < MOST; c++)
        if (!done[c]) open[deal.turn[c]]++;
    assert_int_equal(open[0], open[1]);
    lloyd_free(deal.turn);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_deal_done),
        cmocka_unit_test(test_total),
        cmocka_unit_test(test_large),
        cmocka_unit_test(test_deal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
