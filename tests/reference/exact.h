/* Exact sums and their roundings. */
#ifndef EXACT_H
#define EXACT_H

#include <stdint.h>

/* A multiple of 2^UNIT in two's complement, the lowest word first. The products and sums of all that a float32 can hold lie
 * well inside: squares of differences times weights are multiples of 2^-447 below 2^386, and nobody has 2^200 of them. */
enum { WORDS = 20, UNIT = -640 };

typedef struct exact {
    uint64_t word[WORDS];
} exact;

int is_zero(const exact *a);

/* to += sign value, sign = 1 or -1 */
void add_double(exact *to, double value, int sign);

/* Both rounded once, ties to even. */
double rounded_to_double(const exact *a);
float float32_quotient(const exact *a, const exact *b);

#endif
