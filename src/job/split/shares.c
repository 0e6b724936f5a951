/* See shares.h. */
#include "job/split/shares.h"

#include "base/memory.h"

static lloyd_status check_total(const int64_t *rows, int64_t k, int64_t total)
{
    int64_t filled = 0, all = 0;
    for (int64_t c = 0; c < k; c++) {
        filled += rows[c] > 0;
        all += rows[c];
    }
    if (total > all)
        return lloyd_fail(LLOYD_USAGE,
                          "--total %lld is more than the %lld rows; use a smaller total",
                          (long long)total, (long long)all);
    if (total >= filled) return LLOYD_OK;
    return lloyd_fail(LLOYD_USAGE,
                      "--total %lld is less than the %lld clusters that have rows, each of which "
                      "gets one sub-cluster at least; use a larger total",
                      (long long)total, (long long)filled);
}

/* Whether cluster a comes before b: it has more rows per sub-cluster. */
static int before(const int64_t *rows, const int64_t *parts, int64_t a, int64_t b)
{
    const __int128 left = (__int128)rows[a] * parts[b], right = (__int128)rows[b] * parts[a];
    return left != right ? left > right : a < b;
}

/* heap[0 .. count) of clusters, of which the one at `at` may have to go further down. */
static void sink(const int64_t *rows, const int64_t *parts, int64_t *heap, int64_t count,
                 int64_t at)
{
    for (;;) {
        int64_t child = 2 * at + 1, moved = heap[at];
        if (child >= count) return;
        if (child + 1 < count && before(rows, parts, heap[child + 1], heap[child])) child++;
        if (!before(rows, parts, heap[child], moved)) return;
        heap[at] = heap[child];
        heap[child] = moved;
        at = child;
    }
}

static lloyd_status share_out(const int64_t *rows, int64_t k, int64_t total, int64_t *parts)
{
    int64_t *heap, count = 0;
    LLOYD_TRY(lloyd_alloc(&heap, k, sizeof *heap, "shares of clusters"));
    for (int64_t c = 0; c < k; c++) {
        parts[c] = rows[c] > 0;
        if (rows[c] > 0) heap[count++] = c;
    }
    for (int64_t at = count / 2 - 1; at >= 0; at--) sink(rows, parts, heap, count, at);
    for (int64_t left = total - count; left > 0; left--) {
        parts[heap[0]]++;
        sink(rows, parts, heap, count, 0);
    }
    lloyd_free(heap);
    return LLOYD_OK;
}

lloyd_status lloyd_split_shares(const int64_t *rows, int64_t k, int64_t each, int64_t total,
                                int64_t *first)
{
    int64_t *parts = first + 1;
    if (each > 0) {
        for (int64_t c = 0; c < k; c++) parts[c] = rows[c] < each ? rows[c] : each;
    } else {
        LLOYD_TRY(check_total(rows, k, total));
        LLOYD_TRY(share_out(rows, k, total, parts));
    }
    first[0] = 0;
    for (int64_t c = 0; c < k; c++) {
        first[c + 1] += first[c];
        if (first[c + 1] > INT32_MAX)
            return lloyd_fail(LLOYD_USAGE,
                              "%s would make 2^31 sub-clusters or more, and labels are 32-bit "
                              "numbers; use fewer",
                              each > 0 ? "-k" : "--total");
    }
    return LLOYD_OK;
}
