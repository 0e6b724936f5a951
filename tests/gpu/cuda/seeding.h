/* Seeding: masses, draws, trials, and the reduction of candidates to seeds. */
#ifndef SEEDING_H
#define SEEDING_H

#include "problem.h"

/* Masses of a few seeds and many, and what is drawn from them. */
int compare_seeding(problem *p);

/* A reduction of `count` points in `leaves` leaves, to at most `most` of each: as many leaves at a
 * time as the GPU likes, and one. */
int compare_choices(problem *p, int64_t count, int64_t leaves, int64_t most, int trials);

/* The same of rows that the GPU has, all in slot 0. */
int compare_choices_of_rows(problem *p);

/* compare_choices() of random shape. */
int compare_reduction(problem *p);

#endif
