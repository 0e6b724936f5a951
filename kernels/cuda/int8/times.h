/* Which filter measured times speak for, and when the 8-bit filter is tried. Nothing of CUDA, so that it is tested without a GPU:
 * tests/unit/kernels/test_filter_times.c. */
#ifndef LLOYD_KERNELS_CUDA_INT8_TIMES_H
#define LLOYD_KERNELS_CUDA_INT8_TIMES_H

#include <stdint.h>

/* Nanoseconds that an iteration without pruning takes for a row by each filter, with all that follows it; 0: not measured. */
typedef struct lloyd_filter_times {
    double float16, int8;
} lloyd_filter_times;

/* Which filter is used, and when the 8-bit one is tried on a sample of the rows. */
typedef struct lloyd_filter_schedule {
    int int8;      /* the 8-bit filter is used, */
    int again;     /* and was in the iteration before */
    int due;       /* a sample is to be tried in this iteration */
    int sampled;   /* one was tried, and is to be judged */
    int gap, wait; /* iterations between two samples, and until the next one */
} lloyd_filter_schedule;

/* 1: the 8-bit filter is the faster one, 0: the other one is, -1: not known. The one in use stays if both are about as fast; that the
 * 8-bit one is faster, if it is not, follows from a sample only, which is less certain. */
static inline int lloyd_int8_is_faster(const lloyd_filter_times *times, int in_use)
{
    const double stay = 1.02, begin = 0.97; /* chosen: times of the same work differ by less */
    if (!(times->float16 > 0 && times->int8 > 0)) return -1;
    return times->int8 < times->float16 * (in_use ? stay : begin);
}

/* A time of the 16-bit filter that was measured, where a model expects another: an iteration that took very long says nothing of others. */
static inline double lloyd_float16_time(double measured, double expected)
{
    const double most =
        1.5 * expected + 0.1; /* chosen: 20 %, and 0.1 ns for short rows, were seen */
    return measured < most ? measured : most;
}

/* Rows of a sample: so many that the kernel runs for a while, but a small part of all, and in whole waves (the rows that all
 * multiprocessors take at a time, which take wave_ns, about). At least three waves, if there are as many rows and room for `most`. */
static inline int64_t lloyd_sample_rows(int64_t rows, int64_t most, int64_t wave, double wave_ns)
{
    enum { PART = 8, LEAST = 3 };     /* chosen: few iterations have a sample */
    const double long_enough = 100e3; /* chosen: what a wave varies by is a small part of it */
    int64_t waves = (rows / PART < most ? rows / PART : most) / wave;
    if (long_enough < (double)waves * wave_ns) waves = (int64_t)(long_enough / wave_ns) + 1;
    const int64_t sample = (waves > LEAST ? waves : (int64_t)LEAST) * wave,
                  all = rows < most ? rows : most;
    return sample < all ? sample : all;
}

/* Times of a sample: the filter's kernel took `ns` for `rows` rows, and part_ns for part_rows of them, its first wave, in which no work
 * overlaps the start and the end of the kernel. What follows it takes `others` for all rows. */
typedef struct lloyd_sample_times {
    double ns, part_ns, rows, part_rows, others;
} lloyd_sample_times;

/* lloyd_filter_times.int8 by a sample. later: in the next iteration, when labels fit their centroids better. 0 if the sample was too short to
 * tell. */
static inline double lloyd_sampled_time(const lloyd_sample_times *s, int later)
{
    const double shortest = 15e3; /* chosen: some times what it varies by from run to run */
    const double fall = 0.5;      /* chosen: candidates fell to 0.4 to 0.9 of those before */
    if (!(s->part_ns > 0 && s->ns - s->part_ns > shortest && s->rows > s->part_rows)) return 0;
    return (s->ns - s->part_ns) / (s->rows - s->part_rows) +
           (later ? fall : 1) * s->others / s->rows;
}

/* Whether it is worth waiting for a sample, so that this iteration has the faster filter, which takes so long with the other one. */
static inline int lloyd_sample_decides_now(double float16_ns)
{
    return float16_ns > 2e6; /* chosen: 10 to 50 times what that takes */
}

/* When labels follow from no iteration. The first sample is tried in the next one. */
static inline lloyd_filter_schedule lloyd_schedule_begin(void)
{
    lloyd_filter_schedule s = {0, 0, 0, 0, 1, 0};
    return s;
}

/* The sample of this iteration has decided at once for the 8-bit filter. */
static inline void lloyd_schedule_take(lloyd_filter_schedule *s)
{
    s->int8 = 1;
    s->again = s->sampled = 0;
}

/* Another iteration begins. faster: whether the 8-bit filter is, by the iteration or the sample that is to be judged, if there is one. */
static inline void lloyd_schedule_next(lloyd_filter_schedule *s, int faster)
{
    enum { SPARSER = 3 };
    const int judged = s->int8 || s->sampled, found = judged && faster;
    s->due = 0;
    if (!judged) s->due = --s->wait <= 0;
    if (judged && !found) {
        s->gap *= SPARSER;
        s->wait = s->gap;
    }
    s->again = s->int8 && found;
    s->int8 = found;
    s->sampled = 0;
}

#endif
