/* See order.h. The sort of the C library may allocate as much memory again, which no plan counts; this one
 * allocates none: quicksort around the median of three, heapsort where that goes wrong, insertion sort
 * at the end. */
#include "job/results/order.h"

enum { FEW = 24 };

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

void lloyd_members_sort(lloyd_member *members, int64_t count)
{
    int depth = 2;
    for (int64_t n = count; n > 1; n /= 2) depth += 2;
    sort(members, count, depth);
}
