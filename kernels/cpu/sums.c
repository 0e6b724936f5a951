/* Exact sums per cluster, in digits (section 3 of the contract).
 *
 * Incremental: the sums of this rank's rows are kept from one iteration to the next, together with the
 * cluster in whose sums each row is. Of a slot only the rows that have moved since are looked at: their
 * digits are taken out of the sums of one cluster and added to those of another. Digits are integers, so
 * these are the same bits as the sums of all rows. An iteration that moves many rows starts anew, with
 * sums of nothing, where no row is in any.
 *
 * Sort-inverse update: the rows to be added, or taken out, are sorted by cluster (a counting sort), then
 * every thread walks through pieces of the sorted order and sums each run of equal clusters apart, in
 * registers and cache; only a run that may continue in a neighbouring piece is added atomically. No sums
 * per thread, so memory does not grow with threads x K x D. Integers make any order the same.
 *
 * First and second digits are summed by loops over all columns. The few columns with more digits have a
 * scale of 0 there, and are summed apart, digit by digit.
 */
#include "kernels/cpu/sums.h"

#include "kernels/clones.h"
#include "kernels/cpu/rows.h"

#include <omp.h>

enum {
    PIECE = 2048,     /* rows a thread takes at a time, at most, */
    LEAST_PIECE = 32, /* and at least; */
    PIECES = 8,       /* else so many pieces of each thread */
    AHEAD = 16,       /* rows between asking for one and using it */
    MOVES_OF_A_ROW =
        3, /* a row that moves costs two additions, and others have to be passed over */
};

/* Rows of a slot on their way into the sums of cluster[row], or out of them. */
typedef struct moves {
    const cpu_slot *slot;
    const int32_t *cluster; /* [rows of the slot] -1: of none */
    int sign;               /* 1: into, -1: out of them */
    int64_t count;          /* rows */
} moves;

/* --- the grid --- */

/* Sums of nothing. */
static void start_anew(cpu_kernels *cpu)
{
    memset(cpu->sums, 0, (size_t)cpu->layout.words * sizeof *cpu->sums);
    if (cpu->grid)
        memset(cpu->summed, 0xff, (size_t)cpu->base.config.n_local * sizeof *cpu->summed);
}

void lloyd_cpu_list_sums(cpu_buffers *buffers, cpu_kernels *cpu, int64_t words, int64_t rows,
                         int64_t wide)
{
    CPU_BUFFER(buffers, cpu->sums, words, "sums per cluster");
    CPU_BUFFER(buffers, cpu->totals, words, "sums per cluster");
    CPU_BUFFER(buffers, cpu->summed, rows, "clusters of the summed rows");
    for (int t = 0; cpu->scratch && t < cpu->base.config.threads; t++)
        CPU_BUFFER(buffers, cpu->scratch[t].wide, wide, "sums of a thread");
}

lloyd_status lloyd_cpu_set_grid(lloyd_kernels *kernels, const lloyd_grid *grid)
{
    cpu_kernels *cpu = lloyd_cpu(kernels);
    int64_t dim = kernels->config.dim;
    cpu->grid = grid;
    cpu->layout = lloyd_layout_of_sums(grid, dim, kernels->config.k);
    cpu->mass_scale = lloyd_exp2(grid->bits - grid->weight_top);
    cpu->least_mass = lloyd_exp2(grid->bits * grid->weight_digits - grid->weight_top);
    for (int64_t j = 0; j < dim; j++) {
        int wide = grid->wide_number[j] >= 0;
        cpu->digit_scale[j] = wide ? 0 : lloyd_exp2(grid->bits - grid->top[j]);
        cpu->digit_scale[dim + j] = -cpu->digit_scale[j];
    }
    cpu_buffers buffers = {.work = CPU_BUFFERS_RESERVE};
    lloyd_cpu_list_sums(&buffers, cpu, cpu->layout.words, kernels->config.n_local,
                        grid->wide * grid->most_digits);
    LLOYD_TRY(buffers.status);
    start_anew(cpu);
    return LLOYD_OK;
}

/* --- squares --- */

/* Sums of 64-bit products: low and high words apart. */
static void add_product(int64_t product, uint64_t *low, uint64_t *high)
{
    *low += (uint64_t)product & 0xffffffff;
    *high += (uint64_t)product >> 32;
}

LLOYD_CLONES static void add_squares(const float *row, const double *scale, int64_t dim,
                                     uint64_t *limbs)
{
    uint64_t *low = limbs, *high = limbs + dim;
    for (int64_t j = 0; j < dim; j++) {
        int64_t q = lloyd_rint(lloyd_mul((double)row[j], scale[j]));
        add_product(q * q, &low[j], &high[j]);
    }
}

/* (high 2^b + low)^2, in three sums. */
LLOYD_CLONES static void add_pair_squares(const float *row, const double *scale, double base,
                                          int64_t dim, uint64_t *limbs)
{
    for (int64_t j = 0; j < dim; j++) {
        lloyd_pair q = lloyd_pair_of((double)row[j], scale[j], base);
        int64_t first = q.high, second = q.low;
        add_product(first * first, &limbs[j], &limbs[dim + j]);
        add_product(first * second, &limbs[2 * dim + j], &limbs[3 * dim + j]);
        add_product(second * second, &limbs[4 * dim + j], &limbs[5 * dim + j]);
    }
}

static void add_any_squares(const cpu_kernels *cpu, const float *row, double weight, int64_t *words)
{
    for (int64_t j = 0; j < cpu->base.config.dim; j++) {
        lloyd_add_square(lloyd_mul(weight, (double)row[j]), row[j], cpu->grid->square_top[j],
                         cpu->grid->bits, words + LLOYD_SQUARE_DIGITS * j);
    }
}

/* Adds factor * (high 2^32 + low) at word `at` of the words of a column. */
static void take_product(uint64_t low, uint64_t high, int factor, int bits, int at, int64_t *words)
{
    __int128 sum = (((__int128)high << 32) + low) * factor;
    words[at] += (int64_t)(sum & (((int64_t)1 << bits) - 1));
    words[at - 1] += (int64_t)(sum >> bits);
}

/* By what the squares of this grid are summed. */
typedef enum square_kind { ONE_DIGIT, TWO_DIGITS, ANY } square_kind;

static square_kind kind_of_squares(const cpu_kernels *cpu)
{
    const lloyd_grid *grid = cpu->grid;
    if (cpu->base.config.weights || grid->wide > 0 || grid->cut) return ANY;
    return grid->most_digits == 1 ? ONE_DIGIT : TWO_DIGITS;
}

static void take_squares(const cpu_kernels *cpu, square_kind kind, const uint64_t *limbs,
                         int64_t *words)
{
    int64_t dim = cpu->base.config.dim;
    int bits = cpu->grid->bits;
    for (int64_t j = 0; j < dim; j++) {
        int64_t *to = words + LLOYD_SQUARE_DIGITS * j;
        if (kind == ANY) {
            const int64_t *from = (const int64_t *)limbs + LLOYD_SQUARE_DIGITS * j;
            for (int t = 0; t < LLOYD_SQUARE_DIGITS; t++) to[t] += from[t];
            continue;
        }
        take_product(limbs[j], limbs[dim + j], 1, bits, 1, to);
        if (kind == ONE_DIGIT) continue;
        take_product(limbs[2 * dim + j], limbs[3 * dim + j], 2, bits, 2, to);
        take_product(limbs[4 * dim + j], limbs[5 * dim + j], 1, bits, 3, to);
    }
}

lloyd_status lloyd_cpu_squares(lloyd_kernels *kernels, int slot_number, int64_t *words)
{
    cpu_kernels *cpu = lloyd_cpu(kernels);
    const cpu_slot *slot = &cpu->slots[slot_number];
    const float *weights = kernels->config.weights;
    int64_t dim = kernels->config.dim;
    square_kind kind = kind_of_squares(cpu);
    double base = lloyd_exp2(cpu->grid->bits);
#pragma omp parallel num_threads(kernels->config.threads)
    {
        cpu_scratch *scratch = &cpu->scratch[omp_get_thread_num()];
        uint64_t *limbs = scratch->limbs;
        memset(limbs, 0, LLOYD_SQUARE_DIGITS * (size_t)dim * sizeof *limbs);
#pragma omp for
        for (int64_t i = 0; i < slot->count; i++) {
            const float *row = lloyd_cpu_row(cpu, slot, i, scratch->row);
            if (kind == ONE_DIGIT)
                add_squares(row, cpu->digit_scale, dim, limbs);
            else if (kind == TWO_DIGITS)
                add_pair_squares(row, cpu->digit_scale, base, dim, limbs);
            else
                add_any_squares(cpu, row, weights ? (double)weights[slot->first + i] : 1,
                                (int64_t *)limbs);
        }
#pragma omp critical(lloyd_cpu_squares)
        take_squares(cpu, kind, limbs, words);
    }
    return LLOYD_OK;
}

/* --- sums --- */

lloyd_status lloyd_cpu_begin(lloyd_kernels *kernels)
{
    cpu_kernels *cpu = lloyd_cpu(kernels);
    if (MOVES_OF_A_ROW * cpu->moved > kernels->config.n_local) start_anew(cpu);
    memset(cpu->sums + cpu->layout.counters_at, 0, LLOYD_COUNTERS * sizeof *cpu->sums);
    cpu->totals_stale = 1;
    return LLOYD_OK;
}

/* order = the rows of m that have moved since they were last summed, sorted by cluster, stable;
 * m->count = their number. Each thread counts and places its own range of rows. */
static void sort_by_cluster(cpu_kernels *cpu, moves *m)
{
    const int64_t rows = m->slot->count, k_count = cpu->base.config.k;
    const int32_t *labels = cpu->labels + m->slot->first, *summed = cpu->summed + m->slot->first;
    const int32_t *cluster = m->cluster;
    int64_t total = 0;
#pragma omp parallel num_threads(cpu->base.config.threads)
    {
        int64_t team = omp_get_num_threads(); /* OpenMP may give fewer threads than asked for */
        int64_t *count = cpu->histogram + omp_get_thread_num() * k_count;
        memset(count, 0, (size_t)k_count * sizeof *count);
#pragma omp for schedule(static)
        for (int64_t i = 0; i < rows; i++) {
            if (labels[i] != summed[i] && cluster[i] >= 0) count[cluster[i]]++;
        }
#pragma omp single
        for (int64_t k = 0; k < k_count; k++) {
            for (int64_t t = 0; t < team; t++) {
                int64_t here = cpu->histogram[t * k_count + k];
                cpu->histogram[t * k_count + k] = total;
                total += here;
            }
        }
#pragma omp for schedule(static)
        for (int64_t i = 0; i < rows; i++) {
            if (labels[i] != summed[i] && cluster[i] >= 0)
                cpu->order[count[cluster[i]]++] = (uint32_t)i;
        }
    }
    m->count = total;
}

LLOYD_CLONES static void add_row(const float *row, const double *scale, int64_t dim, int64_t *sum)
{
    for (int64_t j = 0; j < dim; j++) sum[j] += lloyd_rint(lloyd_mul((double)row[j], scale[j]));
}

LLOYD_CLONES static void add_pairs(const float *row, const double *scale, double base, int64_t dim,
                                   int64_t *first, int64_t *second)
{
    for (int64_t j = 0; j < dim; j++) {
        lloyd_pair q = lloyd_pair_of((double)row[j], scale[j], base);
        first[j] += q.high;
        second[j] += q.low;
    }
}

LLOYD_CLONES static void add_weighted_pairs(const float *row, double weight, const double *scale,
                                            double base, int64_t dim, int64_t *first,
                                            int64_t *second)
{
    for (int64_t j = 0; j < dim; j++) {
        lloyd_pair q = lloyd_pair_of(lloyd_mul(weight, (double)row[j]), scale[j], base);
        first[j] += q.high;
        second[j] += q.low;
    }
}

/* All digits of the wide columns: [most_digits][wide]. */
static void add_wide(const lloyd_grid *grid, const float *row, double weight, int64_t *sum)
{
    for (int64_t i = 0; i < grid->wide; i++) {
        int64_t j = grid->wide_column[i], digit[LLOYD_MOST_DIGITS] = {0};
        lloyd_digits_of(lloyd_mul(weight, (double)row[j]), grid->top[j], grid->bits,
                        grid->digits[j], digit);
        for (int t = 0; t < grid->digits[j]; t++) sum[t * grid->wide + i] += digit[t];
    }
}

/* The sorted order jumps through memory: asks for the first cache lines of a row that is a few rows
 * ahead; the processor continues from there. Rows of a caller may begin anywhere in a line, so eight
 * lines' worth of a row may lie in nine. Inlined always: GCC takes a function of nothing but prefetches
 * for one without effect, and leaves its calls out. */
static inline __attribute__((always_inline)) void prefetch_row(const cpu_kernels *cpu,
                                                               const cpu_slot *slot, int64_t i)
{
    enum { LINE = 64, MOST = 8 * LINE };
    int64_t bytes = cpu->base.config.dim * (int64_t)lloyd_type_size(cpu->base.config.type);
    const char *row = slot->rows + i * bytes;
    for (int64_t at = 0; at < bytes && at < MOST; at += LINE) __builtin_prefetch(row + at);
    __builtin_prefetch(row + (bytes < MOST ? bytes : MOST) - 1);
}

/* Adds to a word of the sums. `shared`: another thread may be adding to it. */
static inline void add_word(int64_t *to, int64_t value, int shared)
{
    if (!shared) {
        *to += value;
        return;
    }
#pragma omp atomic
    *to += value;
}

static void add_words(int64_t *to, const int64_t *from, int64_t count, int shared)
{
    if (shared) {
        for (int64_t j = 0; j < count; j++) add_word(&to[j], from[j], 1);
    } else {
        for (int64_t j = 0; j < count; j++) to[j] += from[j];
    }
}

/* The sums of a run of rows, from a thread's own, to those of cluster k. */
static void take_run(cpu_kernels *cpu, const cpu_scratch *scratch, int32_t k, const int64_t *mass,
                     int first_there, int second_there, int shared)
{
    const lloyd_grid *grid = cpu->grid;
    const lloyd_sum_layout *l = &cpu->layout;
    int64_t *first = cpu->sums + k * l->dim, *second = cpu->sums + l->seconds_at + k * l->seconds;
    if (!first_there) add_words(first, scratch->sum, l->dim, shared);
    for (int64_t j = 0; l->seconds > 0 && !second_there && j < l->dim; j++) {
        if (grid->second[j] >= 0)
            add_word(&second[grid->second[j]], scratch->sum[l->dim + j], shared);
    }
    for (int64_t i = 0; i < grid->wide; i++) {
        int64_t j = grid->wide_column[i];
        for (int t = 0; t < grid->digits[j]; t++) {
            int64_t *to = t == 0 ? &first[j]
                          : t == 1
                              ? &second[grid->second[j]]
                              : cpu->sums + l->wide_at + ((t - 2) * l->clusters + k) * l->wide + i;
            add_word(to, scratch->wide[t * grid->wide + i], shared);
        }
    }
    for (int t = 0; t < l->weight_digits; t++)
        add_word(cpu->sums + l->masses_at + t * l->clusters + k, mass[t], shared);
}

/* Adds positions [begin, end) of the order, all of cluster k. `shared`: another thread may be
 * adding to that cluster. The digits of -x are those of x, each with the other sign: so rows are
 * taken out by adding them with negative scales and weights. */
static void add_run(cpu_kernels *cpu, const moves *m, cpu_scratch *scratch, int32_t k,
                    int64_t begin, int64_t end, int shared)
{
    const lloyd_grid *grid = cpu->grid;
    const lloyd_sum_layout *l = &cpu->layout;
    const float *weights = cpu->base.config.weights;
    int64_t dim = l->dim, mass[LLOYD_MOST_DIGITS] = {0};
    double base = lloyd_exp2(grid->bits);
    const double *scale = cpu->digit_scale + (m->sign > 0 ? 0 : dim);
    /* where nobody else adds, straight into the sums */
    int one_digit = !weights && grid->most_digits == 1, second_there = !shared && l->seconds == dim;
    int64_t *first = shared ? scratch->sum : cpu->sums + k * dim;
    int64_t *second = second_there ? cpu->sums + l->seconds_at + k * dim : scratch->sum + dim;
    if (shared || (!one_digit && !second_there))
        memset(scratch->sum, 0, 2 * (size_t)dim * sizeof *first);
    if (grid->wide > 0)
        memset(scratch->wide, 0, (size_t)(grid->wide * grid->most_digits) * sizeof(int64_t));
    for (int64_t at = begin; at < end; at++) {
        int64_t i = cpu->order[at];
        if (at + AHEAD < m->count) prefetch_row(cpu, m->slot, cpu->order[at + AHEAD]);
        const float *row = lloyd_cpu_row(cpu, m->slot, i, scratch->row);
        double weight = weights ? (double)weights[m->slot->first + i] : 1;
        if (one_digit)
            add_row(row, scale, dim, first);
        else if (!weights)
            add_pairs(row, scale, base, dim, first, second);
        else
            add_weighted_pairs(row, weight, scale, base, dim, first, second);
        if (grid->wide > 0) add_wide(grid, row, m->sign * weight, scratch->wide);
        if (weights) {
            int64_t digit[LLOYD_MOST_DIGITS] = {0};
            lloyd_digits_of(m->sign * weight, grid->weight_top, grid->bits, grid->weight_digits,
                            digit);
            for (int t = 0; t < grid->weight_digits; t++) mass[t] += digit[t];
        }
    }
    if (!weights) mass[0] = m->sign * (end - begin);
    take_run(cpu, scratch, k, mass, !shared, second_there, shared);
}

static int64_t rows_of_piece(int64_t rows, int threads)
{
    int64_t piece = rows / ((int64_t)PIECES * threads);
    if (piece < LEAST_PIECE) return LEAST_PIECE;
    return piece < PIECE ? piece : PIECE;
}

/* Of the slot's rows, those that have moved since they were last summed. */
static void add_moved(cpu_kernels *cpu, const cpu_slot *slot, const int32_t *cluster, int sign)
{
    moves m = {slot, cluster, sign, 0};
    sort_by_cluster(cpu, &m);
    const int64_t rows = rows_of_piece(m.count, cpu->base.config.threads);
#pragma omp parallel for num_threads(cpu->base.config.threads) schedule(dynamic)
    for (int64_t piece = 0; piece < m.count; piece += rows) {
        int64_t piece_end = piece + rows < m.count ? piece + rows : m.count;
        for (int64_t begin = piece, end; begin < piece_end; begin = end) {
            int32_t k = cluster[cpu->order[begin]];
            for (end = begin + 1; end < piece_end && cluster[cpu->order[end]] == k;) end++;
            add_run(cpu, &m, &cpu->scratch[omp_get_thread_num()], k, begin, end,
                    begin == piece || end == piece_end);
        }
    }
}

lloyd_status lloyd_cpu_accumulate(lloyd_kernels *kernels, int slot_number)
{
    cpu_kernels *cpu = lloyd_cpu(kernels);
    const cpu_slot *slot = &cpu->slots[slot_number];
    const int32_t *labels = cpu->labels + slot->first;
    int32_t *summed = cpu->summed + slot->first;
    add_moved(cpu, slot, summed, -1);
    add_moved(cpu, slot, labels, 1);
    memcpy(summed, labels, (size_t)slot->count * sizeof *summed);
    cpu->totals_stale = 1;
    return LLOYD_OK;
}

void lloyd_cpu_take_totals(cpu_kernels *cpu)
{
    if (!cpu->totals_stale) return;
    memcpy(cpu->totals, cpu->sums, (size_t)cpu->layout.words * sizeof *cpu->totals);
    cpu->totals_stale = 0;
}

lloyd_status lloyd_cpu_sums(lloyd_kernels *kernels, lloyd_buffer *sums)
{
    cpu_kernels *cpu = lloyd_cpu(kernels);
    lloyd_cpu_take_totals(cpu);
    *sums = (lloyd_buffer){cpu->totals, LLOYD_HOST, NULL};
    return LLOYD_OK;
}

/* Moves the words of one part of the sums, and returns where the next part of the row is. */
static const int64_t *move_part(int64_t *part, int64_t width, int32_t from, int32_t to,
                                const int64_t *words)
{
    for (int64_t j = 0; j < width; j++) {
        part[from * width + j] -= words[j];
        part[to * width + j] = words[j]; /* what rows without mass have left there goes */
    }
    return words + width;
}

lloyd_status lloyd_cpu_relocate(lloyd_kernels *kernels, int32_t from, int32_t to,
                                const int64_t *words)
{
    cpu_kernels *cpu = lloyd_cpu(kernels);
    const lloyd_sum_layout *l = &cpu->layout;
    lloyd_cpu_take_totals(cpu);
    words = move_part(cpu->totals, l->dim, from, to, words);
    words = move_part(cpu->totals + l->seconds_at, l->seconds, from, to, words);
    for (int t = 2; l->wide > 0 && t < l->most_digits; t++) {
        words = move_part(cpu->totals + l->wide_at + (t - 2) * l->clusters * l->wide, l->wide, from,
                          to, words);
    }
    for (int t = 0; t < l->weight_digits; t++)
        words = move_part(cpu->totals + l->masses_at + t * l->clusters, 1, from, to, words);
    return LLOYD_OK;
}
