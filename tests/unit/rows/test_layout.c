/* Where rows live: the arithmetic of layout.c, from limits to rows per home, and that every chunk
 * has exactly one.
 */
#include "rows/layout.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* --- what a rank needs besides its rows --- */

typedef struct rest {
    lloyd_bytes base, per_chunk_row;
} rest;

static lloyd_bytes need(const void *context, int64_t chunk_rows)
{
    const rest *r = context;
    return (lloyd_bytes){r->base.host + chunk_rows * r->per_chunk_row.host,
                         r->base.gpu + chunk_rows * r->per_chunk_row.gpu};
}

static lloyd_bytes total(const lloyd_layout *l, const rest *r)
{
    lloyd_bytes rows = lloyd_layout_bytes(l), others = need(r, l->chunk_rows);
    return (lloyd_bytes){rows.host + others.host, rows.gpu + others.gpu};
}

/* --- what holds for every layout --- */

static void check_layout(const lloyd_layout *l)
{
    int64_t rows[3] = {0, 0, 0}, chunks[3] = {0, 0, 0};
    assert_true(l->chunk_rows >= 1);
    assert_true(l->fixed >= 0 && l->pinned >= 0 && l->fixed + l->pinned <= l->chunks);
    assert_true(l->copies || l->pinned == 0);
    for (int64_t chunk = 0; chunk < l->chunks; chunk++) {
        int64_t index = -1, here = lloyd_layout_chunk_rows(l, chunk);
        lloyd_home home = lloyd_layout_home(l, chunk, &index);
        assert_int_equal(index, chunks[home]);
        assert_true(here >= 1 && here <= l->chunk_rows);
        assert_true(here == l->chunk_rows || chunk == l->chunks - 1);
        chunks[home]++;
        rows[home] += here;
    }
    assert_int_equal(chunks[LLOYD_FIXED], l->fixed);
    assert_int_equal(chunks[LLOYD_PINNED], l->pinned);
    assert_int_equal(rows[LLOYD_FIXED] + rows[LLOYD_PINNED] + rows[LLOYD_STREAMED], l->rows);
    for (int h = 0; h < 3; h++) assert_int_equal(lloyd_layout_rows(l, (lloyd_home)h), rows[h]);
}

/* Of `window` chunks in a row, those of a home are as many as its share, give or take two. */
static void check_spread(const lloyd_layout *l, lloyd_home home, int64_t window)
{
    int64_t all = 0, index;
    for (int64_t c = 0; c < l->chunks; c++) all += lloyd_layout_home(l, c, &index) == home;
    for (int64_t begin = 0; begin + window <= l->chunks; begin++) {
        int64_t here = 0;
        for (int64_t c = begin; c < begin + window; c++)
            here += lloyd_layout_home(l, c, &index) == home;
        int64_t share = all * window / l->chunks;
        assert_in_range(here + 2, share, share + 4);
    }
}

static const int64_t huge = INT64_MAX / 4;
static const int64_t mebi = 1 << 20;

static lloyd_layout choose(int64_t rows, int64_t row_bytes, int copies, int64_t host, int64_t gpu,
                           const rest *r, int expected)
{
    lloyd_layout l;
    int fits = lloyd_layout_choose(rows, row_bytes, copies, (lloyd_bytes){host, gpu}, need, r, &l);
    assert_int_equal(fits, expected);
    assert_int_equal(l.rows, rows);
    check_layout(&l);
    lloyd_bytes bytes = total(&l, r);
    assert_true(!fits || (bytes.host <= host && (!copies || bytes.gpu <= gpu)));
    return l;
}

/* --- the cases --- */

static void splits_of_chunks(void **state)
{
    (void)state;
    for (int64_t rows = 0; rows <= 23; rows++) {
        for (int64_t chunk = 1; chunk <= 5; chunk++) {
            lloyd_layout l = lloyd_layout_streamed(rows, 7, 1, chunk);
            for (l.fixed = 0; l.fixed <= l.chunks; l.fixed++)
                for (l.pinned = 0; l.pinned <= l.chunks - l.fixed; l.pinned++) check_layout(&l);
        }
    }
    lloyd_layout l = lloyd_layout_streamed(1000, 7, 1, 1);
    l.fixed = 300, l.pinned = 450;
    check_layout(&l);
    check_spread(&l, LLOYD_FIXED, 20);
    check_spread(&l, LLOYD_PINNED, 20);
    check_spread(&l, LLOYD_STREAMED, 20);
}

static void all_of_it_fits(void **state)
{
    const rest r = {{5 * mebi, 3 * mebi}, {4, 20}};
    (void)state;
    lloyd_layout l = choose(1000000, 128, 0, huge, 0, &r, 1);
    assert_int_equal(l.chunks, 1);
    assert_int_equal(l.fixed, 1);
    assert_int_equal(lloyd_layout_slots(&l), 1);
    assert_int_equal(total(&l, &r).host, 5 * mebi + 1000000 * (4 + 128));

    l = choose(1000000, 128, 1, huge, huge, &r, 1);
    assert_int_equal(l.fixed, l.chunks);
    assert_int_equal(lloyd_layout_slots(&l), 1);
    assert_int_equal(lloyd_layout_bytes(&l).gpu, 128000000);

    /* to the byte; a byte less, and some rows pass through buffers */
    const rest no_chunks = {{5 * mebi, 0}, {0, 0}};
    int64_t exact = 5 * mebi + 1000000 * 128;
    l = choose(1000000, 128, 0, exact, 0, &no_chunks, 1);
    assert_int_equal(l.chunks, 1);
    l = choose(1000000, 128, 0, exact - 1, 0, &no_chunks, 1);
    assert_true(lloyd_layout_rows(&l, LLOYD_STREAMED) > 0);

    /* row numbers of a slot have 31 bits */
    l = choose(3000000000, 1, 0, huge, 0, &r, 1);
    assert_int_equal(l.fixed, 3);
    assert_int_equal(l.chunks, 3);
}

static void cpus_keep_what_fits(void **state)
{
    const rest r = {{50 * mebi, 0}, {4, 0}};
    const int64_t rows = 8000000, row_bytes = 128, bytes = rows * row_bytes;
    (void)state;
    int64_t before = -1;
    for (int64_t percent = 5; percent <= 100; percent += 5) {
        int64_t limit = 50 * mebi + bytes * percent / 100;
        lloyd_layout l = choose(rows, row_bytes, 0, limit, 0, &r, 1);
        int64_t kept = lloyd_layout_rows(&l, LLOYD_FIXED) * row_bytes;
        int64_t left = limit - total(&l, &r).host;
        /* more, but for the buffers of larger chunks */
        assert_true(kept + LLOYD_AHEAD * l.chunk_rows * row_bytes >= before);
        assert_true(left < l.chunk_rows * row_bytes); /* not a chunk more would fit */
        /* buffers and the working space of chunks take a share, not all */
        assert_true(kept >= (limit - 50 * mebi) * 3 / 4);
        assert_int_equal(lloyd_layout_rows(&l, LLOYD_PINNED), 0);
        before = kept;
    }
    assert_true(before > bytes * 17 / 20);
}

static void gpus_have_three_homes(void **state)
{
    const rest r = {{100 * mebi, 600 * mebi}, {0, 28}};
    const int64_t rows = 80000000, row_bytes = 128;
    (void)state;
    lloyd_layout l = choose(rows, row_bytes, 1, 4000 * mebi, 5000 * mebi, &r, 1);
    int64_t fixed = lloyd_layout_rows(&l, LLOYD_FIXED),
            pinned = lloyd_layout_rows(&l, LLOYD_PINNED);
    int64_t streamed = lloyd_layout_rows(&l, LLOYD_STREAMED), chunk = l.chunk_rows * row_bytes;
    assert_true(fixed > 0 && pinned > 0 && streamed > 0);
    assert_true(5000 * mebi - total(&l, &r).gpu < chunk);
    assert_true(4000 * mebi - total(&l, &r).host < chunk);
    assert_int_equal(lloyd_layout_slots(&l), l.fixed + LLOYD_AHEAD + 1);

    /* enough host memory: nothing is read again */
    l = choose(rows, row_bytes, 1, huge, 5000 * mebi, &r, 1);
    assert_int_equal(lloyd_layout_rows(&l, LLOYD_STREAMED), 0);
    assert_int_equal(lloyd_layout_rows(&l, LLOYD_FIXED), fixed);
    /* a host with room for little more than the buffers: the rest is read */
    l = choose(rows, row_bytes, 1, 1000 * mebi, 5000 * mebi, &r, 1);
    assert_true(lloyd_layout_rows(&l, LLOYD_FIXED) >= fixed);
    assert_true(lloyd_layout_rows(&l, LLOYD_PINNED) < pinned);
}

static void few_rows(void **state)
{
    const rest r = {{1000, 1000}, {4, 4}};
    (void)state;
    for (int copies = 0; copies <= 1; copies++) {
        lloyd_layout l = choose(0, 100, copies, huge, huge, &r, 1);
        assert_int_equal(l.chunks, 0);
        assert_int_equal(lloyd_layout_slots(&l), 0);
        choose(0, 100, copies, 999, 999, &r, 0);

        l = choose(1, 100, copies, huge, huge, &r, 1);
        assert_int_equal(l.fixed, 1);
        l = choose(1, 100, copies, 5196, 1103, &r, copies ? 0 : 1);
        choose(1, 100, copies, 1003, 1003, &r, 0);
    }
    /* one row of a GPU that cannot stay there: it has a slot, and another for rows by themselves */
    lloyd_layout l = lloyd_layout_streamed(1, 100, 1, 50);
    assert_int_equal(lloyd_layout_bytes(&l).gpu, 200);
    assert_int_equal(lloyd_layout_bytes(&l).host, 4096);
}

static void too_small_a_limit(void **state)
{
    const rest r = {{10 * mebi, 10 * mebi}, {4, 28}};
    const int64_t rows = 1000000, row_bytes = 128;
    (void)state;
    /* What is left then is the least that is enough. */
    lloyd_layout least = choose(rows, row_bytes, 0, 0, 0, &r, 0);
    lloyd_bytes bytes = total(&least, &r);
    assert_int_equal(least.fixed, 0);
    choose(rows, row_bytes, 0, bytes.host, 0, &r, 1);
    choose(rows, row_bytes, 0, bytes.host - 1, 0, &r, 0);

    least = choose(rows, row_bytes, 1, 0, 0, &r, 0);
    bytes = total(&least, &r);
    choose(rows, row_bytes, 1, bytes.host, bytes.gpu, &r, 1);
    choose(rows, row_bytes, 1, bytes.host - 1, bytes.gpu, &r, 0);
    choose(rows, row_bytes, 1, bytes.host, bytes.gpu - 1, &r, 0);
    assert_true(least.chunk_rows * row_bytes <= mebi / 4);
}

static void wide_rows(void **state)
{
    const rest r = {{0, 0}, {4, 0}};
    (void)state;
    /* a row larger than any usual chunk */
    lloyd_layout l = choose(10, 400 * mebi, 0, 2000 * mebi + 5 * 4096 + 4, 0, &r, 1);
    assert_int_equal(l.chunk_rows, 1);
    assert_int_equal(l.fixed, 2);
    assert_int_equal(lloyd_layout_buffers(&l, &(int64_t){0}), LLOYD_AHEAD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(splits_of_chunks),
        cmocka_unit_test(all_of_it_fits),
        cmocka_unit_test(cpus_keep_what_fits),
        cmocka_unit_test(gpus_have_three_homes),
        cmocka_unit_test(few_rows),
        cmocka_unit_test(too_small_a_limit),
        cmocka_unit_test(wide_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
