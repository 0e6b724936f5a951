/* See order.h. The sort of the C library may allocate as much memory again, which no plan counts; this one
 * allocates none. Many members are put into buckets of equal ranges of distances, in place (American flag sort: McIlroy, Bostic,
 * McIlroy, Engineering Radix Sort, 1993); few are sorted by quicksort around the median of three, heapsort where that goes wrong, and
 * insertion sort at the end. */
#include "job/results/order.h"

enum {
    FEW = 24,
    MANY = 512, /* from here on buckets pay */
    BUCKETS = 1 << 10
};

static void exchange(lloyd_member *a, lloyd_member *b)
{
    lloyd_member kept = *a;
    *a = *b;
    *b = kept;
}

static void sort_few(lloyd_member *members, int64_t count)
{
    for (int64_t i = 1; i < count; i++) {
        lloyd_member taken = members[i];
        int64_t at = i;
        for (; at > 0 && lloyd_member_before(&taken, &members[at - 1]); at--)
            members[at] = members[at - 1];
        members[at] = taken;
    }
}

/* members[0 .. count) is a heap but for members[at]: sinks that. */
static void sink(lloyd_member *members, int64_t at, int64_t count)
{
    for (int64_t child = 2 * at + 1; child < count; child = 2 * at + 1) {
        if (child + 1 < count && lloyd_member_before(&members[child], &members[child + 1])) child++;
        if (lloyd_member_before(&members[child], &members[at])) return;
        exchange(&members[at], &members[child]);
        at = child;
    }
}

static void heapsort_all(lloyd_member *members, int64_t count)
{
    for (int64_t at = count / 2; at-- > 0;) sink(members, at, count);
    for (int64_t end = count - 1; end > 0; end--) {
        exchange(&members[0], &members[end]);
        sink(members, 0, end);
    }
}

/* The median of the first, the middle and the last one, moved to the front. */
static void choose_pivot(lloyd_member *members, int64_t count)
{
    lloyd_member *a = &members[1], *b = &members[count / 2], *c = &members[count - 1];
    if (lloyd_member_before(b, a)) exchange(a, b);
    if (lloyd_member_before(c, b)) exchange(b, c);
    if (lloyd_member_before(b, a)) exchange(a, b);
    exchange(&members[0], b);
}

/* Those before the pivot come to the left of it. Returns where it is. */
static int64_t partition(lloyd_member *members, int64_t count)
{
    choose_pivot(members, count);
    int64_t left = 1, right = count - 1;
    for (;;) {
        while (left <= right && lloyd_member_before(&members[left], &members[0])) left++;
        while (lloyd_member_before(&members[0], &members[right])) right--;
        if (left >= right) break;
        exchange(&members[left++], &members[right--]);
    }
    exchange(&members[0], &members[right]);
    return right;
}

/* depth: how many partitions may go wrong; the larger side is the loop's, so the stack stays small. */
static void sort(lloyd_member *members, int64_t count, int depth)
{
    while (count > FEW) {
        if (depth-- == 0) {
            heapsort_all(members, count);
            return;
        }
        int64_t at = partition(members, count), right = count - at - 1;
        if (at < right) {
            sort(members, at, depth);
            members += at + 1;
            count = right;
        } else {
            sort(members + at + 1, right, depth);
            count = at;
        }
    }
    sort_few(members, count);
}

static void sort_without_buckets(lloyd_member *members, int64_t count)
{
    int depth = 2;
    for (int64_t n = count; n > 1; n /= 2) depth += 2;
    sort(members, count, depth);
}

/* The order of distances is that of their bits, as none is negative. */
static uint64_t bits_of(const lloyd_member *member)
{
    uint64_t bits;
    memcpy(&bits, &member->distance, sizeof bits);
    return bits;
}

/* Bucket b has the members with (bits - lowest) >> shift = b. */
typedef struct buckets {
    uint64_t lowest;
    int shift;
    int64_t next[BUCKETS], end[BUCKETS]; /* next: where one that is not yet in its place goes */
} buckets;

static int bucket_of(const buckets *b, const lloyd_member *member)
{
    return (int)((bits_of(member) - b->lowest) >> b->shift);
}

/* 0 if all distances are the same. */
static int choose_buckets(buckets *b, const lloyd_member *members, int64_t count)
{
    uint64_t highest = 0;
    b->lowest = UINT64_MAX;
    for (int64_t i = 0; i < count; i++) {
        const uint64_t bits = bits_of(&members[i]);
        b->lowest = bits < b->lowest ? bits : b->lowest;
        highest = bits > highest ? bits : highest;
    }
    b->shift = 0;
    while ((highest - b->lowest) >> b->shift >= BUCKETS) b->shift++;
    return highest > b->lowest;
}

static void count_buckets(buckets *b, const lloyd_member *members, int64_t count)
{
    int64_t begin = 0;
    memset(b->end, 0, sizeof b->end);
    for (int64_t i = 0; i < count; i++) b->end[bucket_of(b, &members[i])]++;
    for (int i = 0; i < BUCKETS; i++) {
        b->next[i] = begin;
        begin += b->end[i];
        b->end[i] = begin;
    }
}

/* Every member to its bucket: what lies in the way goes to its own, until one comes for the place where it began. */
static void fill_buckets(buckets *b, lloyd_member *members)
{
    for (int i = 0; i < BUCKETS; i++) {
        while (b->next[i] < b->end[i]) {
            lloyd_member taken = members[b->next[i]];
            for (int to = bucket_of(b, &taken); to != i; to = bucket_of(b, &taken))
                exchange(&taken, &members[b->next[to]++]);
            members[b->next[i]++] = taken;
        }
    }
}

/* Each level has ranges of distances a thousandth as wide: there are at most seven. */
void lloyd_members_sort(lloyd_member *members, int64_t count)
{
    buckets b;
    if (count < MANY || !choose_buckets(&b, members, count)) {
        sort_without_buckets(members, count);
        return;
    }
    count_buckets(&b, members, count);
    fill_buckets(&b, members);
    for (int64_t i = 0, begin = 0; i < BUCKETS; begin = b.end[i++])
        lloyd_members_sort(members + begin, b.end[i] - begin);
}
