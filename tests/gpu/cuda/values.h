/* Pseudo-random numbers, and elements of rows as they are stored. */
#ifndef VALUES_H
#define VALUES_H

#include "problem.h"

/* Each case begins with a seed of its own, so that it can be repeated alone. */
void seed_words(uint64_t seed);
uint64_t next_word(void);

/* 0 .. limit - 1. */
int64_t below(int64_t limit);

/* Nearly normal, within (-4, 4). */
float bell(void);

int is_float(lloyd_type type);

/* Element j of row i: where it is, rounded to its type and stored, and as a float. */
char *element_at(const problem *p, int64_t i, int64_t j);
void store(problem *p, int64_t i, int64_t j, float value);
float stored(const problem *p, int64_t i, int64_t j);

#endif
