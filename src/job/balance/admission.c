/* See admission.h. */
#include "job/balance/admission.h"

#include "base/memory.h"

#include <string.h>

enum {
    COUNTS = 1 << 20, /* of all searches together */
    MOST_BITS = 16,   /* of a digit */
    DISTANCE_BITS = 64
};

/* A number of an applicant: unsigned __int128, of which the lowest bits are the row. */
typedef struct search {
    unsigned __int128
        number;     /* the digits so far; when it is over: the first that is not admitted */
    int64_t left;   /* to be admitted, of the applicants whose numbers begin with these digits */
    int64_t counts; /* where its counts begin; -1: it is over */
} search;

struct lloyd_admission {
    lloyd_comm *comm;
    int64_t k;
    search *searches; /* [k] */
    int64_t *wanted;  /* [k] applicants of all ranks */
    int64_t *counts;  /* [COUNTS, or 2 k if that is more] */
    int row_bits;
};

/* --- memory --- */

static int64_t counts_of(int64_t k)
{
    return 2 * k > COUNTS ? 2 * k : COUNTS;
}

int64_t lloyd_admission_bytes(int64_t k)
{
    return k * (int64_t)(sizeof(search) + sizeof(int64_t)) +
           counts_of(k) * (int64_t)sizeof(int64_t);
}

lloyd_status lloyd_admission_open(lloyd_comm *comm, int64_t k, lloyd_admission **admission)
{
    const char *what = "the clusters that rows are moved between";
    *admission = NULL;
    LLOYD_TRY(lloyd_comm_alloc(comm, admission, 1, sizeof **admission, what));
    lloyd_admission *a = *admission;
    a->comm = comm;
    a->k = k;
    LLOYD_TRY(lloyd_comm_alloc(comm, &a->searches, k, sizeof *a->searches, what));
    LLOYD_TRY(lloyd_comm_alloc(comm, &a->wanted, k, sizeof *a->wanted, what));
    return lloyd_comm_alloc(comm, &a->counts, counts_of(k), sizeof *a->counts, what);
}

void lloyd_admission_close(lloyd_admission *a)
{
    if (!a) return;
    lloyd_free(a->searches);
    lloyd_free(a->wanted);
    lloyd_free(a->counts);
    lloyd_free(a);
}

/* --- numbers --- */

static int bits_of(int64_t n)
{
    int bits = 0;
    while (bits < 63 && (n - 1) >> bits > 0) bits++;
    return bits;
}

static unsigned __int128 number_of(const lloyd_admission *a, const lloyd_applicants *rows,
                                   int64_t i)
{
    uint64_t bits;
    memcpy(&bits, &rows->distances[i], sizeof bits);
    return (unsigned __int128)bits << a->row_bits | (uint64_t)(rows->first + i);
}

/* --- the searches --- */

static lloyd_status count_applicants(lloyd_admission *a, const lloyd_applicants *rows)
{
    memset(a->wanted, 0, (size_t)a->k * sizeof *a->wanted);
    for (int64_t i = 0; i < rows->count; i++)
        if (rows->clusters[i] < 0) a->wanted[~rows->clusters[i]]++;
    return lloyd_comm_sum_host(a->comm, a->wanted, a->k);
}

/* Returns how many there are that are not over. */
static int64_t begin_searches(lloyd_admission *a, const int64_t *room)
{
    int64_t active = 0;
    for (int64_t c = 0; c < a->k; c++) {
        const int is_full = a->wanted[c] > room[c];
        a->searches[c] = (search){.number = is_full ? 0 : ~(unsigned __int128)0,
                                  .left = room[c],
                                  .counts = is_full ? active++ : -1};
    }
    return active;
}

/* Bits of the next digit, of `bits` that are left. */
static int digit_bits(int64_t active, int bits)
{
    int width = bits < MOST_BITS ? bits : MOST_BITS;
    while (width > 1 && active << width > COUNTS) width--;
    return width;
}

/* Gives each search that is not over counts of zeros. */
static void begin_digit(lloyd_admission *a, int width)
{
    int64_t used = 0;
    for (int64_t c = 0; c < a->k; c++) {
        if (a->searches[c].counts < 0) continue;
        a->searches[c].counts = used;
        used += (int64_t)1 << width;
    }
    memset(a->counts, 0, (size_t)used * sizeof *a->counts);
}

/* The applicants whose numbers begin with the digits of their search, by the next digit: bits [shift, shift + width). */
static void count_digit(lloyd_admission *a, const lloyd_applicants *rows, int shift, int width)
{
    const uint64_t mask = ((uint64_t)1 << width) - 1;
    for (int64_t i = 0; i < rows->count; i++) {
        if (rows->clusters[i] >= 0) continue;
        const search *s = &a->searches[~rows->clusters[i]];
        if (s->counts < 0) continue;
        unsigned __int128 digits = number_of(a, rows, i) >> shift;
        if (digits >> width == s->number >> shift >> width)
            a->counts[s->counts + (int64_t)((uint64_t)digits & mask)]++;
    }
}

/* More have its digits so far than are left to be admitted, so there is a digit with which that is so. Returns 1
 * if the search is not over: numbers are all different, so it is over with the last digit. */
static int decide_digit(const lloyd_admission *a, search *s, int shift)
{
    const int64_t *counts = a->counts + s->counts;
    int64_t digit = 0;
    for (; s->left >= counts[digit]; digit++) s->left -= counts[digit];
    s->number |= (unsigned __int128)(uint64_t)digit << shift;
    if (s->left == 0) s->counts = -1;
    return s->left > 0;
}

static lloyd_status search_all(lloyd_admission *a, const lloyd_applicants *rows, int64_t active)
{
    for (int bits = DISTANCE_BITS + a->row_bits; active > 0;) {
        const int width = digit_bits(active, bits);
        const int64_t words = active << width;
        bits -= width;
        begin_digit(a, width);
        count_digit(a, rows, bits, width);
        LLOYD_TRY(lloyd_comm_sum_host(a->comm, a->counts, words));
        active = 0;
        for (int64_t c = 0; c < a->k; c++)
            if (a->searches[c].counts >= 0) active += decide_digit(a, &a->searches[c], bits);
    }
    return LLOYD_OK;
}

/* --- admission --- */

static void admit_rows(const lloyd_admission *a, const lloyd_applicants *rows)
{
    for (int64_t i = 0; i < rows->count; i++) {
        const int32_t cluster = ~rows->clusters[i];
        if (cluster >= 0 && number_of(a, rows, i) < a->searches[cluster].number)
            rows->clusters[i] = cluster;
    }
}

lloyd_status lloyd_admit(lloyd_admission *a, const lloyd_applicants *rows, int64_t *room,
                         int64_t *rejected)
{
    a->row_bits = bits_of(rows->n);
    LLOYD_TRY(count_applicants(a, rows));
    LLOYD_TRY(search_all(a, rows, begin_searches(a, room)));
    admit_rows(a, rows);
    *rejected = 0;
    for (int64_t c = 0; c < a->k; c++) {
        const int64_t admitted = a->wanted[c] < room[c] ? a->wanted[c] : room[c];
        room[c] -= admitted;
        *rejected += a->wanted[c] - admitted;
    }
    return LLOYD_OK;
}
