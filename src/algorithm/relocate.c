/* Empty clusters take the rows that are farthest from their own centroids (section 9 of the
 * contract).
 *
 * Every rank lists its own farthest rows; the ranks then find, by bisection on the distances' bits,
 * how far down each list the m farthest rows of the whole dataset reach. No rank ever holds more
 * than m entries, whatever the number of ranks.
 */
#include "algorithm/relocate.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

enum { BATCH_BYTES = 1 << 20 };

typedef struct relocation {
    lloyd_problem *problem;
    int64_t empty;       /* m */
    lloyd_far_row *list; /* [m] this rank's farthest rows, farthest first */
    int64_t list_count;
    int64_t *chosen;   /* [3*m] of all ranks: distance bits, row, label */
    int32_t *clusters; /* [m] the empty ones */
    int64_t words;     /* of a row in digits */
    int64_t *moves;    /* [batch*words] rows in digits */
    float *row;        /* [d] */
} relocation;

/* Distances are not negative, so their bits order them. */
static int64_t distance_bits(double distance)
{
    int64_t bits;
    memcpy(&bits, &distance, sizeof bits);
    return bits;
}

static lloyd_status list_farthest(void *context, lloyd_chunk *chunk)
{
    relocation *r = context;
    lloyd_kernels *kernels = r->problem->kernels;
    return kernels->farthest(kernels, chunk->slot, r->empty, r->list, &r->list_count);
}

/* *count = entries of all lists with bits >= threshold; *mine of this rank's. */
static lloyd_status count_from(lloyd_problem *p, const relocation *r, int64_t threshold,
                               int64_t *mine, int64_t *count)
{
    *mine = 0;
    while (*mine < r->list_count && distance_bits(r->list[*mine].distance) >= threshold) ++*mine;
    *count = *mine;
    return lloyd_comm_sum_host(p->comm, count, 1);
}

/* *take = how many of this rank's entries are among the `want` farthest of all; *first = how many
 * entries lower ranks take. */
static lloyd_status choose(lloyd_problem *p, const relocation *r, int64_t want, int64_t *take,
                           int64_t *first)
{
    int64_t low = 0, high = INT64_MAX, count, mine, above, above_mine;
    while (low < high) { /* the greatest threshold that leaves at least `want` */
        int64_t middle = low + (high - low) / 2 + 1;
        LLOYD_TRY(count_from(p, r, middle, &mine, &count));
        if (count >= want)
            low = middle;
        else
            high = middle - 1;
    }
    LLOYD_TRY(count_from(p, r, low, &mine, &count));
    above_mine = 0, above = 0;
    if (low < INT64_MAX) LLOYD_TRY(count_from(p, r, low + 1, &above_mine, &above));
    /* of the rows at the threshold the lowest ones: lower ranks have lower rows */
    int64_t ties = mine - above_mine, ties_before = ties, left = want - above;
    LLOYD_TRY(p->comm->exclusive_scan(p->comm, &ties_before));
    int64_t share = left - ties_before < 0 ? 0 : left - ties_before;
    *take = above_mine + (share < ties ? share : ties);
    *first = *take;
    return p->comm->exclusive_scan(p->comm, first);
}

static int compare_chosen(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    if (x[0] != y[0]) return x[0] > y[0] ? -1 : 1;
    return (x[1] > y[1]) - (x[1] < y[1]);
}

void lloyd_problem_row_digits(const lloyd_problem *p, const lloyd_sum_layout *layout,
                              const float *row, float weight, int64_t *words)
{
    const lloyd_grid *grid = &p->grid;
    int64_t *second = words + p->d, *wide = second + layout->seconds;
    int64_t *mass = words + lloyd_row_words(layout) - layout->weight_digits;
    for (int64_t j = 0; j < p->d; j++) {
        int64_t digit[LLOYD_MOST_DIGITS] = {0};
        int count = grid->digits[j];
        lloyd_digits_of(lloyd_mul((double)weight, (double)row[j]), grid->top[j], grid->bits, count,
                        digit);
        words[j] = digit[0];
        if (count > 1) second[grid->second[j]] = digit[1];
        for (int t = 2; t < count; t++)
            wide[(t - 2) * layout->wide + grid->wide_number[j]] = digit[t];
    }
    lloyd_digits_of((double)weight, grid->weight_top, grid->bits, grid->weight_digits, mass);
}

/* moves = entries [begin, begin + count) in digits, from the ranks that own the rows. */
static lloyd_status fill_moves(lloyd_problem *p, relocation *r, int64_t begin, int64_t count)
{
    const lloyd_shard *shard = p->shard;
    lloyd_sum_layout layout = lloyd_layout_of_sums(&p->grid, p->d, p->k);
    memset(r->moves, 0, (size_t)(count * r->words) * sizeof *r->moves);
    for (int64_t i = 0; i < count; i++) {
        int64_t row = r->chosen[3 * (begin + i) + 1] - shard->first;
        if (row < 0 || row >= shard->count) continue;
        LLOYD_TRY(lloyd_shard_row(p->shard, row, r->row));
        lloyd_problem_row_digits(p, &layout, r->row, shard->weights ? shard->weights[row] : 1,
                                 r->moves + i * r->words);
    }
    return LLOYD_OK;
}

static lloyd_status move_rows(lloyd_problem *p, relocation *r, int64_t count, int64_t batch)
{
    for (int64_t begin = 0; begin < count; begin += batch) {
        int64_t here = count - begin < batch ? count - begin : batch;
        LLOYD_TRY(p->comm->agree(p->comm, fill_moves(p, r, begin, here)));
        LLOYD_TRY(lloyd_comm_sum_host(p->comm, r->moves, here * r->words));
        lloyd_status status = LLOYD_OK;
        for (int64_t i = 0; i < here && status == LLOYD_OK; i++) {
            int32_t from = (int32_t)r->chosen[3 * (begin + i) + 2], to = r->clusters[begin + i];
            status = p->kernels->relocate(p->kernels, from, to, r->moves + i * r->words);
        }
        LLOYD_TRY(p->comm->agree(p->comm, status));
    }
    return LLOYD_OK;
}

static lloyd_status relocate(lloyd_problem *p, relocation *r, int64_t empty, int64_t batch)
{
    LLOYD_TRY(p->comm->agree(p->comm, lloyd_shard_each(p->shard, list_farthest, r)));
    int64_t available = r->list_count, take, first;
    LLOYD_TRY(lloyd_comm_sum_host(p->comm, &available, 1));
    int64_t want =
        available < empty ? available : empty; /* fewer only where rows without weight are left */
    if (want == 0) return LLOYD_OK;
    LLOYD_TRY(choose(p, r, want, &take, &first));
    for (int64_t i = 0; i < take; i++) {
        int64_t *entry = r->chosen + 3 * (first + i);
        entry[0] = distance_bits(r->list[i].distance);
        entry[1] = p->shard->first + r->list[i].row;
        entry[2] = r->list[i].label;
    }
    LLOYD_TRY(lloyd_comm_sum_host(p->comm, r->chosen, 3 * want));
    qsort(r->chosen, (size_t)want, 3 * sizeof *r->chosen, compare_chosen);
    lloyd_status status = p->kernels->empty_clusters(p->kernels, empty, r->clusters);
    LLOYD_TRY(p->comm->agree(p->comm, status));
    return move_rows(p, r, want, batch);
}

static lloyd_status alloc_relocation(const lloyd_problem *p, int64_t empty, int64_t batch,
                                     relocation *r)
{
    LLOYD_TRY(lloyd_alloc(&r->list, empty, sizeof *r->list, "rows for empty clusters"));
    LLOYD_TRY(lloyd_alloc(&r->chosen, 3 * empty, sizeof *r->chosen, "rows for empty clusters"));
    LLOYD_TRY(lloyd_alloc(&r->clusters, empty, sizeof *r->clusters, "empty clusters"));
    LLOYD_TRY(
        lloyd_alloc(&r->moves, batch * r->words, sizeof *r->moves, "rows for empty clusters"));
    return lloyd_alloc(&r->row, p->d, sizeof *r->row, "a row for an empty cluster");
}

lloyd_status lloyd_problem_relocate(lloyd_problem *p, int64_t empty)
{
    lloyd_sum_layout layout = lloyd_layout_of_sums(&p->grid, p->d, p->k);
    relocation r = {.problem = p, .empty = empty, .words = lloyd_row_words(&layout)};
    int64_t batch = BATCH_BYTES / (8 * r.words);
    if (batch < 1) batch = 1;
    if (batch > empty) batch = empty;
    lloyd_status status = p->comm->agree(p->comm, alloc_relocation(p, empty, batch, &r));
    if (status == LLOYD_OK) status = relocate(p, &r, empty, batch);
    lloyd_free(r.list);
    lloyd_free(r.chosen);
    lloyd_free(r.clusters);
    lloyd_free(r.moves);
    lloyd_free(r.row);
    return status;
}
