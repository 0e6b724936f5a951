/* Numbers as a person reads them, and the characters of a text. */
#ifndef LLOYD_TEXT_H
#define LLOYD_TEXT_H

#include <stddef.h>
#include <stdint.h>

/* The number of bytes of the UTF-8 character that `text` begins with, 0 where there is none (RFC
 * 3629: no overlong forms, no surrogates). */
int lloyd_text_utf8(const char *text);

/* Each writes into `text`, at most `bytes`, and returns it. */
const char *lloyd_text_count(int64_t value, char *text, size_t bytes); /* 1,234,567 */
const char *lloyd_text_bytes(int64_t value, char *text,
                             size_t bytes); /* 25.6 MB, in powers of 1000 */
const char *lloyd_text_seconds(double value, char *text, size_t bytes); /* 0.0125 s, 4,210 s */
const char *lloyd_text_scaled(double value, const char *unit, char *text,
                              size_t bytes); /* 12.3 Mrows/s, in powers of 1000 */
const char *lloyd_text_real(double value, int digits, char *text,
                            size_t bytes); /* 0.25, 1.87 × 10⁹; digits: how many that count */
const char *lloyd_text_power(int exponent, char *text, size_t bytes); /* 10⁻⁷ */

/* "rank 3", "ranks 1, 2, 5 and 9 more": those of `size` ranks that `listed` says 1 of. Returns how many they
 * are. */
int lloyd_text_ranks(int size, int (*listed)(const void *context, int rank), const void *context,
                     char *text, size_t bytes);

/* By how many percent the inertia has changed; NAN where that says nothing: there is nothing to compare
 * with, or it has risen, which is rounding alone and visible only where next to nothing is left. */
double lloyd_text_change(double before, double now);

#endif
