/* /members and /offsets as all ranks write them: the order of a plain sort of all rows, whatever the sizes of the
 * clusters, the rows of each rank and the number of rounds are.
 */
#include "io/writers/array.h"
#include "io/writers/origin.h"
#include "io/writers/row_outputs.h"
#include "job/outputs.h"
#include "job/results/members.h"
#include "job/results/slices.h"

#include "shared_folder.h"

#include <hdf5.h>
#include <stdlib.h>
#include <string.h>

enum { SORTED = 300000 };

/* Of a case: how many rows and clusters, and how they are drawn. */
typedef struct drawing {
    const char *name;
    int64_t n, k;
    int32_t (*label)(int64_t row, int64_t k);
    double (*distance)(int64_t row);
} drawing;

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 31) * 0x9e3779b97f4a7c15U;
    return x ^ x >> 29;
}

static int32_t spread(int64_t row, int64_t k)
{
    return (int32_t)(mix((uint64_t)row) % (uint64_t)k);
}

/* Nearly all rows in one cluster, in the middle of empty ones. */
static int32_t crowded(int64_t row, int64_t k)
{
    return (int32_t)(row % 97 == 5 ? k - 1 : k / 2);
}

static int32_t in_order(int64_t row, int64_t k)
{
    return (int32_t)(row * k / SORTED);
}

static double all_different(int64_t row)
{
    return (double)(mix((uint64_t)row * 3) >> 11) * 0x1p-40;
}

static double few_values(int64_t row)
{
    return (double)(mix((uint64_t)row) % 5) * 0.1;
}

static double none(int64_t row)
{
    (void)row;
    return 0;
}

static const drawing drawings[] = {
    {"spread", 20000, 300, spread, all_different},
    {"ties", 20000, 7, spread, few_values},
    {"one cluster", 30000, 1, spread, all_different},
    {"one cluster of equal rows", 30000, 1, spread, none},
    {"a large cluster", 30000, 50, crowded, few_values},
    {"sorted rows, more than go through a block at a time", SORTED, 1000, in_order, all_different},
    {"more slices than rows", 4, 9, spread, all_different},
    {"one row", 1, 1, spread, none},
};

/* --- what is expected --- */

static int compare(const void *a, const void *b)
{
    return lloyd_placed_before(a, b) ? -1 : lloyd_placed_before(b, a);
}

static lloyd_placed *sorted_rows(const drawing *d)
{
    lloyd_placed *all = malloc((size_t)d->n * sizeof *all);
    for (int64_t i = 0; i < d->n; i++)
        all[i] = (lloyd_placed){{d->distance(i), i}, d->label(i, d->k)};
    qsort(all, (size_t)d->n, sizeof *all, compare);
    return all;
}

static void read_array(const char *path, const char *name, int64_t *values)
{
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    hid_t set = H5Dopen2(file, name, H5P_DEFAULT);
    assert_true(H5Dread(set, H5T_NATIVE_INT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
    H5Dclose(set);
    H5Fclose(file);
}

/* On rank 0. */
static void check_file(const drawing *d, const char *path, int rounds)
{
    int64_t *members = malloc((size_t)d->n * sizeof *members),
            *offsets = malloc((size_t)(d->k + 1) * sizeof *offsets), at = 0;
    lloyd_placed *expected = sorted_rows(d);
    read_array(path, "/members", members);
    read_array(path, "/offsets", offsets);
    for (int64_t i = 0; i < d->n; i++)
        if (members[i] != expected[i].member.row)
            fail_msg("%s, %d rounds: member %lld is %lld, not %lld", d->name, rounds, (long long)i,
                     (long long)members[i], (long long)expected[i].member.row);
    for (int64_t c = 0; c <= d->k; c++) {
        while (at < d->n && expected[at].cluster < c) at++;
        assert_int_equal(offsets[c], at);
    }
    free(members);
    free(offsets);
    free(expected);
}

/* --- writing --- */

/* The rows of this rank: more, the higher the rank; a third of the ranks have none. */
static void give_rows(const drawing *d, lloyd_member_rows *rows, double **distances,
                      int32_t **labels)
{
    const int64_t rank = comm->rank, size = comm->size;
    const int64_t begin = rank % 3 == 1 ? rank + 1 : rank,
                  end = (rank + 1) % 3 == 1 ? rank + 2 : rank + 1;
    const int64_t last = end < size ? end : size;
    int64_t first = d->n * begin * begin / (size * size),
            count = d->n * last * last / (size * size) - first;
    if (begin >= size || rank % 3 == 1) first = count = 0;
    *distances = malloc((size_t)(count + 1) * sizeof **distances);
    *labels = malloc((size_t)(count + 1) * sizeof **labels);
    for (int64_t i = 0; i < count; i++) {
        (*distances)[i] = d->distance(first + i);
        (*labels)[i] = d->label(first + i, d->k);
    }
    *rows = (lloyd_member_rows){.first = first,
                                .count = count,
                                .distances = *distances,
                                .labels = *labels,
                                .threads = 3};
}

static void open_output(const drawing *d, const char *path, lloyd_output *output)
{
    const lloyd_row_outputs wanted = {.members = 1};
    const lloyd_row_shape shape = {.n = d->n, .k = d->k};
    lloyd_status status = LLOYD_OK;
    *output = (lloyd_output){.path = NULL};
    if (comm->rank == 0) {
        assert_int_equal(lloyd_output_open(path, 0, output), LLOYD_OK);
        assert_int_equal(lloyd_output_create(output, LLOYD_ORIGIN_LABELS,
                                             lloyd_row_outputs_bytes(&wanted, &shape)),
                         LLOYD_OK);
        status = lloyd_row_outputs_create(output, &wanted, &shape);
    }
    assert_int_equal(comm->agree(comm, status), LLOYD_OK);
    assert_int_equal(lloyd_outputs_share(comm, path, output), LLOYD_OK);
}

static void check_drawing(const drawing *d, int rounds)
{
    char path[600];
    lloyd_output output;
    lloyd_member_rows rows;
    double *distances;
    int32_t *labels;
    int64_t *counts = calloc((size_t)d->k, sizeof *counts);
    path_of("members.h5", path, sizeof path);
    give_rows(d, &rows, &distances, &labels);
    for (int64_t i = 0; i < rows.count; i++) counts[labels[i]]++;
    assert_int_equal(lloyd_comm_sum_host(comm, counts, d->k), LLOYD_OK);
    int64_t all = 0;
    for (int64_t c = 0; c < d->k; c++) all += counts[c];
    assert_int_equal(all, d->n);
    open_output(d, path, &output);
    assert_int_equal(lloyd_members_write(comm, &output, &rows, counts, d->k, rounds, NULL),
                     LLOYD_OK);
    if (comm->rank == 0) {
        assert_int_equal(lloyd_output_commit(&output), LLOYD_OK);
        check_file(d, path, rounds);
    }
    lloyd_output_close(&output);
    free(distances);
    free(labels);
    free(counts);
    assert_int_equal(comm->barrier(comm), LLOYD_OK);
}

static void test_rounds(void **unused)
{
    (void)unused;
    for (size_t d = 0; d < sizeof drawings / sizeof *drawings; d++) {
        check_drawing(&drawings[d], 1);
        check_drawing(&drawings[d], 2);
        if (drawings[d].n < SORTED) check_drawing(&drawings[d], 11);
    }
}

/* --- the plan --- */

/* One round where there is room, else as many as make a slice fit; never slices of no use. */
static void test_plan(void **unused)
{
    (void)unused;
    const int64_t n = (int64_t)1 << 33, k = 1000000, giga = 1 << 30;
    lloyd_members_plan all = lloyd_members_plan_for(n, k, 64, 4 * giga),
                       some = lloyd_members_plan_for(n, k, 64, giga),
                       least = lloyd_members_plan_for(n, k, 64, 1),
                       small = lloyd_members_plan_for(1000, 10, 3, 1);
    assert_int_equal(all.rounds, 1);
    assert_in_range(all.bytes, n / 64 * 16, n / 64 * 16 + 100 * 1000 * 1000);
    assert_int_equal(some.rounds, 3);
    assert_in_range(some.bytes, n / 192 * 16, giga + 100 * 1000 * 1000);
    assert_in_range(least.rounds, 200, 300); /* as many as slices are worth their histograms */
    assert_int_equal(small.rounds, 1);
    assert_in_range(small.bytes, 1, 2600000);
}

static int open_group(void **unused)
{
    (void)unused;
    return open_shared_folder();
}

static int close_group(void **unused)
{
    (void)unused;
    static const char *const names[] = {"members.h5"};
    return close_shared_folder(names, 1);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {RANKS_TEST(test_rounds), RANKS_TEST(test_plan)};
    MPI_Init(&argc, &argv);
    int failed = cmocka_run_group_tests(tests, open_group, close_group);
    MPI_Finalize();
    return failed;
}
