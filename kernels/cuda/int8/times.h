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

/* 1: the 8-bit filter is the faster one, 0: the other one is, -1: not known. The one in use stays if both are about as fast. */
static inline int lloyd_int8_is_faster(const lloyd_filter_times *times, int in_use)
{
    const double about = 1.02; /* chosen: more than times of the same work differ by */
    if (!(times->float16 > 0 && times->int8 > 0)) return -1;
    return times->int8 < times->float16 * (in_use ? about : 1);
}

/* Rows of a sample: so many that the kernel runs for a while, but a small part of all, and in whole waves (the rows that all
 * multiprocessors take at a time, which take wave_ns, about). At least one wave, if there are as many rows and room for `most`. */
static inline int64_t lloyd_sample_rows(int64_t rows, int64_t most, int64_t wave, double wave_ns)
{
    enum { PART = 16 };               /* chosen: few iterations have a sample */
    const double long_enough = 100e3; /* chosen: 25 times the start of the kernel */
    int64_t waves = (rows / PART < most ? rows / PART : most) / wave;
    if (long_enough < (double)waves * wave_ns) waves = (int64_t)(long_enough / wave_ns) + 1;
    const int64_t sample = (waves > 1 ? waves : 1) * wave, all = rows < most ? rows : most;
    return sample < all ? sample : all;
}

/* lloyd_filter_times.int8 by a sample: the filter's kernel took `ns` for `rows` rows, and what follows it takes `others`. 0 if that was too
 * short a time to tell. */
static inline double lloyd_sampled_time(double ns, double rows, double others)
{
    const double start = 4e3;     /* of a kernel between two events; an estimate, not measured */
    const double shortest = 20e3; /* chosen: an error of 1e3 in `start` is 6 % of the rest */
    return ns < shortest || !(rows > 0) ? 0 : (ns - start + others) / rows;
}

/* When labels follow from no iteration. The first sample is tried in the next one. */
static inline lloyd_filter_schedule lloyd_schedule_begin(void)
{
    lloyd_filter_schedule s = {0, 0, 0, 0, 1, 0};
    return s;
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
