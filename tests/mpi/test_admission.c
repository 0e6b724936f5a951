/* Which rows clusters admit, over all ranks: those that a plain sort of all applicants puts first, whatever the clusters,
 * the distances and the rows of each rank are.
 */
#include "comm/comm.h"
#include "job/balance/admission.h"

#include "on_ranks.h"

#include "lloyd/lloyd_mpi.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static lloyd_comm *comm;

/* Of a case: rows and clusters, and how they are drawn. */
typedef struct drawing {
    const char *name;
    int64_t n, k;
    int32_t (*cluster)(int64_t row, int64_t k); /* negative: it applies */
    double (*distance)(int64_t row);
    int64_t most; /* of the room of a cluster */
} drawing;

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 31) * 0x9e3779b97f4a7c15U;
    return x ^ x >> 29;
}

static int32_t spread(int64_t row, int64_t k)
{
    return ~(int32_t)(mix((uint64_t)row) % (uint64_t)k);
}

/* Nearly all in one cluster; some are in theirs already. */
static int32_t crowded(int64_t row, int64_t k)
{
    const int32_t cluster = (int32_t)(row % 97 == 5 ? k - 1 : k / 2);
    return row % 5 == 0 ? cluster : ~cluster;
}

static double all_different(int64_t row)
{
    return (double)(mix((uint64_t)row * 3) >> 11) * 0x1p-40;
}

static double few_values(int64_t row)
{
    return (double)(mix((uint64_t)row) % 5) * 0.1;
}

static double extremes(int64_t row)
{
    const double values[] = {0, 0x1p-1074, DBL_MIN, 1, nextafter(1, 2), DBL_MAX};
    return values[mix((uint64_t)row) % 6];
}

static double none(int64_t row)
{
    (void)row;
    return 0;
}

static const drawing drawings[] = {
    {"spread", 20000, 300, spread, all_different, 90},
    {"more clusters than their counts have room for in large digits", 60000, 30000, spread,
     all_different, 3},
    {"ties", 20000, 7, spread, few_values, 4000},
    {"one cluster", 30000, 1, spread, all_different, 29999},
    {"equal rows", 30000, 2, spread, none, 8000},
    {"a large cluster", 30000, 50, crowded, few_values, 10000},
    {"the least and the greatest", 5000, 3, spread, extremes, 900},
    {"room for all", 5000, 30, spread, all_different, 5000},
    {"no room", 5000, 30, spread, all_different, 1},
    {"one row", 1, 1, spread, none, 1},
};

static int64_t room_of(const drawing *d, int64_t cluster)
{
    return (int64_t)(mix((uint64_t)cluster + 77) % (uint64_t)(d->most + 1));
}

/* --- what is expected --- */

typedef struct applicant {
    int64_t cluster, row;
    double distance;
} applicant;

static int compare(const void *a, const void *b)
{
    const applicant *x = a, *y = b;
    if (x->cluster != y->cluster) return x->cluster < y->cluster ? -1 : 1;
    if (x->distance != y->distance) return x->distance < y->distance ? -1 : 1;
    return (x->row > y->row) - (x->row < y->row);
}

/* clusters [n] and room [k] afterwards; returns how many are rejected. */
static int64_t expect(const drawing *d, int32_t *clusters, int64_t *room)
{
    applicant *all = malloc((size_t)d->n * sizeof *all);
    int64_t count = 0, rejected = 0;
    for (int64_t c = 0; c < d->k; c++) room[c] = room_of(d, c);
    for (int64_t i = 0; i < d->n; i++) {
        clusters[i] = d->cluster(i, d->k);
        if (clusters[i] < 0) all[count++] = (applicant){~clusters[i], i, d->distance(i)};
    }
    qsort(all, (size_t)count, sizeof *all, compare);
    for (int64_t i = 0; i < count; i++) {
        if (room[all[i].cluster] == 0) {
            rejected++;
            continue;
        }
        room[all[i].cluster]--;
        clusters[all[i].row] = (int32_t)all[i].cluster;
    }
    free(all);
    return rejected;
}

/* --- the test --- */

/* How the rows are spread: evenly, more and more, or all on one rank. */
static int64_t first_of(int64_t n, int how, int rank, int size)
{
    if (how == 0) return n * rank / size;
    if (how == 1) return n * rank * rank / ((int64_t)size * size);
    return rank < size ? 0 : n;
}

static void check(const drawing *d, int how)
{
    int32_t *right = malloc((size_t)d->n * sizeof *right);
    int64_t *right_room = malloc((size_t)d->k * sizeof *right_room),
            *room = malloc((size_t)d->k * sizeof *room), rejected;
    const int64_t first = first_of(d->n, how, comm->rank, comm->size),
                  count = first_of(d->n, how, comm->rank + 1, comm->size) - first;
    int32_t *clusters = malloc((size_t)(count + 1) * sizeof *clusters);
    double *distances = malloc((size_t)(count + 1) * sizeof *distances);
    const lloyd_applicants rows = {d->n, first, count, clusters, distances};
    lloyd_admission *admission;
    const int64_t left = expect(d, right, right_room);
    assert_int_equal(lloyd_admission_open(comm, d->k, &admission), LLOYD_OK);
    for (int time = 0; time < 2; time++) { /* it can be used again */
        for (int64_t c = 0; c < d->k; c++) room[c] = room_of(d, c);
        for (int64_t i = 0; i < count; i++) {
            clusters[i] = d->cluster(first + i, d->k);
            distances[i] = d->distance(first + i);
        }
        assert_int_equal(lloyd_admit(admission, &rows, room, &rejected), LLOYD_OK);
        if (rejected != left || memcmp(room, right_room, (size_t)d->k * sizeof *room) != 0 ||
            memcmp(clusters, right + first, (size_t)count * sizeof *clusters) != 0)
            fail_msg("%s, rows spread %d: %lld of %lld are rejected", d->name, how,
                     (long long)rejected, (long long)left);
    }
    lloyd_admission_close(admission);
    free(distances);
    free(clusters);
    free(room);
    free(right_room);
    free(right);
}

static void test_drawings(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < sizeof drawings / sizeof *drawings; i++)
        for (int how = 0; how < 3; how++) check(&drawings[i], how);
}

static int open_all(void **unused)
{
    (void)unused;
    return lloyd_comm_open_world(&comm) != LLOYD_OK;
}

static int close_all(void **unused)
{
    end_all_if_failed(unused);
    lloyd_comm_close(comm);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {RANKS_TEST(test_drawings)};
    return cmocka_run_group_tests(tests, open_all, close_all);
}
